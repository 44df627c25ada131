"""Embeddings of all images of a store, unmasked and in its order."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import UInt8

from ..common.data.image_store import ImageStore
from ..common.device import choose_device
from ..common.encoders.dual import DualEncoder, load_checkpoint, to_input
from ..common.files.arrow_tables import write_table
from ..common.files.schemas import features
from ..common.journal.tracking import track_job
from ..common.training.prefetching import Prefetcher
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
    starts = range(0, len(store), batch_size)

    def gather(first: int) -> UInt8[torch.Tensor, "batch stored stored"]:
        return torch.from_numpy(store.gather(np.arange(first, min(first + batch_size, len(store)))))

    with Prefetcher(gather, starts, pin=model.device.type == "cuda") as batches:
        for first, stored in zip(starts, batches, strict=True):
            images = to_input(stored.to(model.device), model.settings.image.input_size)
            tokens = model.image.tokens(model.image.normalise(images))
            columns = [model.embed_global(model.image.patches(tokens)), model.image.pool(tokens)]
            ids = pa.array(store.ids[first : first + batch_size])
            yield pa.record_batch([ids, *(_fixed_lists(column) for column in columns)], schema=schema)


def _fixed_lists(values: torch.Tensor) -> pa.FixedSizeListArray:
    flat = pa.array(values.float().cpu().numpy().ravel())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
