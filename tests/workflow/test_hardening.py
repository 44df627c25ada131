"""Planted files are never run and never written outside; nothing unsafe is called; secrets stay where they are."""

import ast
import gzip
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from stages.common.data.prompts import read_prompts
from stages.common.encoders.image import ImageEncoder
from stages.common.encoders.settings import ImageEncoderSettings
from stages.common.encoders.tensor_files import read_tensors
from stages.common.errors import InputError
from stages.common.files.atomic_files import write_sidecar
from stages.common.settings import Settings
from stages.common.training.state_files import ResumableState
from stages.fetch_weights.fetch import fetch
from stages.index_inputs.contract import IndexInputsSettings
from stages.index_inputs.index import build_index
from stages.pretrain.weights import load_image_weights
from workflow.audit import affects, findings
from workflow.images.lock import read_images_lock
from workflow.site_profile import read_profile

ROOT = Path(__file__).resolve().parents[2]
CODE = [path for part in ("stages", "workflow") for path in sorted((ROOT / part).rglob("*.py"))]


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """What a trap makes; after each test it must not be there."""
    path = tmp_path / "sprung"
    yield path
    assert not path.exists(), "planted code was run"


def plant(path: Path, mark: Path) -> Path:
    """A trap in the two forms that torch has had: a bare pickle, and a zip archive with one inside."""
    if path.suffix == ".pt":
        torch.save({"weight": Trap(mark)}, path)
    else:
        path.write_bytes(pickle.dumps({"weight": Trap(mark)}, protocol=2))
    return path


def test_the_trap_works(tmp_path: Path) -> None:
    pickle.loads(plant(tmp_path / "x.bin", tmp_path / "sprung").read_bytes())
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["w.pt", "w.bin", "pytorch_model.bin", "model.safetensors"])
def test_weights_that_are_programs_are_refused(tmp_path: Path, mark: Path, name: str) -> None:
    planted = plant(tmp_path / name, mark)
    encoder = ImageEncoder(ImageEncoderSettings(architecture="custom", width=32, depth=1, heads=4))
    for reader in (read_tensors, lambda path: load_image_weights(encoder, path)):
        with pytest.raises(InputError) as raised:
            reader(planted)
        assert name in str(raised.value)


def test_fetched_weights_and_training_states_that_are_programs_are_refused(tmp_path: Path, mark: Path) -> None:
    folder = tmp_path / "someone--bert"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    plant(folder / "pytorch_model.bin", mark)
    with pytest.raises(InputError):
        read_tensors(folder / "pytorch_model.bin")
    with suppress(InputError):
        fetch("someone/bert", folder)
    assert not (folder / "model.safetensors").exists()
    write_sidecar(plant(tmp_path / "step_00000001.pt", mark))
    with pytest.raises(InputError, match=r"step_00000001\.pt: not a training state .*Weights only load failed"):
        ResumableState(tmp_path, 0.0).newest()


def test_an_archive_that_climbs_out_writes_nothing(tmp_path: Path, mark: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("w/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("../sprung", "x")
        archive.writestr(str(mark), "x")
    before = sorted(path for path in tmp_path.parent.rglob("*") if path.is_file())
    with pytest.raises(InputError):
        read_tensors(tmp_path / "w.pt")
    assert sorted(path for path in tmp_path.parent.rglob("*") if path.is_file()) == before
    assert findings_of_an_archive_that_climbs(tmp_path) == 1


def findings_of_an_archive_that_climbs(tmp_path: Path) -> int:
    """The audit reads an archive without unpacking it: how many advisories it saw."""
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("../../sprung.json", json.dumps({"id": "X-1"}))
    return findings(tmp_path / "all.zip")[1]


@pytest.mark.parametrize(
    "path", ["../outside.dcm", "files/../../outside.dcm", "/etc/passwd", "C:/x.dcm", "a\\..\\b.dcm"]
)
@pytest.mark.parametrize("layout", ["mimic_cxr", "folder", "report"])
def test_an_index_that_climbs_out_of_its_root_is_refused(tmp_path: Path, layout: str, path: str) -> None:
    root = tmp_path / "root"
    (root / "files").mkdir(parents=True)
    (tmp_path / "outside.dcm").write_text("secret")
    if layout == "mimic_cxr":
        settings = IndexInputsSettings(layout="mimic_cxr")
        records = f"subject_id,study_id,dicom_id,path\n10000032,1,a,{path}\n"
        (root / "cxr-record-list.csv.gz").write_bytes(gzip.compress(records.encode()))
        studies = b"subject_id,study_id,path\n10000032,1,files/x.txt\n"
        (root / "cxr-study-list.csv.gz").write_bytes(gzip.compress(studies))
    else:
        columns = {"image": "file", "patient": "who", "report_file": "text"}
        settings = IndexInputsSettings(layout="folder", table="t.csv", columns=columns, identifiers="distributed")
        image, report = ("a.png", path) if layout == "report" else (path, "a.txt")
        (root / "t.csv").write_text(f"file,who,text\n{image},p,{report}\n")
    with pytest.raises(InputError, match=r"row 2: the path is absolute, contains '..' or a backslash"):
        build_index(root, settings, "x", tmp_path / "private")


TAG = "!!python/object/apply:os.system ['touch {}']"


def test_yaml_that_names_a_program_is_refused(tmp_path: Path, mark: Path) -> None:
    planted = tmp_path / "config.yaml"
    planted.write_text(f"draws: {TAG.format(mark)}\n")
    readers = {
        "settings": lambda: Settings.from_text(str(planted)),
        "settings on the command line": lambda: Settings.from_text("{x: " + TAG.format(mark) + "}"),
        "prompts": lambda: read_prompts(planted),
        "images lock": lambda: read_images_lock(planted),
        "profile": lambda: read_profile(tmp_path),
    }
    for name, reader in readers.items():
        with pytest.raises(InputError):
            reader()
        assert not mark.exists(), name


UNSAFE = {"eval", "exec", "compile", "__import__", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "pickle.load",
          "pickle.loads", "marshal.loads", "os.system", "shelve.open", "joblib.load", "zipfile.extractall",
          "shutil.unpack_archive"}  # fmt: skip


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    """Every call in a file with its dotted name."""
    tree = ast.parse(path.read_text())
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_no_code_calls_what_runs_data() -> None:
    found = []
    for path in CODE:
        for name, call in calls(path):
            keywords = {each.arg: ast.unparse(each.value) for each in call.keywords}
            unsafe = name in UNSAFE or name.endswith(".extractall") or keywords.get("shell") == "True"
            unsafe |= name == "torch.load" and keywords.get("weights_only") != "True"
            unsafe |= name.endswith("np.load") and keywords.get("allow_pickle", "False") != "False"
            if unsafe:
                found.append(f"{path.relative_to(ROOT)}:{call.lineno}: {name}")
    assert not found
    assert any(name == "torch.load" for path in CODE for name, _ in calls(path)), "the search finds what there is"


def test_mlflow_is_served_on_loopback_alone() -> None:
    places = [ROOT / "Makefile", ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *CODE]
    commands = [(path, line) for path in places for line in path.read_text().splitlines()
                if re.search(r"mlflow (ui|server) -", line)]  # fmt: skip
    assert commands
    for path, line in commands:
        host = re.search(r"--host[ =](\S+)", line)
        assert host is None or host[1] in ("127.0.0.1", "localhost") or "--app-name basic-auth" in line, (path, line)


def test_secrets_of_the_environment_reach_no_journal_and_no_output(tmp_path: Path) -> None:
    secrets = {"MLFLOW_TRACKING_PASSWORD": "sesame-1", "MLFLOW_TRACKING_TOKEN": "sesame-2", "HF_TOKEN": "sesame-3",
               "MLFLOW_TRACKING_USERNAME": "sesame-4"}  # fmt: skip
    (tmp_path / "t.csv").write_text("file\na.png\n")
    settings = json.dumps({"layout": "folder", "table": "t.csv", "columns": {"image": "file"}})
    done = subprocess.run(
        [sys.executable, "-m", "stages.index_inputs", "--root", tmp_path, "--dataset", "x", "--private", tmp_path / "p",
         "--files", tmp_path / "f.arrow", "--reports", tmp_path / "r.arrow", "--settings", settings,
         "--journal", tmp_path / "journal.json"],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT), **secrets},
    )  # fmt: skip
    everything = (
        done.stdout
        + done.stderr
        + "".join(path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    )
    assert "FINISHED" in everything
    assert "sesame" not in everything


def test_what_installs_an_image_leaves_no_cache() -> None:
    scripts = (ROOT / "docker" / "install.sh").read_text()
    assert "--no-cache-dir" in scripts
    for dockerfile in ROOT.glob("docker/*/Dockerfile"):
        text = dockerfile.read_text()
        assert not re.search(r"apt-get|apk |curl |wget ", text), "nothing but the lock is installed"
        assert not re.search(r"(PASSWORD|TOKEN|SECRET)", text)


def ranges(*events: dict[str, str], kind: str = "ECOSYSTEM") -> dict:
    return {"ranges": [{"type": kind, "events": [*events]}]}


FROM_START, FROM_1_5, FROM_2 = ({"introduced": each} for each in ("0", "1.5", "2"))


@pytest.mark.parametrize(
    ("affected", "version", "inside"),
    [
        ({"versions": ["1.0", "1.1"]}, "1.1", True),
        ({"versions": ["1.0"]}, "1.1", False),
        (ranges(FROM_START, {"fixed": "2.0"}), "1.9", True),
        (ranges(FROM_START, {"fixed": "2.0"}), "2.0", False),
        (ranges(FROM_1_5, {"last_affected": "1.9"}), "1.9", True),
        (ranges(FROM_1_5, {"last_affected": "1.9"}), "1.10", False),
        (ranges(FROM_1_5, {"fixed": "1.6"}, FROM_2), "3", True),
        (ranges(FROM_START, kind="GIT"), "1.0", False),
    ],
)
def test_an_advisory_speaks_of_the_versions_in_its_ranges(affected: dict, version: str, inside: bool) -> None:
    assert affects(affected, version) == inside


def test_the_audit_names_pin_lock_and_advisory(tmp_path: Path) -> None:
    envs = tmp_path / "envs"
    envs.mkdir()
    (envs / "torch.lock").write_text("torch==2.0 \\\n    --hash=sha256:00\nPillow==1.0\n")
    everything = [{"introduced": "0"}]
    for name, package, extra in (("A", "Torch", {}), ("B", "pillow", {"withdrawn": "2020"}), ("C", "other", {})):
        affected = {"package": {"ecosystem": "PyPI", "name": package},
                    "ranges": [{"type": "ECOSYSTEM", "events": everything}]}  # fmt: skip
        record = {"id": name, "summary": "bad", "affected": [affected], **extra}
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
    assert findings(tmp_path, envs) == (["torch 2.0 (torch): A: bad"], 2)
