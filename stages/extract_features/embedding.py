"""Embeddings of all images of a store, unmasked and in its order."""

from collections.abc import Iterator

import pyarrow as pa
import torch
from jaxtyping import Float

from ..common.data.image_store import ImageStore
from ..common.device import choose_device
from ..common.encoders.dual import DualEncoder, load_checkpoint
from ..common.files.arrow_tables import write_table
from ..common.files.schemas import features
from ..common.inference.encoding import Rows, choose_precision, computing_in, copied_behind, in_batches, input_batches
from ..common.journal.tracking import track_job
from ..common.settings import Precision
from .contract import ExtractFeaturesJob


def extract(job: ExtractFeaturesJob) -> None:
    """Embed all images of a data set and write features.arrow."""
    with track_job(job) as run:
        model = load_checkpoint(job.checkpoint, choose_device(job.device)).model
        store = ImageStore(job.images)
        precision = choose_precision(job.settings.encoder_precision, model.device, run)
        schema = features(model.settings.embedding_width, model.image.width)
        write_table(job.features, schema, embed_images(model, store, job.settings.batch_size, schema, precision))
        run.log_metric("images", len(store))


def embed_images(
    model: DualEncoder, store: ImageStore, batch_size: int, schema: pa.Schema, precision: Precision = "fp32"
) -> Iterator[pa.RecordBatch]:
    """Yield record batches of the table `features`."""
    batches = in_batches(range(len(store)), batch_size)
    for rows, columns in zip(batches, copied_behind(_columns(model, store, batches, precision)), strict=True):
        ids = pa.array([store.ids[row] for row in rows])
        yield pa.record_batch([ids, *map(_fixed_lists, columns)], schema=schema)


def _columns(
    model: DualEncoder, store: ImageStore, batches: list[Rows], precision: Precision
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Yield the embeddings and the pooled tokens of each batch."""
    for images in input_batches(store.gather, batches, model.settings.image.input_size, model.device):
        with torch.inference_mode(), computing_in(precision, model.device):
            tokens = model.image.tokens(model.image.normalise(images))
        tokens = tokens.float()
        yield model.embed_global(model.image.patches(tokens)), model.image.pool(tokens)


def _fixed_lists(values: Float[torch.Tensor, "batch width"]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.numpy().ravel()), values.shape[1])
