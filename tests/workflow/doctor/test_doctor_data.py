"""Data sets and weights as the doctor finds them, and the command as a person runs it."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

from stages.config import check
from stages.configuration import Config
from workflow.doctor.findings import Finding, failed, table
from workflow.doctor.indexes import Indexes
from workflow.doctor.inputs import check_dataset, check_weight

ROOT = Path(__file__).parents[3]
FOLDER = {"layout": "folder", "table": "t.csv", "columns": {"image": "file", "patient": "who", "report": "text"}}


def dataset_of(config: Config) -> Finding:
    return check_dataset(config, "ours", Indexes(config))


@pytest.fixture
def ours(tmp_path: Path) -> Config:
    """A data set of one's own with names of people in its paths; one file of three is there."""
    rows = {
        "file": ["a/Smith.png", "a/Jones.png", "b.png"],
        "who": ["Smith", "Jones", "x"],
        "text": ["No.", "Yes.", "So."],
    }
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "Jones.png").touch()
    pl.DataFrame(rows).write_csv(tmp_path / "t.csv")
    raw = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"workspace": str(tmp_path / "runs")}
    raw["datasets"]["ours"] = {"root": str(tmp_path), "index_inputs": FOLDER}
    return check(raw | {"pretrain_on": "ours"})


def test_rows_and_the_first_missing_file(ours: Config, tmp_path: Path) -> None:
    finding = dataset_of(ours)
    assert finding.status == "warning"
    assert "3 images, 3 reports" in finding.what
    assert "2 of 3 files checked are missing, first row " in finding.what, (
        "an id of a key that is thrown away says nothing"
    )
    row = int(finding.what.split("first row ")[1])
    assert (tmp_path / "t.csv").read_text().splitlines()[row - 1].startswith(("a/Smith.png", "b.png"))
    for name in ("Smith", "Jones"):
        assert name not in str(finding), "names of people"
    assert not (tmp_path / "runs").exists(), "nothing is written"
    (tmp_path / "a" / "Jones.png").unlink()
    assert dataset_of(ours).status == "error"


def test_what_is_wrong_with_an_index_is_said_as_the_stage_says_it(ours: Config, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,who,text\na.png,,x\n")
    finding = dataset_of(ours)
    assert finding.status == "error"
    assert "row 2: who is empty" in finding.what
    assert "fill it" in finding.remedy
    (tmp_path / "t.csv").unlink()
    assert "t.csv: no such index file" in dataset_of(ours).what


def test_what_the_index_warns_about_is_told(ours: Config, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,who,text\na/Jones.png,p7,x\na/Smith.png,P07,y\n")
    (tmp_path / "a" / "Smith.png").touch()
    finding = dataset_of(ours)
    assert finding.status == "warning"
    assert "the patients of rows 2 and 3 differ only in zeros, case or blanks" in finding.what


def test_links_and_report_files_are_judged_as_the_stages_judge_them(tmp_path: Path) -> None:
    store, root = tmp_path / "store", tmp_path / "root"
    (store / "images").mkdir(parents=True)
    root.mkdir()
    (root / "images").symlink_to(store / "images")
    (store / "images" / "a.png").touch()
    pl.DataFrame({"file": ["images/a.png"], "who": ["x"], "text": ["reports/a.txt"]}).write_csv(root / "t.csv")
    columns = {"image": "file", "patient": "who", "report_file": "text"}
    raw = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"workspace": str(tmp_path / "runs")}

    def finding(*roots: Path) -> Finding:
        raw["datasets"]["ours"] = {
            "root": str(root), "roots": list(map(str, roots)), "index_inputs": FOLDER | {"columns": columns}
        }  # fmt: skip
        return dataset_of(check(raw | {"pretrain_on": "ours"}))

    assert (finding().status, "datasets.ours.roots" in finding().remedy) == ("error", True)
    assert "1 of 1 report files checked are missing" in finding(store).what
    (tmp_path / "texts" / "reports").mkdir(parents=True)
    (tmp_path / "texts" / "reports" / "a.txt").touch()
    assert finding(store, tmp_path / "texts").status == "ok"
    assert "all report files exist" in finding(store, tmp_path / "texts").what
    assert "nowhere: no such folder" in finding(store, tmp_path / "nowhere").what


def test_weights_are_there_or_the_way_to_them_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    finding = check_weight("someone/bert", tmp_path)
    assert (finding.status, "hf download someone/bert" in finding.remedy) == ("error", True)
    (tmp_path / "weights" / "someone--bert").mkdir(parents=True)
    (tmp_path / "weights" / "someone--bert" / "weights.json").touch()
    assert check_weight("someone/bert", tmp_path).status == "ok"
    here = tmp_path / "mine"
    here.mkdir()
    assert check_weight(str(here), tmp_path).status == "error"
    (here / "model.safetensors").touch()
    assert check_weight(str(here), tmp_path).status == "ok"
    assert check_weight(str(here), tmp_path, tokenizer=True).status == "error"


def test_the_table_names_each_remedy_and_sums_up() -> None:
    findings = [Finding("ok", "a", "fine"), Finding("error", "longer", "x " * 100, "mend it")]
    text = table(findings)
    assert "-> mend it" in text
    assert text.endswith("A run would fail (errors: 1, ok: 1, warnings: 0, not checked: 0).")
    assert max(map(len, text.splitlines())) <= 118
    assert failed(findings)
    assert not failed(findings[:1])


def test_the_command_on_the_demo_and_on_a_fresh_clone(tmp_path: Path) -> None:
    for part in ("config.yaml", "workflow", "stages", "docker", "envs"):
        (tmp_path / part).symlink_to(ROOT / part)
    outcomes = {}
    demo, environment = "workflow/profiles/demo", str(Path(sys.executable).parent)
    for profile, path in ((demo, environment), ("workflow/profiles/slurm", "/nowhere"), ("nowhere", "/nowhere")):
        done = subprocess.run(
            [sys.executable, "-m", "workflow.doctor", "--profile", profile], cwd=tmp_path, capture_output=True,
            text=True, check=False, env={"PATH": path, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        assert not done.stderr, done.stderr
        outcomes[profile] = done.returncode, done.stdout
    assert outcomes[demo][0] == 0, outcomes
    code, text = outcomes["workflow/profiles/slurm"]
    assert code == 1
    for words in ("no sinfo, squeue, sbatch on PATH", "no apptainer on PATH", "data/mimic-cxr: no such folder"):
        assert words in text
    assert outcomes["nowhere"][0] == 1
    assert "nowhere/config.yaml: cannot be read" in outcomes["nowhere"][1]
