"""The rule: asked for only where the configuration names a model of the hub, and run where snakemake runs."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stages.common.errors import InputError
from stages.config import check
from stages.config_layers import merged

ROOT = Path(__file__).resolve().parents[3]
MODEL = "someone/bert"


def snakemake(folder: Path, overlay: dict, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Of the demo with `overlay`, in `folder`."""
    (folder / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    (folder / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    demo = ROOT / "workflow" / "profiles" / "demo" / "settings.yaml"
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments, "--snakefile", ROOT / "workflow" / "Snakefile", "--cores", "1",
         "--configfile", demo, "overlay.yaml"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=250,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder), **environment},
    )  # fmt: skip


def named(tokenizer: str, encoder: str) -> dict:
    return {
        "split_reports": {"tokenizer": {"weights": tokenizer, "vocabulary_size": None, "do_lower_case": False}},
        "pretrain": {"model": {"text": {"weights": encoder}}},
    }


@pytest.mark.slow
def test_the_rule_fetches_a_named_model_and_only_once(hub, tmp_path) -> None:
    hub.add(MODEL)
    record, environment = "runs/demo/weights/someone--bert/weights.json", {"HF_ENDPOINT": hub.url}
    done = snakemake(tmp_path, named(MODEL, MODEL), record, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "runs/demo/results/fetch_weights/someone--bert/journal.json").is_file()
    assert "revision" in (tmp_path / "runs/demo/logs/fetch_weights/someone--bert.log").read_text()
    content, hub.requests[:] = (tmp_path / record).read_bytes(), []
    done = snakemake(tmp_path, named(MODEL, MODEL), record, "--force", **environment)  # as after an edit of the stage
    assert done.returncode == 0, done.stdout + done.stderr
    assert "already there" in done.stderr
    assert ((tmp_path / record).read_bytes(), hub.requests) == (content, [])


@pytest.mark.slow
def test_jobs_that_need_the_weights_wait_for_them_and_the_demo_needs_none(tmp_path) -> None:
    target = "runs/demo/results/pretrain/mlip/candidates.json"
    done = snakemake(tmp_path, {}, target, "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fetch_weights" not in done.stdout
    done = snakemake(tmp_path, named(MODEL, MODEL), target, "--dry-run", "--printshellcmds")
    assert done.returncode == 0, done.stdout + done.stderr
    folder = "runs/demo/weights/someone--bert"
    assert f"--tokenizer-weights {folder}" in done.stdout
    assert f"--text-weights {folder}" in done.stdout
    assert done.stdout.count("rule fetch_weights:") == 1


@pytest.mark.slow
def test_what_is_wrong_is_said_before_anything_runs(tmp_path) -> None:
    with pytest.raises(InputError, match=r"variants\.mlip .*text\.weights is other/bert, but .* is someone/bert"):
        check(merged(yaml.safe_load((ROOT / "config.yaml").read_text()), named(MODEL, "other/bert")))
    done = snakemake(tmp_path, named("./absent", "./absent"), "all", "--dry-run")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "no folder absent" in said
    assert "Traceback" not in said
