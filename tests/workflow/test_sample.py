"""The profile `sample` on real radiographs and reports, with a short training."""

import csv
import json
import subprocess
import sys
from html.parser import HTMLParser
from itertools import product
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


@pytest.mark.long
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
    assert_tables_hold_what_ran(results)
    game = _grounding(results)["pointing"]["no_place"]
    assert game["random_in_lung"] is None  # RSNA has no lung masks: the point is drawn from the image instead
    assert 0 < game["random_in_content"]["low"] < game["random_in_content"]["high"] < 1
    page = (results / "summarize" / "report.html").read_text()
    HTMLParser().feed(page)
    assert "data:image/png" not in _section_of_samples(page)  # radiographs of a real set are not published


def assert_tables_hold_what_ran(results: Path) -> None:
    """Every job of Tables 2 and 3 has its row, shortened protocols are named so, and findings were pointed at."""
    tables, variants = results / "summarize" / "tables", ("mlip", "random")
    rows = _rows(tables / "table2_few_shot.csv")
    assert {(row["protocol"], row["fraction"], row["variant"]) for row in rows} == set(
        product(("linear", "finetune"), ("1", "10", "100"), variants)
    )
    for row in rows:
        assert row["skipped"] or 0 <= float(row["auc_low"]) <= float(row["auc"]) <= float(row["auc_high"]) <= 1
        assert row["skipped"] == "" or row["fraction"] == "1"  # two images may show one target alone
        assert ("steps" in row["not_as_published"]) == (row["protocol"] == "finetune")
    captions = {protocol: (tables / f"table2_rsna_sample_{protocol}.md").read_text().splitlines()[0]
                for protocol in ("linear", "finetune")}  # fmt: skip
    assert "protocol finetune (changed)" in captions["finetune"]
    assert "(changed)" not in captions["linear"]
    outlined = _rows(tables / "table3_segmentation.csv")
    assert {(row["protocol"], row["fraction"], row["variant"]) for row in outlined} == set(
        product(("linear",), ("100",), variants)
    )
    for row in outlined:
        negatives = 1 - int(row["test_positives"]) / int(row["test_images"])
        assert float(row["predict_nothing"]) == pytest.approx(negatives)
        assert 0 < negatives < 1
        assert "epochs" in row["not_as_published"]
    grounding = _grounding(results)
    assert grounding["images"] > 0
    assert {int(row["test_images"]) for row in _rows(tables / "pointing.csv")} == {grounding["images"]}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def _grounding(results: Path) -> dict:
    result = json.loads((results / "phrase_grounding" / "mlip" / "rsna_sample" / "result.json").read_text())
    return result["findings"][0]


def _section_of_samples(page: str) -> str:
    start = page.find("publish_samples")
    assert start >= 0, "the report no longer says why it shows no radiograph"
    return page[start - 2000 : start + 200]
