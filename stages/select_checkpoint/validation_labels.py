"""Zero-shot classification of the validation images of a labelled data set, for checkpoint selection."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.compute as pc
import torch
from jaxtyping import Float, Int
from tokenizers import Tokenizer
from torch.nn import functional as F  # noqa: N812

from stages.common.arrow_tables import read_table
from stages.common.dual_encoder import Checkpoint, DualEncoder, to_input
from stages.common.errors import InputError
from stages.common.image_store import ImageStore
from stages.common.prompts import PromptFile
from stages.common.ranking_metrics import auc
from stages.common.schemas import LABELS


@dataclass(frozen=True)
class PromptAuc:
    """Scores of one candidate: a row a prompt set."""

    by_set: Float[np.ndarray, "sets images"]
    targets: Int[np.ndarray, "images"]

    def auc(self, weights: Float[np.ndarray, "draws images"] | None = None) -> Float[np.ndarray, "draws"]:
        """Mean over prompt sets: no set is chosen here, so none is favoured."""
        weights = np.ones((1, len(self.targets))) if weights is None else weights
        return np.mean([auc(scores, self.targets, weights) for scores in self.by_set], axis=0)


def read_validation_labels(path: Path, finding: str) -> pl.DataFrame:
    """Rows of the validation part that speak of `finding`. The other rows are dropped before any column is read."""
    table = read_table(path, LABELS)
    table = table.filter(pc.equal(table["split"], "validation"))
    rows = pl.from_arrow(table.select(["image_id", "patient_id", "finding", "target"]))
    rows = rows.filter(pl.col("finding") == finding)
    if rows["target"].n_unique() < 2:
        raise InputError(
            f"{path}: the validation part needs positives and negatives of {finding}; raise its share in label_images, "
            "or leave select_checkpoint.zero_shot_on out"
        )
    return rows.sort("image_id")


class ValidationLabels:
    """Labelled validation images with their prompts."""

    def __init__(
        self, rows: pl.DataFrame, store: ImageStore, prompts: PromptFile, tokenizer: Tokenizer, batch_size: int
    ) -> None:
        self._images = [store.row_of(image_id) for image_id in rows["image_id"]]
        self._store, self._prompts, self._tokenizer, self._batch_size = store, prompts, tokenizer, batch_size
        self.targets = rows["target"].to_numpy()
        known = rows["patient_id"].null_count() == 0
        self.patients = rows["patient_id" if known else "image_id"].to_numpy()

    def scores(self, model: DualEncoder, device: torch.device) -> PromptAuc:
        """cos(image, affirming) - cos(image, denying), each the normalised mean of its prompts' embeddings."""
        images = []
        for first in range(0, len(self._images), self._batch_size):
            rows = np.array(self._images[first : first + self._batch_size])
            pixels = torch.from_numpy(self._store.gather(rows)).to(device)
            images.append(model.embed_global(model.patch_tokens(to_input(pixels, model.settings.image.input_size))))
        embedded = torch.cat(images)
        reader = Checkpoint(model, self._tokenizer, None, {})
        by_set = []
        for prompts in self._prompts.expanded().values():
            scores = embedded @ F.normalize(reader.embed_sentences(prompts.positive).report.mean(dim=0), dim=0)
            if prompts.negative:
                denying = reader.embed_sentences(prompts.negative).report.mean(dim=0)
                scores = scores - embedded @ F.normalize(denying, dim=0)
            by_set.append(scores.cpu().numpy())
        return PromptAuc(np.stack(by_set), self.targets)
