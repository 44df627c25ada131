"""Time zero-shot classification of extracted images: the stage's command, from its start to result.json.

Encoders of the default setting (ViT-B/16, BERT-base) with random weights. Features, labels and a tokenizer of the
prompts' words are generated; prompts are RSNA's, and the bootstrap has its default 1,000 draws.
`python -m benchmarks.zero_shot [--images 3000] [--rounds 3]`
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import BertPreTokenizer

from stages.audit_splits.contract import Compared, Overlap, SplitAudit
from stages.common.data.prompts import read_prompts
from stages.common.encoders.dual import DualEncoder, checkpoint_record, save_checkpoint
from stages.common.encoders.settings import DualEncoderSettings
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows
from stages.common.files.atomic_files import verify
from stages.common.files.code_digest import ROOT
from stages.common.records import write_record

PROMPTS = "stages/zero_shot_classification/prompts/rsna.yaml"
BERT_BASE = {"weights": None, "width": 768, "depth": 12, "heads": 12}
VOCABULARY = 28_996  # of Bio_ClinicalBERT


def write_inputs(folder: Path, images: int) -> None:
    """Write checkpoint/, features.arrow, labels.arrow (a third of the images is test) and audit.json."""
    torch.manual_seed(0)
    model = DualEncoder(DualEncoderSettings.model_validate({"text": BERT_BASE}), VOCABULARY)
    save_checkpoint(folder / "checkpoint", model.state_dict(), checkpoint_record(model), tokenizer(folder))
    noise = np.random.default_rng(0)
    embeddings = noise.normal(size=(images, model.settings.embedding_width)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    targets = noise.random(images) < 0.3
    ids = [f"image{number:06d}" for number in range(images)]
    pooled = [0.0] * model.image.width
    features = [{"image_id": name, "embedding": row.tolist(), "pooled": pooled}
                for name, row in zip(ids, embeddings, strict=True)]  # fmt: skip
    labels: list[dict[str, object]] = [
        {"image_id": name, "patient_id": None, "finding": "lung_opacity", "target": int(target), "boxes": [],
         "mask": None, "lung_mask": None,
         "sex": None, "age": None, "view": None, "split": ("train", "validation", "test")[number % 3], "subset": 100}
        for number, (name, target) in enumerate(zip(ids, targets, strict=True))
    ]  # fmt: skip
    write_rows(folder / "features.arrow", schemas.features(embeddings.shape[1], len(pooled)), features)
    write_rows(folder / "labels.arrow", schemas.LABELS, labels)
    clean = Overlap(**dict.fromkeys(Overlap.model_fields, 0))
    compared = Compared(images=len(labels), patients_within=False, patients_with_pretraining=False,
                        pictures_with_pretraining=False)  # fmt: skip
    digest = verify(folder / "labels.arrow")
    write_record(folder / "audit.json", SplitAudit(labels_sha256=digest, compared=compared, overlap=clean))


def tokenizer(folder: Path) -> Path:
    """Write a folder with a word-piece tokenizer of the prompts' words."""
    [prompts] = read_prompts(ROOT / PROMPTS).values()
    sets = prompts.expanded().values()
    texts = " ".join(text for each in sets for text in (*each.positive, *each.negative)).lower()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(texts.replace(".", " . ").split()))]
    made = Tokenizer(WordPiece({word: rank for rank, word in enumerate(words)}, unk_token="[UNK]"))  # noqa: S106
    made.normalizer, made.pre_tokenizer = Lowercase(), BertPreTokenizer()
    (folder / "tokenizer").mkdir(parents=True)
    made.save(str(folder / "tokenizer" / "tokenizer.json"))
    return folder / "tokenizer"


def classify(folder: Path) -> tuple[float, float]:
    """Return wall seconds and processor seconds of one call."""
    files = {name: folder / name for name in ("checkpoint",)}
    files |= {name: folder / f"{name}.arrow" for name in ("features", "labels", "scores", "samples")}
    files |= {name: folder / f"{name}.json" for name in ("audit", "result", "journal")}
    options = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    command = [sys.executable, "-m", "stages.zero_shot_classification", *options, "--device", "cpu", "--settings",
               json.dumps({"prompts": PROMPTS})]  # fmt: skip
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "2"}, check=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    for name, default in (("images", 3000), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        write_inputs(Path(name), arguments.images)
        rounds = [classify(Path(name)) for _ in range(arguments.rounds)]
    wall, processor = (statistics.median(each) for each in zip(*rounds, strict=True))
    print(f"{arguments.images} images, median of {arguments.rounds}: {wall:.1f} s, {processor:.1f} s of processor time")


if __name__ == "__main__":
    main()
