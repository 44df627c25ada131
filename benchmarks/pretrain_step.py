"""Time a step of pre-training and its parts on the CPU or a GPU: pairs per second, share of the peak, memory, stalls.

    python -m benchmarks.pretrain_step                                 # a small encoder, one CPU thread
    python -m benchmarks.pretrain_step --size base --device cuda --batch 256
    python -m benchmarks.pretrain_step --size base --batch 256 --loading   # the loading thread's work alone

`base` is the default setting: ViT-B/16 at 224 pixels with half of the patches hidden, a BERT of base size, a decoder
of 4 blocks. Images are noise of 256 x 256; reports have realistic lengths (5.8 sentences, 13.4 tokens each). Variants
of one setting run interleaved, one step at a time; results are medians. Also timed: the loading thread's work for a
batch, compared with copying the usual three-channel floats, and the word pieces of a report, compared with tokenising
it when it is drawn, as peers do (transformers' fast tokenizer, padded to 256).
"""

import argparse
import json
import statistics
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from transformers import PreTrainedTokenizerFast

from stages.common.data.image_store import ImageStore
from stages.common.data.paired_reports import Study
from stages.common.device_peaks import peak_of
from stages.common.encoders.report_batches import FlatReports, SpecialTokens
from stages.common.training.prefetching import DrawnBatch
from stages.pretrain.batches import TrainingData
from stages.pretrain.contract import PretrainSettings
from stages.pretrain.optimisation import adamw, update
from stages.pretrain.throughput import StepFlops, compile_static_parts, hardware_tags, peak_memory
from stages.pretrain.training import build

SIZES: dict[str, dict[str, Any]] = {
    "small": {
        "model": {
            "image": {"architecture": "custom", "input_size": 96, "patch_size": 8, "width": 192, "depth": 6,
                      "heads": 3},
            "text": {"weights": None, "width": 192, "depth": 4, "heads": 3, "context": "sentences"},
            "embedding_width": 128,
        },
        "reconstruction": {"width": 128, "depth": 2, "heads": 4},
    },
    "base": {
        "model": {
            "image": {"architecture": "vit_base_patch16_224"},
            "text": {"weights": None, "context": "sentences"},
            "embedding_width": 512,
        }
    },
}  # fmt: skip
VOCABULARY = 28_996  # of Bio_ClinicalBERT
STORED = {"small": 128, "base": 256}  # pixels


class Noise(ImageStore):
    """Hold 64 images in memory, used repeatedly."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._blocks = [np.random.default_rng(0).integers(0, 256, (64, size, size)).astype(np.uint8)]
        self._starts = np.array([0, 64])

    def row_of(self, image_id: str) -> int:
        return int(image_id) % 64


def studies(count: int) -> list[Study]:
    """Return reports of 1 to 16 sentences (mean 5.8) of about 13.4 tokens each; a third of the sentences recur."""
    noise = np.random.default_rng(0)
    common = [noise.integers(5, VOCABULARY, noise.integers(4, 12)).tolist() for _ in range(50)]
    made = []
    for number in range(count):
        sentences, room = [], 254
        for _ in range(int(np.clip(noise.gamma(4, 1.45), 1, 16))):
            own = noise.integers(5, VOCABULARY, int(np.clip(noise.gamma(3, 5.5), 3, 60))).tolist()
            sentence = common[noise.integers(50)] if noise.random() < 0.35 else own
            if len(sentence) <= room:
                sentences.append(sentence)
                room -= len(sentence)
        made.append(Study(str(number), str(number), [str(number)], sentences, [str(each) for each in sentences]))
    return made


def settings_of(size: str, batch: int, **changes: Any) -> PretrainSettings:
    optimisation = {"batch_size": batch, "epochs": 1} | changes.pop("optimisation", {})
    return PretrainSettings.model_validate(SIZES[size] | {"optimisation": optimisation} | changes)


class Stepper:
    """Hold one variant: model, optimiser, and the parts of a step with their times."""

    def __init__(self, settings: PretrainSettings, data: TrainingData, device: torch.device) -> None:
        self.settings, self.data, self.device = settings, data, device
        self.model = build(settings, VOCABULARY).to(device).train()
        self.optimiser = adamw(self.model, settings)
        self.flops = StepFlops(self.model)
        if settings.optimisation.compiled is True:  # auto: both ways are timed
            compile_static_parts(self.model)
        self.times: list[dict[str, float]] = []
        self.work: list[int] = []

    def step(self, number: int) -> None:
        drawn = self.data.draw(number % self.data.steps_per_epoch)
        ready = DrawnBatch.bound_for(self.device, drawn)
        marks = [self._now()]
        batch = ready.to(self.device)
        marks.append(self._now())
        bf16 = self.settings.optimisation.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16) if bf16 else nullcontext():
            losses = self.model(batch)
        marks.append(self._now())
        self.optimiser.zero_grad(set_to_none=True)
        losses.total.backward()
        marks.append(self._now())
        update(self.model, self.optimiser, 1.0)
        marks.append(self._now())
        parts = ("to the device", "forward", "backward", "update")
        self.times.append(
            {name: after - before for name, before, after in zip(parts, marks[:-1], marks[1:], strict=True)}
        )
        self.work.append(self.flops.of(drawn))

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()  # other processes share this machine

    def row(self, warm_up: int) -> dict[str, float]:
        kept = self.times[warm_up:]
        row = {f"{name}, ms": 1e3 * statistics.median(each[name] for each in kept) for name in kept[0]}
        seconds = statistics.median(sum(each.values()) for each in kept)
        row |= {"step, ms": 1e3 * seconds, "pairs/s": self.settings.optimisation.batch_size / seconds}
        row["TFLOP/s"] = statistics.median(self.work[warm_up:]) / seconds / 1e12
        if self.device.type == "cuda":
            peak = peak_of(torch.cuda.get_device_name(self.device), self.settings.optimisation.precision)
            row |= {"MFU": row["TFLOP/s"] * 1e12 / peak} if peak else {}
        return row


def loading(data: TrainingData, rounds: int) -> dict[str, float]:
    """Return milliseconds of the loading thread per batch, and of the usual normalised three-channel floats."""
    ours, usual, batch = [], [], data.settings.optimisation.batch_size
    for number in range(rounds):
        started = time.process_time()
        drawn = data.draw(number % data.steps_per_epoch)
        ours.append(time.process_time() - started)
    for _ in range(rounds):  # apart: memory of hundreds of MB that comes and goes would slow the other one
        started = time.process_time()
        floats = drawn.pixels.float().div(255).unsqueeze(1).expand(batch, 3, -1, -1).contiguous()
        floats.sub_(0.5).div_(0.25)
        usual.append(statistics.median(ours) + time.process_time() - started)
    size = drawn.pixels.numel()
    return {"ours, ms": 1e3 * statistics.median(ours), "as floats, ms": 1e3 * statistics.median(usual),
            "ours, MB": size / 1e6, "as floats, MB": 12 * size / 1e6} | word_pieces(data, rounds)  # fmt: skip


def word_pieces(data: TrainingData, rounds: int) -> dict[str, float]:
    """Return microseconds a report: its word pieces from flat arrays, and by tokenising its text when drawn."""
    words = Tokenizer(WordPiece({"[PAD]": 0, "[UNK]": 1} | {f"w{number}": number for number in range(2, VOCABULARY)}))
    words.normalizer, words.pre_tokenizer = BertNormalizer(), BertPreTokenizer()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")  # noqa: S106
    size = data.settings.optimisation.batch_size
    reports = [study.sentences for study in data.studies[:size]]
    texts = [" ".join(f"w{piece}" for sentence in report for piece in sentence) for report in reports]
    flat = FlatReports.of(reports)
    chosen, counts = np.arange(len(flat.starts) - 1), np.diff(flat.first)
    ours, peers = [], []
    for _ in range(rounds):
        started = time.process_time()
        flat.batch(chosen, counts, SpecialTokens(2, 3), "report")
        ours.append(time.process_time() - started)
        started = time.process_time()
        for text in texts:
            tokenizer(text, truncation=True, padding="max_length", max_length=256, return_tensors="pt")
        peers.append(time.process_time() - started)
    return {"word pieces, us": 1e6 * statistics.median(ours) / size,
            "tokenised when drawn, us": 1e6 * statistics.median(peers) / size}  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", choices=SIZES, default="small")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--batch", type=int, default=32)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--compiled", action="store_true", help="also time the variant with torch.compile")
    options.add_argument("--loading", action="store_true", help="time the loading thread's work alone")
    options.add_argument("--output", type=Path)
    given = options.parse_args()
    if given.device == "cpu":
        torch.set_num_threads(1)
    device = torch.device(given.device)
    gpu = device.type == "cuda"
    variants: dict[str, dict[str, Any]] = {
        "fp32": {},
        "bf16": {"optimisation": {"precision": "bf16"}},
        "fp32, nothing hidden": {"mask_ratio": 0, "reconstruction": {"weight": 0},
                                 "contrastive": {"integrity": "none"}},
        "fp32, micro_batch of a quarter": {"optimisation": {"micro_batch": given.batch // 4}},
        "fp32, no transport": {"local": {"weight": 0}},
    }  # fmt: skip
    if gpu or given.compiled:
        variants["bf16, compiled"] = {"optimisation": {"precision": "bf16", "compiled": True}}
        variants["fp32, compiled"] = {"optimisation": {"compiled": True}}
    reports = studies(4 * given.batch)
    if given.loading:
        model = SIZES[given.size]["model"]
        whole = model | {"text": model["text"] | {"context": "report"}}
        settings = settings_of(given.size, given.batch, model=whole)
        data = TrainingData(settings, Noise(STORED[given.size]), reports, SpecialTokens(2, 3))
        print(json.dumps(loading(data, given.rounds)))
        return
    steppers = {}
    for name, changes in variants.items():
        settings = settings_of(given.size, given.batch, **changes)
        data = TrainingData(settings, Noise(STORED[given.size]), reports, SpecialTokens(2, 3))
        steppers[name] = Stepper(settings, data, device)
    warm_up = 2
    for number in range(given.rounds + warm_up):
        for each in steppers.values():
            each.step(number)
    rows = {name: each.row(warm_up) for name, each in steppers.items()}
    found = {"hardware": hardware_tags(device), "size": given.size, "batch": given.batch, "rounds": given.rounds,
             "steps": rows, "loading": loading(next(iter(steppers.values())).data, given.rounds),
             "peak_bytes_of_all": peak_memory(device)}  # fmt: skip
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    print("| | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{row[key]:.3g}" if key in row else "" for key in columns) + " |")
    print(json.dumps(found["loading"]), json.dumps(found["hardware"]))
    if given.output:
        given.output.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
