"""Models from a hub on loopback, from the cache, from files put there by hand; and what happens without a network."""

import json
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from stages.common.command_line import run_stage
from stages.common.encoders.weight_files import WeightsRecord, weight_files
from stages.common.errors import InputError
from stages.common.files.atomic_files import sha256_of, verify
from stages.common.records import parse_record
from stages.fetch_weights.__main__ import WORK
from stages.fetch_weights.fetch import fetch

ROOT = Path(__file__).resolve().parents[3]
MODEL = "someone/bert"
COMMIT = "0123456789abcdef0123456789abcdef01234567"  # of every model of the fixture `hub`
TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([1.0, -1.0])}


def torch_file(content, as_zip: bool = True) -> bytes:
    buffer = BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=as_zip)
    return buffer.getvalue()


class Harmful:
    """Unpickling it would create the file `path`."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.open, (str(self.path), os.O_CREAT)


def assert_same_tensors(path, expected):
    loaded = load_file(path)
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)


def test_a_model_of_the_hub_with_its_record(hub, tmp_path):
    hub.add(MODEL, {"pytorch_model.bin": b"not wanted beside safetensors"})
    folder = tmp_path / "weights"
    record = fetch(MODEL, folder)
    assert parse_record(folder / "weights.json", WeightsRecord) == record
    assert (record.id, record.revision, record.license) == (MODEL, COMMIT, "mit")
    assert record.converted_from is None
    assert set(record.files) == {"README.md", "config.json", "model.safetensors", "vocab.txt"}
    for name, file in record.files.items():
        assert verify(folder / name) == file.sha256
        assert (folder / name).stat().st_size == file.bytes
        assert (folder / name).read_bytes() == hub.models[MODEL][name]


def test_a_folder_that_is_whole_is_left_alone(hub, tmp_path):
    hub.add(MODEL)
    first = fetch(MODEL, tmp_path / "weights")
    hub.requests.clear()
    assert fetch(MODEL, tmp_path / "weights") == first
    assert hub.requests == []


def test_a_file_that_went_is_fetched_again_and_one_that_changed_is_named(hub, tmp_path):
    hub.add(MODEL)
    first = fetch(MODEL, tmp_path / "weights")
    (tmp_path / "weights" / "vocab.txt").unlink()
    assert fetch(MODEL, tmp_path / "weights") == first
    (tmp_path / "weights" / "vocab.txt").write_text("[PAD]\nchanged\n")
    with pytest.raises(InputError, match=r"vocab\.txt: damaged"):
        fetch(MODEL, tmp_path / "weights")


@pytest.mark.parametrize("as_zip", [True, False])
def test_a_torch_file_becomes_safetensors_even_where_tensors_share_memory(hub, tmp_path, as_zip):
    shared = {**TENSORS, "tied": TENSORS["weight"]}
    hub.add(MODEL, {"model.safetensors": None, "pytorch_model.bin": torch_file(shared, as_zip)})
    record = fetch(MODEL, tmp_path / "weights")
    assert_same_tensors(tmp_path / "weights" / "model.safetensors", shared)
    assert record.converted_from.file == "pytorch_model.bin"
    assert "pytorch_model.bin" not in record.files
    assert not (tmp_path / "weights" / "pytorch_model.bin").exists()


def test_without_torch_a_torch_file_stays_as_it_is(hub, tmp_path, monkeypatch):
    data = torch_file(TENSORS)
    hub.add(MODEL, {"model.safetensors": None, "pytorch_model.bin": data})
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)  # its import fails, as on a login node
    folder = tmp_path / "weights"
    record = fetch(MODEL, folder)
    assert (record.converted_from, "pytorch_model.bin" in record.files) == (None, True)
    assert weight_files(folder) == [folder / "config.json", folder / "pytorch_model.bin"]
    assert (folder / "pytorch_model.bin").read_bytes() == data
    assert fetch(MODEL, folder) == record


@pytest.mark.parametrize("layout", ["zip", "before torch 1.6", "plain pickle"])
def test_code_in_a_torch_file_is_refused_and_not_run(hub, tmp_path, layout):
    trace = tmp_path / "was_run"
    content = {**TENSORS, "weight": Harmful(trace)}
    data = pickle.dumps(content, 2) if layout == "plain pickle" else torch_file(content, layout == "zip")
    hub.add(MODEL, {"model.safetensors": None, "pytorch_model.bin": data})
    with pytest.raises(InputError, match=r"pytorch_model\.bin: (refused.*posix\.open|no file of tensors)") as caught:
        fetch(MODEL, tmp_path / "weights")
    assert "\n" not in str(caught.value)
    assert not trace.exists()
    assert not (tmp_path / "weights" / "weights.json").exists()


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (None, "unknown"),
        (b"# no metadata\n", "unknown"),
        (b"---\ntags: [x]\n---\n", "unknown"),
        (b"---\nlicense: cc-by-nc-4.0\n---\n", "cc-by-nc-4.0"),
        (b"---\nlicense: other\nlicense_name: our-terms\n---\n", "our-terms"),
    ],
)
def test_the_license_stands_in_the_card_and_unknown_is_said(hub, tmp_path, capsys, card, expected):
    hub.add(MODEL, {"README.md": card})
    assert fetch(MODEL, tmp_path / "weights").license == expected
    assert ("WARNING" in capsys.readouterr().err) == (expected == "unknown")


def test_without_network_the_cache_serves(hub, nobody, tmp_path, point_at, monkeypatch):
    hub.add(MODEL)
    first = fetch(MODEL, tmp_path / "first")
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch(MODEL, tmp_path / "second") == first
    assert hub.requests == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    point_at(nobody)
    assert fetch(MODEL, tmp_path / "third") == first


def test_a_damaged_download_is_seen(hub, tmp_path):
    hub.add(MODEL)
    fetch(MODEL, tmp_path / "first")
    blob = next((tmp_path / "hub").rglob("model.safetensors")).resolve()
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    with pytest.raises(InputError, match=r"damaged \(model\.safetensors"):
        fetch(MODEL, tmp_path / "second")


@pytest.fixture
def nobody() -> Iterator[str]:
    """The address of a port that refuses connections: bound, so that no other process can listen there."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_no_network_and_no_cache_is_one_line_with_all_that_is_needed(point_at, nobody, tmp_path):
    point_at(nobody)
    with pytest.raises(InputError) as caught:
        fetch(MODEL, tmp_path / "weights")
    message = str(caught.value)
    for part in (
        MODEL,
        "config.json, model.safetensors or pytorch_model.bin",
        str(tmp_path / "hub"),
        nobody,
        f"hf download {MODEL}",
        str(tmp_path / "weights"),
    ):
        assert part in message
    assert "\n" not in message


def test_a_network_that_swallows_packets_is_given_up(point_at, tmp_path, monkeypatch):
    """A server that takes the connection and never answers, as behind many firewalls."""
    monkeypatch.setattr("stages.fetch_weights.fetch._SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        point_at(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(InputError, match="no answer"):
            fetch(MODEL, tmp_path / "weights")


def test_what_the_hub_does_not_have(hub, tmp_path):
    with pytest.raises(InputError, match=r"someone/bert: no such model on http"):
        fetch(MODEL, tmp_path / "weights")
    hub.add(MODEL, {"model.safetensors": None})
    with pytest.raises(InputError, match=r"no model\.safetensors nor pytorch_model\.bin"):
        fetch(MODEL, tmp_path / "weights")
    hub.add(MODEL, {"config.json": None})
    with pytest.raises(InputError, match=r"no config\.json"):
        fetch(MODEL, tmp_path / "weights")


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_files_put_there_by_hand_are_taken(hub, tmp_path, name):
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    if name == "pytorch_model.bin":
        torch.save(TENSORS, folder / name)
    else:
        save_file(TENSORS, folder / name)
    record = fetch(MODEL, folder)
    assert hub.requests == []
    assert (record.revision, record.license) == (None, "unknown")
    assert record.files["model.safetensors"].sha256 == sha256_of(folder / "model.safetensors")
    assert_same_tensors(folder / "model.safetensors", TENSORS)
    assert fetch(MODEL, folder) == record


def test_the_stage_keeps_a_journal_and_its_folder_belongs_to_one_model(hub, tmp_path):
    hub.add(MODEL)
    command = ["--folder", str(tmp_path / "weights"), "--journal", str(tmp_path / "journal.json"), "--name", "bert"]
    run_stage(WORK, [*command, "--settings", json.dumps({"id": MODEL})])
    journal = json.loads((tmp_path / "journal.json").read_text())
    assert (journal["status"], journal["tags"]["license"], journal["tags"]["revision"]) == ("FINISHED", "mit", COMMIT)
    with pytest.raises(InputError, match=r"records someone/bert, not other/bert"):
        fetch("other/bert", tmp_path / "weights")
    with pytest.raises(SystemExit):
        run_stage(WORK, [*command, "--settings", '{"id": "not an id"}'])


def test_the_environment_is_honoured(hub, nobody, tmp_path):
    """HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE, as a user sets them."""
    hub.add(MODEL)

    def run(folder: str, **environment: str) -> subprocess.CompletedProcess[str]:
        options = ("--folder", tmp_path / folder, "--journal", tmp_path / "journal.json")
        return subprocess.run(
            [sys.executable, "-m", "stages.fetch_weights", *options, "--settings", json.dumps({"id": MODEL})],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HF_HOME": str(tmp_path / "home"), **environment},
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    offline = run("weights", HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")
    assert offline.returncode == 2
    assert "HF_HUB_OFFLINE is set" in offline.stderr
    assert len(offline.stderr.splitlines()) == 1
    assert hub.requests == []
    online = run("weights", HF_ENDPOINT=hub.url)
    assert online.returncode == 0, online.stderr
    again = run("again", HF_ENDPOINT=nobody, HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    records = [(tmp_path / folder / "weights.json").read_text() for folder in ("weights", "again")]
    assert records[0] == records[1]
