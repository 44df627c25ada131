"""The profile `sample` on real radiographs and reports, with a short training."""

import csv
import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import polars as pl
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from stages.common.files.arrow_tables import read_table
from stages.common.files.schemas import SCORES
from stages.common.records import FEWEST

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


def snakemake(data: Path, folder: Path, *layers: Path) -> Path:
    """Run the profile `sample` with settings laid over its own, and return the folder of results."""
    command = [
        *(sys.executable, "-m", "snakemake", "--profile", "workflow/profiles/sample", "--cores", "2", "--nolock"),
        *("--configfile", "workflow/profiles/sample/settings.yaml", *map(str, layers)),
        *("--config", f"sample_root={data}"),
    ]
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    environment = {"PATH": path, "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "run" / "results"


@pytest.mark.long
@pytest.mark.real_data
def test_the_sample_profile_ends_with_report_and_tables(test_data: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.yaml"
    short.write_text(yaml.safe_dump({**SHORT, "workspace": str(tmp_path / "run")}))
    results = snakemake(test_data, tmp_path, short)
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


@pytest.mark.long
@pytest.mark.real_data
@pytest.mark.xdist_group("minilm")
def test_a_text_encoder_with_real_weights_starts_the_training(test_data: Path, minilm: Path, tmp_path: Path) -> None:
    """The files lie where fetch_weights would put them, so that no hub is asked."""
    short = tmp_path / "short.yaml"
    block = {
        **SHORT, "workspace": str(tmp_path / "run"), "compare": ["mlip"], "few_shot_segmentation": {"protocols": []},
        "few_shot_classification": {"protocols": []}, "pretrain": {"optimisation": {"epochs": 1}},
    }  # fmt: skip
    short.write_text(yaml.safe_dump(block))
    folder = tmp_path / "run" / "weights" / "sentence-transformers--all-MiniLM-L6-v2"
    shutil.copytree(minilm, folder)
    results = snakemake(test_data, tmp_path, ROOT / "workflow/profiles/sample/minilm.yaml", short)
    vocabulary = (folder / "vocab.txt").read_text().splitlines()
    assert (results / "split_reports/real_pairs/tokenizer/vocab.txt").read_text().splitlines() == vocabulary
    journal = "".join(path.read_text() for path in (results / "pretrain/mlip").rglob("journal*"))
    assert "sentence-transformers/all-MiniLM-L6-v2, revision None, license apache-2.0" in journal
    assert "all-MiniLM-L6-v2" in (results / "summarize" / "report.html").read_text()


THREE = {"covid": "COVID-19", "ards": "ARDS", "streptococcus": "Streptococcus"}
LABELLED = {
    "real_pairs": {
        "label_images": {
            "layout": "folder", "table": "metadata.csv", "findings": THREE,
            "columns": {"image": "file", "image_id": "image_id", "findings": "finding"}, "findings_separator": ",",
            "unlabelled_values": ["todo"],
        },
    },
    "plain": {
        "root": "{sample_root}/rsna_sample",
        "index_inputs": {"layout": "folder", "columns": {"image": "file"}},
        "label_images": {"layout": "folder", "finding": "lung_opacity", "positive_values": ["1"],
                         "negative_values": ["0"], "columns": {"image": "file", "target": "Target"}},
        "zero_shot_classification": {"prompts": "stages/zero_shot_classification/prompts/rsna.yaml"},
    },
}  # fmt: skip


@pytest.mark.long
@pytest.mark.real_data
def test_labels_alone_fourteen_findings_and_three_of_pairs_reach_the_report(test_data: Path, tmp_path: Path) -> None:
    """An untrained encoder, so that nothing but the figures' spread is expected of it."""
    table = test_data / "rsna_sample" / "nih_labels.csv"
    new_dataset = [sys.executable, "-m", "stages", "new-dataset", str(table), "--name", "nih14"]
    subprocess.run([*new_dataset, "--output", str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    targets = {row["patientId"]: row["Target"] for row in _rows(test_data / "rsna_sample/stage_2_train_labels.csv")}
    with (tmp_path / "plain.csv").open("w", newline="") as handle:
        files = ((f"stage_2_train_images/{image}.dcm", target) for image, target in targets.items())
        csv.writer(handle).writerows([("file", "Target"), *files])
    own = {name: dict(block) for name, block in LABELLED.items()}
    for stage in ("index_inputs", "label_images"):
        own["plain"][stage] = own["plain"][stage] | {"table": str(tmp_path / "plain.csv")}
    block = {
        "workspace": str(tmp_path / "run"), "project": "labels", "pretrain_on": "real_pairs", "compare": ["random"],
        "evaluate_on": ["nih14", "plain", "real_pairs"], "datasets": own, "zero_shot_classification": {"draws": 200},
        "few_shot_classification": {"protocols": ["linear"], "fractions": [100], "draws": 200, "seeds": 1},
    }  # fmt: skip
    (tmp_path / "block.yaml").write_text(yaml.safe_dump(block))
    results = snakemake(test_data, tmp_path, tmp_path / "nih14.yaml", tmp_path / "block.yaml")

    def result_of(stage: str, dataset: str) -> dict:
        place = f"random/{dataset}" + ("/linear/100" if stage == "few_shot_classification" else "")
        return json.loads((results / stage / place / "result.json").read_text())

    zero_shot = result_of("zero_shot_classification", "nih14")
    assert len(zero_shot["findings"]) + len(zero_shot["not_measured"]) == 14
    assert "hernia" in zero_shot["not_measured"]  # two positives in all parts
    scores = pl.DataFrame(read_table(results / "zero_shot_classification/random/nih14/scores.arrow", SCORES))
    for finding, each in zero_shot["findings"].items():
        rows = scores.filter((pl.col("finding") == finding) & (pl.col("split") == "test"))
        positives = int(rows["target"].sum())
        assert min(positives, len(rows) - positives) >= FEWEST
        auc = each["metrics"]["auc"]
        assert auc["value"] == pytest.approx(roc_auc_score(rows["target"], rows["score"]), abs=1e-6)
        assert auc["low"] <= auc["value"] <= auc["high"]
    for stage in ("zero_shot_classification", "few_shot_classification"):
        assert list(result_of(stage, "plain")["findings"]) == ["lung_opacity"]
    card = json.loads((results / "label_images/real_pairs/card.json").read_text())
    cells = [
        {word.strip() for word in row["finding"].split(",")} for row in _rows(test_data / "real_pairs/metadata.csv")
    ]
    kept = card["images"]
    for finding, word in THREE.items():
        assert card["findings"][finding]["positives"] <= sum(word in cell for cell in cells)
    if kept == len(cells):
        assert card["findings"]["covid"]["positives"] == sum("COVID-19" in cell for cell in cells)
    page = (results / "summarize" / "report.html").read_text()
    assert "no boxes or masks" in page
    assert "hernia" in page


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
