"""The profile `sample` on real radiographs and reports, with a short training."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SHORT = {
    "pretrain": {"optimisation": {"epochs": 3}},
    "zero_shot_classification": {"draws": 200},
    "few_shot_classification": {
        "draws": 200,
        "seeds": 1,
        "finetune": {"warmup_steps": 1, "validations": 1, "schedule": {each: {"steps": 2} for each in (1, 10, 100)}},
    },
}


@pytest.mark.slow
@pytest.mark.real_data
def test_the_sample_profile_ends_with_report_and_tables(test_data: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.yaml"
    short.write_text(yaml.safe_dump({**SHORT, "workspace": str(tmp_path / "run")}))
    command = [
        *(sys.executable, "-m", "snakemake", "--profile", "workflow/profiles/sample", "--cores", "2", "--nolock"),
        *("--configfile", "workflow/profiles/sample/settings.yaml", str(short)),
        *("--config", f"sample_root={test_data}"),
    ]
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    environment = {"PATH": path, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    results = tmp_path / "run" / "results"
    manifest = json.loads((results / "dicom_to_arrow" / "rsna_sample" / "manifest.json").read_text())
    assert (manifest["indexed"], manifest["images"], manifest["rejects"]) == (339, 339, 0)
    card = json.loads((results / "label_images" / "rsna_sample" / "card.json").read_text())
    assert card["split_by"] == "image"  # RSNA names no patients
    result = json.loads((results / "zero_shot_classification" / "mlip" / "rsna_sample" / "result.json").read_text())
    auc = result["metrics"]["auc"]
    assert 0 <= auc["low"] <= auc["value"] <= auc["high"] <= 1
    assert auc["high"] - auc["low"] > 0.1  # so few images cannot say more, and the interval admits it
    page = (results / "summarize" / "report.html").read_text()
    HTMLParser().feed(page)
    assert "data:image/png" not in _section_of_samples(page)  # radiographs of a real set are not published


def _section_of_samples(page: str) -> str:
    start = page.find("publish_samples")
    assert start >= 0, "the report no longer says why it shows no radiograph"
    return page[start - 2000 : start + 200]
