"""Compare evaluations whose encoders compute in bf16 and TF32 with fp32: AUC, pointing, retrieval, and scores.

A workspace of a finished run is read: `snakemake --profile workflow/profiles/demo` writes one. Everything is computed
by the stages' own functions. bf16 is autocast, on a CPU too. TF32 is emulated on a CPU: factors of the encoders' matrix
products are rounded to 10 bits, half away from zero, and products are summed in fp32.
`python -m benchmarks.encoder_precision [--workspace runs/demo] [--variant mlip] [--device cpu]`
"""

import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from stages.common.data.image_store import ImageStore
from stages.common.data.label_matrix import read_label_matrix
from stages.common.data.labelled_images import read_labels
from stages.common.data.paired_reports import read_pairs
from stages.common.data.prompts import read_prompts
from stages.common.device import choose_device
from stages.common.encoders.dual import Checkpoint, load_checkpoint
from stages.common.encoders.prompt_scores import prompt_scores
from stages.common.files.code_digest import ROOT
from stages.common.inference import encoding
from stages.common.inference.encoding import in_batches, joined, token_batches
from stages.common.metrics.ranking import auc
from stages.common.settings import Precision
from stages.phrase_grounding.contract import PhraseGroundingSettings
from stages.phrase_grounding.located_images import locate
from stages.phrase_grounding.pointers import Pointers
from stages.phrase_grounding.prompt_sets import ground_prompts
from stages.retrieval.contract import RetrievalSettings
from stages.retrieval.embedded_pairs import embed_pairs
from stages.retrieval.evaluation import rank
from stages.zero_shot_classification.contract import ZeroShotSettings
from stages.zero_shot_classification.scores import local_scores

PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "bf16")
FINDINGS = {"rsna": "lung_opacity", "siim": "pneumothorax"}
_BATCH, _RECALL_AT = 128, (1, 5)
_LOCAL = ZeroShotSettings(score="local", batch_size=_BATCH)


def rounded(values: Tensor) -> Tensor:
    """Return fp32 numbers with 10 bits behind the leading one, the nearest such, half away from zero."""
    return ((values.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


class RoundedProducts(TorchFunctionMode):
    """Round the factors of linear layers, convolutions, products and attention as TF32 does."""

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        options = options or {}
        if function in (F.linear, F.conv2d, torch.conv2d, torch.matmul, torch.bmm):
            arguments = (*map(rounded, arguments[:2]), *arguments[2:])
        elif function is F.scaled_dot_product_attention:
            return _attention(*arguments, **options)
        return function(*arguments, **options)


def _attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **options: Any) -> Tensor:
    if options.get("dropout_p") or options.get("is_causal"):
        raise ValueError(f"attention with {options} is not emulated")
    scale = options.get("scale") or query.shape[-1] ** -0.5
    scores = rounded(query) @ rounded(key).mT * scale
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return rounded(scores.softmax(dim=-1)) @ rounded(value)


_in_hardware = encoding.computing_in


@contextmanager
def emulated(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute as `encoding.computing_in` does, and in TF32 on a CPU, too."""
    if precision == "tf32" and device.type == "cpu":
        with RoundedProducts():
            yield
    else:
        with _in_hardware(precision, device):
            yield


class Workspace:
    """Files of a finished run that evaluations read."""

    def __init__(self, folder: Path, variant: str, device: str) -> None:
        self.results = folder / "results"
        path = self.results / "select_checkpoint" / variant / "checkpoint"
        self.checkpoint: Checkpoint = load_checkpoint(path, choose_device(device))

    def store(self, dataset: str) -> ImageStore:
        return ImageStore(self.results / "dicom_to_arrow" / dataset / "manifest.json")

    def values(self, precision: Precision) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Return figures by name, and the scores behind them."""
        figures: dict[str, float] = {}
        scores: dict[str, np.ndarray] = {}
        for dataset, finding in FINDINGS.items():
            for name, (value, own) in self._zero_shot(dataset, finding, precision).items():
                figures[f"{dataset}: AUC, {name}"], scores[f"{dataset} {name}"] = value, own
            figures |= self._pointing(dataset, finding, precision)
        return figures | self._retrieval(precision), scores

    def _zero_shot(self, dataset: str, finding: str, precision: Precision) -> dict[str, tuple[float, np.ndarray]]:
        """Return AUC on test and scores of every prompt set, of whole images and of patches."""
        model, store = self.checkpoint.model, self.store(dataset)
        prompts = read_prompts(ROOT / f"stages/zero_shot_classification/prompts/{dataset}.yaml", denying=True)
        labels = read_label_matrix(self.results / "label_images" / dataset / "labels.arrow").part("test")
        ids, targets = labels.images["image_id"].to_list(), labels.of(finding).astype(np.int64)
        sets = prompts[finding].expanded()
        batches = in_batches([store.row_of(each) for each in ids], _BATCH)
        started = time.thread_time()
        embedded = joined(map(model.embed_global, token_batches(model, store.gather, batches, precision))).numpy()
        self.seconds = time.thread_time() - started
        of_patches = local_scores(self.checkpoint, sets, store, ids, _LOCAL, precision)
        kinds = {"global": prompt_scores(self.checkpoint, sets, embedded), "local": of_patches}
        once = np.ones((1, len(ids)))
        return {f"{kind}, {name}": (float(auc(each[name], targets, once)[0]), each[name])
                for kind, each in kinds.items() for name in sets}  # fmt: skip

    def _pointing(self, dataset: str, finding: str, precision: Precision) -> dict[str, float]:
        prompts = read_prompts(ROOT / f"stages/phrase_grounding/prompts/{dataset}.yaml")[finding]
        path, store = self.results / "label_images" / dataset / "labels.arrow", self.store(dataset)
        rows: pl.DataFrame = read_labels(path, finding)
        settings = PhraseGroundingSettings(random_encoders=0, supervised_probe=False)
        pointers = Pointers(self.checkpoint, store, path, settings, precision)
        sets = ground_prompts(pointers, finding, prompts, {"test": locate(rows, store, "test", path)}, 1, 0)
        return {f"{dataset}: {measure}, {name}": float(np.mean(own.values[measure]["heatmap"]))
                for name, own in sets.items() for measure in ("pointing", "mean_iou")}  # fmt: skip

    def _retrieval(self, precision: Precision) -> dict[str, float]:
        text = self.checkpoint.model.settings.text
        pairs, sentences = (self.results / stage / "mimic_cxr" / name for stage, name in
                            (("pair_images_reports", "pairs.arrow"), ("split_reports", "sentences.arrow")))  # fmt: skip
        found: dict[str, float] = {}
        for part in ("validation", "test"):
            studies = read_pairs(pairs, sentences, part, text.max_tokens, text.max_sentences)
            embedded = embed_pairs(self.checkpoint, studies, self.store("mimic_cxr"), _BATCH, precision)
            found |= {f"{len(studies)} {part} pairs: recall@{k}, {name}": float(each.found.recall(k).mean())
                      for name, each in rank(embedded, RetrievalSettings()).items() for k in _RECALL_AT}  # fmt: skip
        return found


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, default=Path("runs/demo"))
    parser.add_argument("--variant", default="mlip")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    encoding.computing_in = emulated
    workspace = Workspace(arguments.workspace, arguments.variant, arguments.device)
    found, scores, seconds = {}, {}, {}
    for precision in PRECISIONS:
        found[precision], scores[precision] = workspace.values(precision)
        seconds[precision] = workspace.seconds
    print("| figure | fp32 | tf32 - fp32 | bf16 - fp32 |\n|---|---|---|---|")
    for name, value in found["fp32"].items():
        print(f"| {name} | {value:.4f} | " + " | ".join(f"{found[each][name] - value:+.5f}" for each in PRECISIONS[1:])
              + " |")  # fmt: skip
    for precision in PRECISIONS[1:]:
        by_kind = {kind: [name for name in found["fp32"] if kind in name] for kind in ("AUC", "pointing", "recall")}
        largest = {kind: max(abs(found[precision][name] - found["fp32"][name]) for name in names)
                   for kind, names in by_kind.items()}  # fmt: skip
        moved = max(
            float(np.abs(scores[precision][name] - own).max() / own.std()) for name, own in scores["fp32"].items()
        )
        print(f"{precision}: largest change of " + ", ".join(f"{kind} {value:.5f}" for kind, value in largest.items())
              + f"; of a score, in standard deviations of the scores {moved:.4f}")  # fmt: skip
    print("thread seconds of the last data set's images: "
          + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()))  # fmt: skip


if __name__ == "__main__":
    main()
