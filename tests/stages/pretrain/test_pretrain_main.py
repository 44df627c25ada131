"""The stage from files to candidates and learning curve, by its command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from one_shard_store import write_one_shard
from planted_pairs import small
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from stages.common.command_line import run_stage
from stages.common.encoders.dual import build_encoder
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows
from stages.common.files.atomic_files import read_json, verify, write_sidecar
from stages.common.records import read_record
from stages.pretrain.__main__ import WORK
from stages.pretrain.contract import Candidates
from stages.pretrain.learning_curve import CURVE
from stages.summarize.readers.training import read_curve

SIZE, STUDIES = 20, 16
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{number}" for number in range(20))]
NORMALISATION = {"normalisation": "given"}


@pytest.fixture
def folder(tmp_path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (STUDIES, SIZE, SIZE), dtype=np.uint8)
    write_one_shard(tmp_path, "set", SIZE, [{"image_id": f"i{n}", "pixels": each.tobytes()}
                                            for n, each in enumerate(pixels)])  # fmt: skip
    pairs = [dict(zip(schemas.PAIRS.names, (f"i{n}", f"s{n:02d}", f"p{n}", "train"), strict=True))
             for n in range(STUDIES)]  # fmt: skip
    sentences = [{"study_id": f"s{n:02d}", "section": "findings", "position": place, "start": 0, "end": 5,
                  "text": f"word{n + place}", "token_ids": [5 + n + place]}
                 for n in range(STUDIES) for place in range(2)]  # fmt: skip
    write_rows(tmp_path / "pairs.arrow", schemas.PAIRS, pairs)
    write_rows(tmp_path / "sentences.arrow", schemas.SENTENCES, sentences)
    (tmp_path / "fingerprint.json").write_text("{}")  # not read: the settings give the normalisation
    write_sidecar(tmp_path / "fingerprint.json")
    (tmp_path / "tokenizer").mkdir()
    tokenizer = Tokenizer(WordPiece({word: rank for rank, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    return tmp_path


def train(folder: Path, output: Path) -> Candidates:
    paths = {name: folder / f"{name}.arrow" for name in ("pairs", "sentences")}
    paths |= {"images": folder / "manifest.json", "tokenizer": folder / "tokenizer"}
    paths |= {"fingerprint": folder / "fingerprint.json", "state": folder / "state"}
    paths |= {"candidates": output / "candidates.json", "weights": output / "kept", "curve": output / "curve.csv"}
    paths |= {"journal": output / "journal.json"}
    settings = small(**NORMALISATION).model_dump(mode="json")
    options = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    run_stage(WORK, [*options, "--device", "cpu", "--settings", json.dumps(settings)])
    return read_record(output / "candidates.json", Candidates)


def test_what_is_written_is_read_by_its_record(folder, tmp_path) -> None:
    output = tmp_path / "out"
    index = train(folder, output)
    assert index.model_dump(mode="json") == read_json(output / "candidates.json")
    assert (index.steps, index.lost, [each.step for each in index.candidates]) == (8, [], [4, 8])
    assert [each.path for each in index.candidates] == [f"kept/step_{step:08d}.safetensors" for step in (4, 8)]
    for each in index.candidates:
        assert verify(output / each.path) == each.sha256
    assert build_encoder(index.encoder).settings == small(**NORMALISATION).model
    assert index.provenance.studies == STUDIES
    assert index.provenance.fingerprint == verify(folder / "fingerprint.json")
    curve = read_curve(output / "curve.csv")
    assert list(curve) == list(CURVE)
    assert curve["step"].tolist() == [8]
    journal = read_json(output / "journal.json")
    assert journal["digests"] == index.provenance.digests
    pictures = [(f"pictures/{name}.svg", True) for name in ("loss", "gradient_norm", "batch_accuracy")]
    assert [(each["path"], each["publish"]) for each in journal["artifacts"]] == [
        *pictures, ("candidates.json", False), ("curve.csv", True)]  # fmt: skip
    assert set(journal["inputs"]) == {"pairs", "sentences", "tokenizer", "images", "fingerprint"}


def test_the_same_job_again_trains_no_step(folder, tmp_path, capsys) -> None:
    first = train(folder, tmp_path / "first")
    capsys.readouterr()
    assert train(folder, tmp_path / "again").candidates == first.candidates
    assert "resuming at step 8" in capsys.readouterr().err
