"""The test pairs of pre-training, embedded: every image and every report once, unmasked."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped

from ..common.data.image_store import ImageStore
from ..common.data.paired_reports import Study, read_pairs
from ..common.encoders.dual import Checkpoint, DualEncoder
from ..common.encoders.report_batches import SpecialTokens
from ..common.files.arrow_tables import read_table
from ..common.files.schemas import PAIRS
from ..common.inference.encoding import in_batches, joined, report_embeddings, token_batches
from ..common.settings import Precision


@dataclass(frozen=True)
class Side:
    """Images or reports, each with its id (image_id or study_id), unit vector, text number and patient."""

    ids: Shaped[np.ndarray, "items"]
    embeddings: Float[np.ndarray, "items embedding"]
    texts: Int[np.ndarray, "items"]
    patients: Shaped[np.ndarray, "items"]


@dataclass(frozen=True)
class EmbeddedPairs:
    """Embedded images and reports.

    `texts` numbers distinct report texts: studies with the same text are mutual hits.
    """

    images: Side
    reports: Side
    sentences_left_out: int  # beyond the encoder's token budget


def read_test_pairs(pairs: Path, sentences: Path, model: DualEncoder) -> list[Study] | None:
    """Return the studies of the test part, or None where it has none."""
    if "test" not in read_table(pairs, PAIRS)["split"].unique().to_pylist():
        return None
    text = model.settings.text
    return read_pairs(pairs, sentences, "test", text.max_tokens, text.max_sentences)


@torch.inference_mode()
def embed_pairs(
    checkpoint: Checkpoint, studies: list[Study], store: ImageStore, batch_size: int, precision: Precision = "fp32"
) -> EmbeddedPairs:
    """Embed the images and reports of `studies`."""
    known: dict[str, int] = {}
    texts = np.array([known.setdefault(" ".join(study.texts), len(known)) for study in studies])
    patients = np.array([study.patient_id for study in studies])
    study_of = np.repeat(np.arange(len(studies)), [len(study.image_ids) for study in studies])
    image_ids = np.array([image_id for study in studies for image_id in study.image_ids])
    model, special = checkpoint.model, SpecialTokens.of(checkpoint.tokenizer)
    batches = in_batches([store.row_of(image_id) for image_id in image_ids], batch_size)
    images = joined(map(model.embed_global, token_batches(model, store.gather, batches, precision)))
    sentences = [study.sentences for study in studies]
    reports = joined(report_embeddings(model, sentences, special, batch_size, precision))
    return EmbeddedPairs(
        images=Side(image_ids, images.numpy(), texts[study_of], patients[study_of]),
        reports=Side(np.array([study.study_id for study in studies]), reports.numpy(), texts, patients),
        sentences_left_out=sum(study.sentences_left_out for study in studies),
    )
