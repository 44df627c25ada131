"""Zero-shot scores: how much nearer an image lies to the prompts that affirm a finding than to those that deny it."""

import numpy as np
from jaxtyping import Float
from torch.nn import functional as F  # noqa: N812

from stages.common.dual_encoder import Checkpoint
from stages.common.prompts import PromptSet


def prompt_scores(
    checkpoint: Checkpoint, prompts: PromptSet, embeddings: Float[np.ndarray, "images embedding"]
) -> Float[np.ndarray, "images"]:
    """cos(image, affirming) - cos(image, denying), each the normalised mean of its prompts' embeddings.

    Embeddings are unit vectors; a set without denying prompts scores the affirming ones alone.
    """
    scores = embeddings @ _mean_embedding(checkpoint, prompts.positive)
    if prompts.negative:
        scores = scores - embeddings @ _mean_embedding(checkpoint, prompts.negative)
    return scores


def _mean_embedding(checkpoint: Checkpoint, sentences: list[str]) -> Float[np.ndarray, "embedding"]:
    return F.normalize(checkpoint.embed_sentences(sentences).report.mean(dim=0), dim=0).cpu().numpy()
