"""Checkouts, workspaces and current folders of any name and content: jobs run, or one line says why not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"mimic_patients": 12, "rsna_images": 12, "siim_images": 12, "bad_inputs": 1, "workers": 1}


def copied(folder: Path, workspace: str) -> Path:
    """A checkout in `folder` whose phantom is tiny."""
    folder.mkdir(parents=True)
    for part in ("stages", "workflow", "envs", "docker"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "config.yaml", folder)
    (folder / "small.yaml").write_text(yaml.safe_dump({"make_phantom": SMALL, "workspace": workspace}))
    return folder


def call(*command: str | Path, cwd: Path, checkout: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin", "HOME": str(checkout),
        "PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "ignore",
    } | variables  # fmt: skip
    return subprocess.run(
        [str(each) for each in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False,
        timeout=500,
    )  # fmt: skip


def snakemake(checkout: Path, *more: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    profile = checkout / "workflow/profiles/demo"
    command = [sys.executable, "-m", "snakemake", *more, "-s", checkout / "workflow/Snakefile", "--profile", profile,
               "--cores", "1", "--configfile", profile / "settings.yaml", checkout / "small.yaml"]  # fmt: skip
    return call(*command, cwd=cwd or checkout, checkout=checkout)


@pytest.mark.slow
def test_blanks_and_accents_in_checkout_and_workspace_work_from_a_folder_full_of_traps(tmp_path: Path) -> None:
    checkout, workspace = copied(tmp_path / "Thorax é + b", "runs/mit Lücke @1"), "runs/mit Lücke @1"
    elsewhere = tmp_path / "current folder"
    for name in ("stages/__init__.py", "stages/make_phantom/__main__.py", "torch.py", "json.py", "numpy.py"):
        trap = elsewhere / name
        trap.parent.mkdir(parents=True, exist_ok=True)
        trap.write_text("raise SystemExit('a trap in the current folder')")
    shutil.copy(checkout / "config.yaml", elsewhere)
    wanted = f"{workspace}/results/index_inputs/rsna/files.arrow"
    done = snakemake(checkout, wanted, cwd=elsewhere)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (elsewhere / wanted).is_file()
    logs = sorted(path.name for path in (elsewhere / workspace / "logs").rglob("*.log"))
    assert "make_phantom.log" in logs
    assert any(name.startswith("rsna.2") for name in logs), logs
    assert "nothing to be done" in (again := snakemake(checkout, wanted, "-n", cwd=elsewhere)).stdout.lower(), again
    assert (elsewhere / workspace / "mlflow.db").is_file(), "sync ran, too"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a b é", "it's", "$HOME", "a;touch sprung;", "a & b", "a*?", "~", "a, b", '"x"'])
def test_a_data_set_s_folder_may_bear_any_name(tmp_path: Path, name: str) -> None:
    """The real code on a data set of one row; what a shell or a pattern would read in the name is never read."""
    root = tmp_path / name
    root.mkdir()
    (root / "t.csv").write_text("file,who,text\na.png,p,Normal.\n")
    columns = {"image": "file", "patient": "who", "report": "text"}
    ours = {"root": str(root), "index_inputs": {"layout": "folder", "table": "t.csv", "columns": columns}}
    overlay = {"workspace": "runs/x", "datasets": {"ours": ours}, "pretrain_on": "ours"}
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    (tmp_path / "o.yaml").write_text(yaml.safe_dump(overlay, allow_unicode=True))
    profile, wanted = ROOT / "workflow/profiles/demo", "runs/x/results/index_inputs/ours/files.arrow"
    done = call(sys.executable, "-m", "snakemake", wanted, "-s", ROOT / "workflow/Snakefile", "--profile", profile,
                "--cores", "1", "--configfile", profile / "settings.yaml", "o.yaml", cwd=tmp_path, checkout=ROOT,
                HOME=str(tmp_path))  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / wanted).is_file()
    assert not list(tmp_path.rglob("sprung"))


@pytest.mark.slow
def test_doctor_estimate_and_why_agree_in_such_a_checkout(tmp_path: Path) -> None:
    checkout = copied(tmp_path / "Thorax é b", "runs/mit Lücke")
    profile = yaml.safe_load((checkout / "workflow/profiles/demo/config.yaml").read_text())
    (checkout / "own").mkdir()
    overlays = [profile["configfile"], "small.yaml"]
    (checkout / "own/config.yaml").write_text(yaml.safe_dump(profile | {"configfile": overlays}))
    outcomes = {
        name: call(sys.executable, "-m", f"workflow.{name}", "--profile", "own", cwd=checkout, checkout=checkout)
        for name in ("doctor", "estimate", "why")
    }
    for name, done in outcomes.items():
        assert done.returncode == 0, (name, done.stdout, done.stderr)
    assert "runs/mit Lücke" in outcomes["doctor"].stdout
    assert "for the first time" in outcomes["why"].stdout


@pytest.mark.parametrize(
    "mark", ["'", '"', "$(touch sprung)", ";touch sprung", "&touch sprung", "{x}", "*", "`touch sprung`"]
)
@pytest.mark.parametrize("place", ["workspace", "root"])
def test_marks_that_mean_something_to_a_shell_are_refused_and_never_run(tmp_path: Path, mark: str, place: str) -> None:
    """Snakemake is called from the real checkout on a folder of the test; a data set's folder may bear any name."""
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    overlay = {"workspace": f"runs/a{mark}b"}
    if place == "root":
        overlay = {"workspace": "runs/a", "datasets": {"rsna": {"root": str(tmp_path / f"data {mark}")}}}
    (tmp_path / "o.yaml").write_text(yaml.safe_dump(overlay))
    profile = ROOT / "workflow/profiles/demo"
    done = call(sys.executable, "-m", "snakemake", "-s", ROOT / "workflow/Snakefile", "--profile", profile, "-n",
                "--configfile", profile / "settings.yaml", "o.yaml", cwd=tmp_path, checkout=ROOT)  # fmt: skip
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert ("cannot be used here" if place == "workspace" else "datasets.rsna") in said, said
    assert not list(tmp_path.rglob("sprung"))
