"""Each attempt of a job leaves its own log; the rule's log is the newest one."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from workflow.job_rules import command_of

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ROOT / "workflow" / "profiles"


@pytest.mark.slow
def test_a_job_that_fails_twice_leaves_two_logs(tmp_path: Path) -> None:
    """An index without its images fails each time."""
    (tmp_path / "config.yaml").symlink_to(ROOT / "config.yaml")
    for name in ("mimic-cxr/cxr-record-list.csv.gz", "mimic-cxr/cxr-study-list.csv.gz",
                 "rsna-pneumonia/stage_2_train_labels.csv", "siim-acr-pneumothorax/train-rle.csv"):  # fmt: skip
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text("\n")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "runs/main/results/index_inputs/rsna/files.arrow", "--cores", "1",
         "--snakefile", ROOT / "workflow" / "Snakefile", "--retries", "1", "--show-failed-logs"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=250,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 1
    newest = tmp_path / "runs" / "main" / "logs" / "index_inputs" / "rsna.log"
    logs = sorted(newest.parent.glob("rsna.*.log"))
    assert len(logs) == 2, done.stderr
    assert newest.resolve() in logs
    for log in logs:
        assert "no such folder of images" in log.read_text()
    assert f"Logfile {newest.relative_to(tmp_path)}:" in done.stderr, "Snakemake prints it"


def test_no_rule_writes_into_what_snakemake_deletes() -> None:
    """Every rule's command is made from its contract, and that writes a log of its own for each attempt."""
    for rules in (ROOT / "workflow" / "rules").glob("*.smk"):
        text = rules.read_text()
        logs = len(re.findall(r"^    log:$", text, re.MULTILINE))
        assert rules.stem == "common" or len(re.findall(r"^ {8,}command_of\(", text, re.MULTILINE)) == logs, rules
        assert not re.search(r"> *\S*\{log\}", text.replace("$(new_log {log:q})", "")), rules
    assert command_of("retrieval").endswith(' 2> "$(new_log {log:q})"')


@pytest.mark.parametrize("profile", sorted(PROFILES.glob("*/config.yaml")), ids=lambda path: path.parent.name)
def test_every_profile_prints_the_log_of_a_failed_job(profile: Path) -> None:
    assert yaml.safe_load(profile.read_text())["show-failed-logs"] is True
