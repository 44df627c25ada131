"""The same small data set as a folder and in archives: every stage and the doctor read the same, and name no member."""

import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from stages.common.data.identifiers import KEY_NAME
from stages.common.errors import InputError
from stages.common.files.archives import keep_indexes_in
from stages.config import check
from stages.configuration import Config
from stages.dicom_to_arrow.contract import DicomToArrowSettings
from stages.dicom_to_arrow.convert import convert_files
from stages.index_inputs.contract import IndexInputsSettings
from stages.index_inputs.index import build_index, files_table, reports_table
from stages.label_images.contract import LabelImagesSettings
from stages.label_images.label_tables import read_labels
from stages.label_images.mask_files import read_mask
from stages.split_reports.reports import read_report
from workflow.doctor.indexes import Indexes
from workflow.doctor.inputs import check_dataset
from workflow.doctor.labels import check_labels_of
from workflow.estimate.jobs import amount_of
from workflow.input_files import archives_of, check_files

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = {"image": "file", "patient": "who", "report_file": "text"}
INDEX = {"layout": "folder", "table": "set/t.csv", "columns": COLUMNS}
LABELS = {"layout": "folder", "finding": "mass", "table": "set/t.csv",
          "columns": {"image": "file", "target": "mass", "mask": "mask"}}  # fmt: skip
PACKERS = {"zip": "zip", "tar": "tar", "tgz": "gztar"}
PATIENTS = 12


@pytest.fixture(autouse=True)
def _nothing_kept():
    keep_indexes_in(None)
    yield
    keep_indexes_in(None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, reports and masks below set/, of patients with names; the image of one row is missing."""
    root = tmp_path_factory.mktemp("packed") / "folder"
    noise = np.random.default_rng(0)
    for name in ("images", "reports", "masks"):
        (root / "set" / name).mkdir(parents=True)
    rows = ["file,who,text,mass,mask"]
    for number in range(PATIENTS):
        image, report, mask = f"set/images/Smith{number}.png", f"set/reports/{number}.txt", f"set/masks/{number}.png"
        cv2.imwrite(str(root / image), noise.integers(0, 255, (40, 40), dtype=np.uint8))
        (root / report).write_text(f"FINDINGS: Mass number {number}.")
        cv2.imwrite(str(root / mask), np.eye(40, dtype=np.uint8))
        rows.append(f"{image},P{number},{report},{number % 2},{mask if number % 2 else ''}")
    (root / "set/images/Smith0.png").unlink()
    (root / "set/t.csv").write_text("\n".join(rows) + "\n")
    return root


def packed(folder: Path, kind: str) -> Path:
    name = f"{folder}.{'tar.gz' if kind == 'tgz' else kind}"
    return Path(name) if Path(name).exists() else Path(shutil.make_archive(str(folder), PACKERS[kind], folder))


def everything_read(root: Path, roots: tuple[Path, ...] = (), private: Path | None = None) -> dict[str, Any]:
    """What each stage reads of the data set, its ids unchanged."""
    shown = {"identifiers": "distributed"}
    index = build_index(root, IndexInputsSettings.model_validate(INDEX | shown), "set", None, roots)
    files = files_table(index, "set", 1).to_pylist()
    settings = DicomToArrowSettings(size=16, views=[])
    outcomes = list(convert_files(files, root, settings, 1, None, roots, private))
    reports = reports_table(index).to_pylist()
    labels = read_labels(root, LabelImagesSettings.model_validate(LABELS | shown)).labels
    masks = [each.findings["mass"].mask_file for each in labels.values()]
    return {
        "files": files,
        "images": [outcome.image or outcome.reject for outcome in outcomes],
        "reports": [read_report(root, row["path"], row["text"], roots).text for row in reports],
        "labels": labels,
        "masks": [read_mask(root, mask, 40, 40, roots).tolist() for mask in masks if mask],
    }


@pytest.mark.parametrize("kind", PACKERS)
def test_every_stage_reads_the_same_from_archives(folder: Path, tmp_path: Path, kind: str) -> None:
    plain, archive = everything_read(folder), packed(folder, kind)
    assert [row.get("reason") for row in plain["images"]].count("file_missing") == 1
    assert len(plain["masks"]) == PATIENTS // 2
    assert everything_read(archive) == plain
    assert everything_read(archive, private=tmp_path) == plain
    (tmp_path / "root/set").mkdir(parents=True)
    shutil.copy(folder / "set/t.csv", tmp_path / "root/set")
    assert everything_read(tmp_path / "root", (archive,)) == plain, "the table beside the archive"


def test_members_that_cannot_be_read_are_rejects_with_a_reason(folder: Path, tmp_path: Path) -> None:
    names = ["damaged.png", "encrypted.png", "odd.png", "fine.png"]
    pixels = (folder / "set/images/Smith1.png").read_bytes()
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        rows = [f"{name},p,Clear lungs." for name in names]
        archive.writestr("t.csv", "\n".join(["file,who,text", *rows]))
        for name in names:
            archive.writestr(name, pixels)
    data = bytearray((tmp_path / "x.zip").read_bytes())
    data[data.index(pixels) + 60] ^= 1
    for name, field, value in (("encrypted", 8, 1), ("odd", 10, 9)):  # flags and method in the list of members
        struct.pack_into("<H", data, data.rindex(f"{name}.png".encode()) - 46 + field, value)
    (tmp_path / "x.zip").write_bytes(data)
    block = {"layout": "folder", "table": "t.csv", "columns": {"image": "file", "patient": "who", "report": "text"}}
    config = config_of(tmp_path / "x.zip", tmp_path / "runs", index_inputs=block)
    what = check_dataset(config, "ours", Indexes(config)).what
    assert "2 of 4 files checked are missing, first row 3 (it is encrypted in the archive" in what
    settings = IndexInputsSettings.model_validate(block | {"identifiers": "distributed"})
    files = files_table(build_index(tmp_path / "x.zip", settings, "set", None), "set", 1).to_pylist()
    outcomes = convert_files(files, tmp_path / "x.zip", DicomToArrowSettings(size=16, views=[]), 1)
    rejects = {each.reject["source_id"]: (each.reject["reason"], each.reject["message"])
               for each in outcomes if each.reject}  # fmt: skip
    assert {name: reason for name, (reason, _) in rejects.items()} == dict.fromkeys(names[:3], "unreadable_file")
    assert "damaged in the archive" in rejects["damaged.png"][1]
    assert "encrypted" in rejects["encrypted.png"][1]
    assert "method that is not read (9)" in rejects["odd.png"][1]


@pytest.mark.parametrize("kind", PACKERS)
def test_images_are_found_by_name_in_archives(folder: Path, tmp_path: Path, kind: str) -> None:
    """As NIH distributes them: a table, and archives of images without a word on which image is where."""
    names = [f"Smith{number}.png" for number in range(1, PATIENTS)]
    (tmp_path / "t.csv").write_text("\n".join(["file", *names]) + "\n")
    block = INDEX | {"table": "t.csv", "columns": {"image": "file"}, "find_images_in": "set", "identifiers": "keyed"}
    settings = IndexInputsSettings.model_validate(block)
    for place in (folder, packed(folder, kind)):
        files = build_index(tmp_path, settings, "set", tmp_path / "private", (place,)).files
        assert sorted(files["path"]) == sorted(f"set/images/{name}" for name in names)
    other = folder.with_name(f"other_{kind}")
    (other / "set/else").mkdir(parents=True, exist_ok=True)
    (other / "set/else/Smith3.png").touch()
    roots = (packed(folder, kind), packed(other, kind))
    with pytest.raises(InputError, match=r"t.csv: row 4: 2 files have the name in file; narrow") as caught:
        build_index(tmp_path, settings, "set", tmp_path / "private", roots)
    assert "Smith" not in str(caught.value)
    (tmp_path / "set").mkdir()
    (tmp_path / "set/Smith3.png").touch()
    files = build_index(tmp_path, settings, "set", tmp_path / "private", roots).files
    assert "set/Smith3.png" in files["path"].to_list(), "the root goes first"


def config_of(root: Path, workspace: Path, **more: object) -> Config:
    raw = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"workspace": str(workspace), "pretrain_on": "ours"}
    raw["datasets"]["ours"] = {"root": str(root), "index_inputs": INDEX, "label_images": LABELS} | more
    raw["datasets"]["ours"]["dicom_to_arrow"] = {"views": []}
    return check(raw | {"evaluate_on": ["ours"], "patient_split": {"validation": 0.3, "test": 0.3}})


@pytest.mark.parametrize("kind", PACKERS)
def test_the_doctor_and_the_estimate_say_the_same(folder: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / KEY_NAME).write_text("0" * 64)  # the split depends on it
    (tmp_path / "private" / KEY_NAME).chmod(0o600)
    said = []
    for root in (folder, packed(folder, kind)):
        config = config_of(root, tmp_path)
        indexes = Indexes(config)
        findings = [check_dataset(config, "ours", indexes), check_labels_of(config, "ours", indexes)]
        said.append([str(each).replace(str(root), "ROOT") for each in findings])
        amount = amount_of(config, "ours", [])
        said[-1].append(str(amount).replace(str(root), "ROOT"))
    assert said[0] == said[1]
    assert "1 of 12 files checked are missing, first row 2" in said[1][0]
    assert "12 labelled images" in said[1][1]
    assert "Smith" not in str(said)


def test_the_doctor_tells_what_archives_hold_and_is_not_read(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(shutil.copy(packed(folder, "zip"), tmp_path / "x.zip"), "a") as archive:
        archive.writestr("../Smith.png", b"")
    finding = check_dataset(
        config_of(tmp_path / "x.zip", tmp_path), "ours", Indexes(config_of(tmp_path / "x.zip", tmp_path))
    )
    assert finding.status == "warning"
    (tmp_path / "x.zip").write_bytes(packed(folder, "zip").read_bytes()[:-30])
    finding = check_dataset(
        config_of(tmp_path / "x.zip", tmp_path), "ours", Indexes(config_of(tmp_path / "x.zip", tmp_path))
    )
    assert finding.status == "error"
    assert "x.zip: cannot be read as an archive" in finding.what
    assert "Smith" not in str(finding)


def test_roots_may_be_patterns_and_containers_see_the_folders_of_archives(folder: Path, tmp_path: Path) -> None:
    for number in ("002", "001", "010"):
        shutil.copy(packed(folder, "tgz"), tmp_path / f"images_{number}.tar.gz")
    (tmp_path / "link.zip").symlink_to(packed(folder, "zip"))
    (tmp_path / "odd[1]").mkdir()
    patterns = [str(tmp_path / "images_*.tar.gz"), str(tmp_path / "link.zip"), str(tmp_path / "odd[1]")]
    config = config_of(tmp_path, tmp_path / "runs", roots=patterns)
    tars = [str(tmp_path / f"images_{number}.tar.gz") for number in ("001", "002", "010")]
    assert config.roots("ours") == [*tars, *patterns[1:]]
    assert archives_of(config, "ours") == [*tars, patterns[1]]
    assert {tmp_path, tmp_path / "odd[1]", folder.parent} <= set(config.folders().values())
    assert all(path.is_dir() for key, path in config.folders().items() if key.startswith("datasets.ours"))
    lacking = config_of(tmp_path, tmp_path / "runs", roots=[str(tmp_path / "gone_*.zip")])
    assert "datasets.ours.roots: no file or folder fits" in str(check_files(lacking)[0])


@pytest.mark.slow
def test_snakemake_watches_the_archive(folder: Path, tmp_path: Path) -> None:
    shutil.copy(packed(folder, "zip"), tmp_path / "x.zip")
    raw = {"workspace": "runs/x", "pretrain_on": "ours", "evaluate_on": [], "datasets": {
        "ours": {"root": "x.zip", "index_inputs": INDEX, "dicom_to_arrow": {"views": []}}}}  # fmt: skip
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    (tmp_path / "o.yaml").write_text(yaml.safe_dump(raw))
    wanted = "runs/x/results/dicom_to_arrow/ours/shards/0.arrow"
    done = snakemake(tmp_path, wanted)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / wanted).is_file()
    assert "nothing to be done" in snakemake(tmp_path, wanted, "-n").stdout.lower()
    with zipfile.ZipFile(tmp_path / "x.zip", "a") as archive:
        archive.writestr("more.txt", b"")
    again = snakemake(tmp_path, wanted, "-n").stdout
    assert "dicom_to_arrow" in again
    assert "x.zip" in again
    (tmp_path / "x.zip").write_bytes(b"PK")
    broken = snakemake(tmp_path, wanted, "-n")
    assert broken.returncode == 1
    assert "datasets.ours: x.zip: cannot be read as an archive" in broken.stdout + broken.stderr


@pytest.mark.slow
def test_a_tree_runs_without_a_table_and_the_doctor_sees_new_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        (tmp_path / f"data/{number}").mkdir(parents=True)
        cv2.imwrite(str(tmp_path / f"data/{number}/a.png"), np.eye(40, dtype=np.uint8) * 9)
    ours = {"root": "data", "index_inputs": {"layout": "folder", "tree": r"(?P<who>\d+)/.*",
            "columns": {"image": "path", "patient": "who"}}, "dicom_to_arrow": {"views": []}}  # fmt: skip
    raw = {"workspace": "runs/x", "pretrain_on": "ours", "evaluate_on": [], "datasets": {"ours": ours}}
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    (tmp_path / "o.yaml").write_text(yaml.safe_dump(raw))
    wanted = "runs/x/results/index_inputs/ours/files.arrow"
    done = snakemake(tmp_path, wanted)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing to be done" in snakemake(tmp_path, wanted, "-n").stdout.lower()
    raw = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"workspace": "runs/x"}
    raw["datasets"]["ours"] = ours
    config = check(raw)
    assert "index_inputs listed" not in check_dataset(config, "ours", Indexes(config)).what
    shutil.copy(tmp_path / "data/0/a.png", tmp_path / "data/0/b.png")
    finding = check_dataset(config, "ours", Indexes(config))
    assert "4 images" in finding.what
    assert "index_inputs listed 3 when it last ran" in finding.what
    assert "--forcerun index_inputs" in finding.remedy
    shutil.rmtree(tmp_path / "data")
    gone = snakemake(tmp_path, wanted, "-n")
    assert gone.returncode == 1
    assert "datasets.ours: data: no such" in gone.stdout + gone.stderr


def snakemake(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    profile = ROOT / "workflow/profiles/demo"
    command = [sys.executable, "-m", "snakemake", *more, "-s", ROOT / "workflow/Snakefile", "--profile", profile,
               "--cores", "1", "--configfile", profile / "settings.yaml", "o.yaml"]  # fmt: skip
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": str(ROOT),
                   "PYTHONWARNINGS": "ignore"}  # fmt: skip
    return subprocess.run([str(each) for each in command], cwd=folder, env=environment, capture_output=True, text=True,
                          check=False, timeout=400)  # fmt: skip
