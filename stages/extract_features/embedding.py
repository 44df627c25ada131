"""Embeddings of all images of a store, unmasked and in its order."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import torch

from ..common.data.image_store import ImageStore
from ..common.device import choose_device
from ..common.encoders.dual import DualEncoder, load_checkpoint
from ..common.files.arrow_tables import write_table
from ..common.files.schemas import features
from ..common.journal.tracking import track_job
from .contract import ExtractFeaturesJob


def extract(job: ExtractFeaturesJob) -> None:
    """Embed all images of a data set and write features.arrow."""
    with track_job(job) as run:
        model = load_checkpoint(job.checkpoint, choose_device(job.device)).model
        store = ImageStore(job.images)
        schema = features(model.settings.embedding_width, model.image.width)
        write_table(job.features, schema, embed_images(model, store, job.settings.batch_size, schema))
        run.log_metric("images", len(store))


@torch.inference_mode()
def embed_images(model: DualEncoder, store: ImageStore, batch_size: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield record batches of the table `features`."""
    for first in range(0, len(store), batch_size):
        rows = np.arange(first, min(first + batch_size, len(store)))
        tokens = model.image.tokens(model.image.normalise(model.input_of(store.gather(rows))))
        columns = [model.embed_global(model.image.patches(tokens)), model.image.pool(tokens)]
        yield pa.record_batch(
            [pa.array([store.ids[row] for row in rows]), *(_fixed_lists(column) for column in columns)], schema=schema
        )


def _fixed_lists(values: torch.Tensor) -> pa.FixedSizeListArray:
    flat = pa.array(values.float().cpu().numpy().ravel())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
