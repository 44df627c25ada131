"""The archive of a release: it loads, its page's lines of Python run, and it is what a finished demo learned."""

import hashlib
import json
import re
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from exported_model import Exported, write_exported

import stages
from stages.api.models import load
from stages.common.errors import InputError
from workflow.release import Measured, check_learned, pack

MEASURED = {"rsna": Measured("lung_opacity", 0.91, 0.88, 0.94)}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return write_exported(tmp_path_factory.mktemp("exported"))


@pytest.fixture
def archive(exported: Exported, tmp_path: Path) -> Path:
    return pack(exported.checkpoint, MEASURED, images_of(exported), tmp_path / "dist")


def images_of(exported: Exported) -> dict[str, bytes]:
    names = ("rsna_lung_opacity.dcm", "rsna_no_lung_opacity.dcm")
    return dict.fromkeys(names, exported.radiograph.read_bytes())


def test_the_lines_of_its_page_run_in_the_unpacked_folder(archive: Path, tmp_path: Path, monkeypatch) -> None:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path)
    folder = tmp_path / archive.stem
    [lines] = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert len([line for line in lines.splitlines() if line]) <= 6
    monkeypatch.chdir(folder)
    monkeypatch.setitem(sys.modules, "mlip", stages)  # as it is called where it is installed
    exec(lines, {})
    assert (folder / "heatmap.png").read_bytes().startswith(b"\x89PNG")
    assert "| lung opacity (rsna) | 0.910 [0.880, 0.940] |" in (folder / "README.md").read_text()
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names - sums.keys() == {"SHA256SUMS", "heatmap.png"}
    for name, digest in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_the_archive_itself_loads_as_its_folder_does(archive: Path, exported: Exported) -> None:
    of_archive, of_folder = (load(each, "cpu").embed_images([exported.radiograph])
                             for each in (archive, exported.checkpoint))  # fmt: skip
    np.testing.assert_array_equal(of_archive, of_folder)


def test_the_same_files_give_the_same_bytes(archive: Path, exported: Exported, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(exported.checkpoint, copy)
    (copy / ".snakemake_timestamp").touch()
    again = pack(copy, MEASURED, images_of(exported), tmp_path / "again")
    assert again.read_bytes() == archive.read_bytes()


def test_what_is_no_release_is_refused_in_a_line(archive: Path, tmp_path: Path) -> None:
    broken, empty, bomb, outside = (tmp_path / f"{name}.zip" for name in ("broken", "empty", "bomb", "outside"))
    broken.write_bytes(archive.read_bytes()[:5000])
    with zipfile.ZipFile(empty, "w") as packed:
        packed.writestr("a/readme.txt", "nothing")
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a/checkpoint/inference.json", "0" * 10**6)
    with zipfile.ZipFile(outside, "w") as packed:
        packed.writestr("../../checkpoint/escaped.txt", "x")
    for path, said in ((broken, "cannot be read"), (empty, "not a model"), (bomb, "compressed or encrypted"),
                       (outside, "would lie elsewhere")):  # fmt: skip
        with pytest.raises(InputError, match=f"{path.name}: .*{said}"):
            load(path, "cpu")
    assert not list(tmp_path.parent.rglob("escaped.txt"))


@pytest.mark.parametrize(("auc", "chance", "learned"), [(0.91, 0.52, True), (0.64, 0.52, False), (0.70, 0.71, False)])
def test_a_demo_that_did_not_learn_is_refused(tmp_path: Path, auc: float, chance: float, learned: bool) -> None:
    for variant, value in (("mlip", auc), ("random", chance - 0.05)):
        for dataset, finding in (("rsna", "lung_opacity"), ("siim", "pneumothorax")):
            path = tmp_path / "zero_shot_classification" / variant / dataset / "result.json"
            path.parent.mkdir(parents=True)
            interval = {"value": value, "low": value - 0.05, "high": value + 0.05}
            path.write_text(json.dumps({"metrics": {"auc": interval}, "findings": {finding: {}}}))
    if learned:
        assert check_learned(tmp_path)["siim"] == Measured("pneumothorax", auc, auc - 0.05, auc + 0.05)
    else:
        with pytest.raises(InputError, match="mlip did not learn rsna"):
            check_learned(tmp_path)


def test_a_workspace_without_a_demo_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read") as caught:
        check_learned(tmp_path)
    assert "make demo" in caught.value.remedy


def test_workflows_pin_their_actions_and_what_runs_the_project_may_not_write() -> None:
    folder = Path(__file__).resolve().parents[2] / ".github" / "workflows"
    for path in folder.glob("*.yml"):
        found = yaml.safe_load(path.read_text())
        for job in found["jobs"].values():
            allowed = job.get("permissions", found["permissions"])
            runs_ours = any("make " in step.get("run", "") or ".ci/run" in step.get("run", "") for step in job["steps"])
            assert not runs_ours or "write" not in allowed.values(), path
            for step in job["steps"]:
                assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step.get("uses", "a@" + "0" * 40)), step
