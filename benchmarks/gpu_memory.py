"""Count what one training step keeps in memory: weights, optimiser, and what forward saves for the backward pass.

    python -m benchmarks.gpu_memory

Counted on a CPU under bfloat16 autocast: every tensor that autograd saves, each storage once. The difference between
two batch sizes is the cost per pair. A GPU's fused kernels save less of attention; its allocator and its libraries take
more (about 1 GB). The sum was never compared with a GPU.
"""

import torch
from torch import Tensor

from stages.common.encoders.augmentation import DRAWS
from stages.common.encoders.image import draw_visible
from stages.common.encoders.report_batches import SpecialTokens, pad_reports
from stages.pretrain.batches import TrainingBatch
from stages.pretrain.contract import PretrainSettings
from stages.pretrain.objective import Objective

VOCABULARY = 28_996  # of Bio_ClinicalBERT
WORD_PIECES, SENTENCES = 13, 6  # of a typical report
BATCHES = (2, 4)
GIB = 2**30
CARDS = {"V100 16 GB": 16, "A100 40 GB": 40, "A100 80 GB, H100": 80, "H200": 141}  # GB of 1e9 bytes


def batch_of(size: int, settings: PretrainSettings) -> TrainingBatch:
    """Return random pairs in realistic shapes."""
    generator = torch.Generator().manual_seed(0)
    draw = torch.randint(200, VOCABULARY, (size, SENTENCES, WORD_PIECES), generator=generator).tolist()
    reports = pad_reports(draw, SpecialTokens(cls=101, sep=102, pad=0))
    image, ids = settings.model.image, tuple(map(str, range(size)))
    stored = (size, image.input_size, image.input_size)
    return TrainingBatch(
        image_ids=ids,
        study_ids=ids,
        pixels=torch.randint(0, 256, stored, dtype=torch.uint8, generator=generator),
        draw=torch.rand(DRAWS, size, generator=generator),
        reports=(reports,),
        dropout_seeds=(0,),
        visible=draw_visible(size, image.patches, settings.mask_ratio, generator),
        sentence_mask=reports.sentence_mask,
        sentence_weights=reports.sentence_mask.float(),
        false_negatives=torch.zeros(size, size, dtype=torch.bool),
        compared=None,
    )


def saved_bytes(model: Objective, batch: TrainingBatch) -> int:
    """Return the bytes that autograd keeps after the forward pass, without the weights."""
    weights = {each.untyped_storage().data_ptr() for each in model.parameters()}
    kept: dict[int, tuple[int, Tensor]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # keeps the tensor, so that its address is not reused
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
        loss = model(batch).total
    total = sum(size for size, _ in kept.values())
    del loss
    return total


def figures(changes: dict) -> tuple[float, float]:
    """Return GiB of weights, gradients and AdamW's moments, all float32, and MiB per pair."""
    settings = PretrainSettings.model_validate({"model": {"text": {"weights": None}}, **changes})
    model = Objective(settings, VOCABULARY).train()
    fixed = 4 * 4 * sum(each.numel() for each in model.parameters())
    small, large = (saved_bytes(model, batch_of(size, settings)) for size in BATCHES)
    return fixed / GIB, (large - small) / (BATCHES[1] - BATCHES[0]) / 2**20


def main() -> None:
    variants = {
        "mlip, half of the patches masked": {},
        "clip, all patches": {"mask_ratio": 0, "contrastive": {"integrity": "none"}, "local": {"weight": 0},
                              "reconstruction": {"weight": 0}},
    }  # fmt: skip
    print("| variant | fixed, GiB | per pair, MiB | " + " | ".join(CARDS) + " |")
    print("|---|---|---|" + "---|" * len(CARDS))
    for name, changes in variants.items():
        fixed, pair = figures(changes)
        fits = [max(0, int((size * 1e9 / GIB - 1.5 - fixed) * 0.9 * 1024 / pair)) for size in CARDS.values()]
        print(f"| {name} | {fixed:.1f} | {pair:.0f} | {' | '.join(f'{each:,}' for each in fits)} |", flush=True)


if __name__ == "__main__":
    main()
