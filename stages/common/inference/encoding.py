"""Stored images and reports through an encoder: drawn ahead, in a chosen precision, outputs copied behind.

All evaluations that encode many images or reports do so here. On a GPU the processor waits for nothing: a thread
gathers the next batch, and copies to and from the GPU are queued between its computations.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ..data.image_store import ImageStore
from ..data.paired_reports import Sentences
from ..device import is_ampere_or_newer, possible_precision
from ..digests import seed_from
from ..encoders.dual import DualEncoder, to_input
from ..encoders.report_batches import ReportBatch, SpecialTokens, map_tensors, pack_reports
from ..encoders.settings import IMAGES_FOR_MEANS, EncoderPrecision
from ..journal.tracking import Run
from ..settings import Precision
from ..training.prefetching import drawn_ahead

Output = TypeVar("Output", Tensor, tuple[Tensor, ...])
Rows = Int[np.ndarray, "_"]
Gather = Callable[[Rows], UInt8[np.ndarray, "_ stored stored"]]  # stored images of rows, e.g. `ImageStore.gather`


def choose_precision(wanted: EncoderPrecision, device: torch.device, run: Run) -> Precision:
    """Return the precision of the key `encoder_precision` on a device, and record it in the journal.

    What the device lacks becomes fp32, with a warning. A CPU has bf16, which many emulate, so `auto` is fp32 there.
    """
    if wanted == "auto":
        wanted = "bf16" if is_ampere_or_newer(device) else "fp32"
    chosen = possible_precision(wanted, device)
    run.log_tag("encoder_precision", chosen)
    return chosen


@contextmanager
def computing_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Let what is computed inside use a precision, if the device has it: bf16 by autocast, else TF32 or single."""
    precision = possible_precision(precision, device)
    if precision == "bf16":
        with torch.autocast(device.type, torch.bfloat16):
            yield
    elif precision == "tf32":
        products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(products)
            torch.backends.cudnn.allow_tf32 = convolutions
    else:
        yield


def in_batches(rows: Sequence[int] | Rows, most: int) -> list[Rows]:
    """Cut rows into batches of `most`, in their order; the last may be smaller."""
    return [np.asarray(rows[first : first + most]) for first in range(0, len(rows), most)]


def input_batches(
    gather: Gather, batches: Sequence[Rows], size: int, device: torch.device
) -> Iterator[Float[Tensor, "batch size size"]]:
    """Yield the images of each batch of rows on `device`, grey 0..1 at an encoder's input size."""

    def draw(number: int) -> UInt8[Tensor, "batch stored stored"]:
        return torch.from_numpy(gather(batches[number]))

    for stored in drawn_ahead(draw, range(len(batches)), device):
        yield to_input(stored, size)


def token_batches(
    model: DualEncoder,
    gather: Gather,
    batches: Sequence[Rows],
    precision: Precision = "fp32",
    visible: Int[Tensor, "all visible"] | None = None,
    shifts: int = 1,
) -> Iterator[Float[Tensor, "batch tokens width"]]:
    """Yield the tokens of the (visible) patches of each batch of rows, in fp32 whatever they were computed in.

    `visible` holds the patches that the image of each row shows. `shifts` makes the grid of whole images finer:
    `stitched_tokens`.
    """

    def draw(number: int) -> tuple[UInt8[Tensor, "batch stored stored"], Int[Tensor, "batch visible"] | None]:
        rows = batches[number]
        return torch.from_numpy(gather(rows)), None if visible is None else visible[rows]

    for stored, shown in drawn_ahead(draw, range(len(batches)), model.device):
        with computing_in(precision, model.device):
            images = model.input_of(stored)
            tokens = model.patch_tokens(images, shown) if shifts == 1 else stitched_tokens(model, images, shifts)
        yield tokens.float()


def stitched_tokens(
    model: DualEncoder, images: Float[Tensor, "batch size size"] | UInt8[Tensor, "batch size size"], shifts: int
) -> Float[Tensor, "batch tokens width"]:
    """Return tokens on a grid `shifts` times as fine, of which each is a whole patch of the image moved a little.

    The image is read shifts^2 times, moved in steps of patch size / shifts, to whole pixels, with its border repeated;
    the tokens interleave to a row-major grid (shift-and-stitch: Long, Shelhamer and Darrell, CVPR 2015, section 3.2).
    """
    settings, side = model.settings.image, images.shape[-1]
    offsets = [math.floor((step - (shifts - 1) / 2) * settings.patch_size / shifts + 0.5) for step in range(shifts)]
    moved = [(torch.arange(side, device=images.device) + offset).clamp(0, side - 1) for offset in offsets]
    read = [model.patch_tokens(images.index_select(1, y).index_select(2, x)) for y in moved for x in moved]
    grid = (shifts, shifts, len(images), settings.grid, settings.grid, -1)
    return torch.stack(read).view(grid).permute(2, 3, 0, 4, 1, 5).flatten(1, 4)


def report_embeddings(
    model: DualEncoder, reports: Sequence[Sentences], special: SpecialTokens, most: int, precision: Precision = "fp32"
) -> Iterator[Float[Tensor, "batch embedding"]]:
    """Yield the unit vectors of reports, given as word pieces, in batches of `most`."""

    def draw(number: int) -> ReportBatch:
        return pack_reports(reports[number * most : (number + 1) * most], special, model.settings.text.context)

    for batch in drawn_ahead(draw, range(-(-len(reports) // most)), model.device):
        with computing_in(precision, model.device):
            _, report = model.text(batch)
        yield model.embed_reports(report.float())


@torch.inference_mode()
def mean_patches(
    model: DualEncoder,
    gather: Gather,
    rows: Sequence[int] | Rows,
    precision: Precision = "fp32",
    most: int = 64,
    shifts: int = 1,
) -> Float[Tensor, "patches embedding"]:
    """Return the mean over stored images of their patches' unit vectors, at each place of the (finer) grid."""
    patches, width = model.settings.image.patches * shifts**2, model.settings.embedding_width
    total = torch.zeros(patches, width, dtype=torch.float64, device=model.device)
    for tokens in token_batches(model, gather, in_batches(rows, most), precision, shifts=shifts):
        total += model.embed_patches(tokens).sum(dim=0, dtype=torch.float64)
    return (total / len(rows)).float().cpu()


def rows_for_means(store: ImageStore, training: Iterable[str], seed: int) -> Rows:
    """Return the rows of a data set's training images over which means by place are taken; the seed draws them."""
    return store.draw_rows(training, IMAGES_FOR_MEANS, seed_from("training images", seed))


def copied_behind(outputs: Iterable[Output]) -> Iterator[Output]:
    """Yield tensors, or tuples of them, on the CPU; those of a GPU while it computes the next ones."""
    waiting: list[tuple[Output, torch.cuda.Event | None]] = []
    for output in outputs:
        device = (output if isinstance(output, Tensor) else output[0]).device
        copy = map_tensors(output, lambda tensor: tensor.to("cpu", non_blocking=True))
        waiting.append((copy, torch.cuda.current_stream(device).record_event() if device.type == "cuda" else None))
        if len(waiting) > 1:
            yield _written(*waiting.pop(0))
    for copy, done in waiting:
        yield _written(copy, done)


def _written(copy: Output, done: torch.cuda.Event | None) -> Output:
    """Return a copy once the GPU has written it: until then its memory holds something else."""
    if done is not None:
        done.synchronize()
    return copy


def joined(outputs: Iterable[Float[Tensor, "batch ..."]]) -> Float[Tensor, "all ..."]:
    """Return the outputs of all batches as one tensor on the CPU."""
    return torch.cat(list(copied_behind(outputs)))
