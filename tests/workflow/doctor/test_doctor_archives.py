"""An archive that cannot be read is one failed check of the doctor, beside all the others."""

import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from stages.common.files.archives import keep_indexes_in
from workflow.doctor import __main__ as doctor
from workflow.doctor.findings import Finding

ROOT = Path(__file__).parents[3]
INDEX = {"layout": "folder", "table": "t.csv", "columns": {"image": "file", "patient": "who", "report": "text"}}
LABELS = {"layout": "folder", "finding": "mass", "table": "t.csv", "columns": {"image": "file", "target": "mass"}}
ROWS = [f"{number}.png,p{number},Clear.,{number % 2}" for number in range(12)]
FILES = {"t.csv": "\n".join(["file,who,text,mass", *ROWS]).encode()} | {f"{number}.png": b"x" for number in range(12)}


@pytest.fixture(autouse=True)
def _nothing_kept():
    keep_indexes_in(None)
    yield
    keep_indexes_in(None)


def pack(path: Path) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name, data in FILES.items():
                packed.writestr(name, data)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, data in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def damage(path: Path, change: Callable[[bytes], bytes]) -> Path:
    path.write_bytes(change(path.read_bytes()))
    return path


@pytest.fixture
def findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Finding]]:
    """`findings(root, *roots)` examines a data set that is trained and evaluated on, and returns them by subject."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "check_weights", lambda _: [])  # they ask the network
    shutil.copy(ROOT / "config.yaml", tmp_path)

    def examine(root: Path, *roots: Path) -> dict[str, Finding]:
        ours = {"root": str(root), "roots": list(map(str, roots)), "index_inputs": INDEX, "label_images": LABELS,
                "dicom_to_arrow": {"views": []}}  # fmt: skip
        raw = {"workspace": str(tmp_path / "runs"), "pretrain_on": "ours", "evaluate_on": ["ours"],
               "datasets": {"ours": ours}}  # fmt: skip
        (tmp_path / "o.yaml").write_text(yaml.safe_dump(raw))
        profile = str(ROOT / "workflow/profiles/local")
        arguments = doctor.parser().parse_args(["--profile", profile, "--configfile", str(tmp_path / "o.yaml")])
        return {each.subject: each for each in doctor.examine(arguments)}

    return examine


BAD = {
    "a.tar": lambda data: data[:5000],
    "b.tar.gz": lambda data: data[:-8],
    "c.tgz": lambda data: data[: len(data) // 2],
    "d.zip": lambda data: data[:-40],
    "e.tar": lambda data: data[:0],
    "f.tar.bz2": lambda data: data,
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("as_root", [True, False])
def test_a_bad_archive_is_one_failed_check_beside_the_others(
    findings: Callable[..., dict[str, Finding]], tmp_path: Path, name: str, as_root: bool
) -> None:
    good, bad = pack(tmp_path / "good.zip"), damage(pack(tmp_path / name), BAD[name])
    expected = findings(good)
    found = findings(bad) if as_root else findings(good, bad)
    assert found["data set ours"].status == "error"
    assert str(bad) in found["data set ours"].what
    assert found["data set ours"].remedy
    assert "--root" not in found["data set ours"].remedy
    assert (found["labels ours"].status, str(bad) in found["labels ours"].what) == ("not checked", True)
    assert expected.keys() - found.keys() <= {"batch size", "inodes", "quota"}, "these follow from the data"
    others = expected.keys() & found.keys() - {"data set ours", "labels ours", "disk", "quota"}
    assert {each: found[each] for each in others} == {each: expected[each] for each in others}


def test_odd_ends_of_a_tar_are_a_warning(findings: Callable[..., dict[str, Finding]], tmp_path: Path) -> None:
    path = damage(pack(tmp_path / "a.tar"), lambda data: data.rstrip(b"\0") + bytes(-len(data.rstrip(b"\0")) % 512))
    finding = findings(path)["data set ours"]
    assert finding.status == "warning"
    assert "it may be cut off after its member 13" in finding.what
    damage(path, lambda data: data + bytes(512) + b"more")
    assert "more data follow the end of the archive, after its member 13" in findings(path)["data set ours"].what
