"""A data set of one's own with several findings, through the whole DAG into the report."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from stages.common.records import FEWEST
from stages.config_layers import merged
from stages.zero_shot_classification.contract import ZeroShotResult

FEW_SHOT, ZERO_SHOT, GROUNDING = "few_shot_classification", "zero_shot_classification", "phrase_grounding"
PROMPTS = {"there_is": {"positive": ["There is an opacity."], "negative": ["The lungs are clear."]}}
COLUMNS = ["file", "Lung Opacity", "Edema", "Hernia", "boxes"]
BLOCK = {
    "index_inputs": {"layout": "folder", "table": "t.csv", "columns": {"image": "file"}, "shards": 1},
    "label_images": {
        "layout": "folder", "table": "t.csv", "identifiers": "distributed", "columns": {"image": "file"},
        "findings": {"opacity": {"target": "Lung Opacity", "boxes": "boxes"},
                     "edema": {"target": "Edema", "uncertain": "zeros"}, "hernia": "Hernia"},
        "uncertain_values": ["-1"], "split": {"train": 0.3, "validation": 0.3, "test": 0.4},
    },
    ZERO_SHOT: {"draws": 50}, FEW_SHOT: {"draws": 50}, GROUNDING: {"draws": 50},
    "evaluations": [ZERO_SHOT, FEW_SHOT, GROUNDING],
}  # fmt: skip


def write_table(rsna: Path, folder: Path) -> int:
    """Copy radiographs of the phantom, and label them: opacities as drawn, edema at random, a hernia in two of them."""
    boxes: dict[str, list[str]] = {}
    with (rsna / "stage_2_train_labels.csv").open() as handle:
        for row in csv.DictReader(handle):
            box = boxes.setdefault(row["patientId"], [])
            box += [" ".join(row[key] for key in ("x", "y", "width", "height"))] if row["Target"] == "1" else []
    drawn, rows = np.random.default_rng(0), []
    folder.mkdir()
    for number, (image, own) in enumerate(sorted(boxes.items())):
        source = rsna / "stage_2_train_images" / f"{image}.dcm"
        if source.is_file():
            shutil.copy(source, folder)
            edema = drawn.choice(["0", "1", "-1", ""])
            rows.append([source.name, str(int(bool(own))), edema, str(int(number < 2)), "; ".join(own)])
    with (folder / "t.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([COLUMNS, *rows])
    spoken = [[row[0], word, f"There is {word}.", *box.split()] for number, row in enumerate(rows) if row[4]
              for word in ("opacity", "edema")[: 1 + number % 2] for box in row[4].split("; ")]  # fmt: skip
    with (folder / "phrases.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([["file", "word", "sentence", "x", "y", "w", "h"], *spoken])
    return len(rows)


OF_ALL = {"layout": "folder", "table": "phrases.csv", "identifiers": "distributed"}
SPOKEN = {  # nothing but phrases: no prompts, no part but test
    "index_inputs": OF_ALL | {"columns": {"image": "file"}, "shards": 1},
    "label_images": OF_ALL | {
        "columns": {"image": "file", "findings": "word", "boxes": ["x", "y", "w", "h"], "phrase": "sentence"},
        "findings": {"opacity": "opacity", "edema": "edema"}, "split": {"train": 0, "validation": 0, "test": 1},
    },
    GROUNDING: {"draws": 50}, FEW_SHOT: {"protocols": []}, "few_shot_segmentation": {"protocols": []},
}  # fmt: skip


@pytest.mark.slow
def test_several_findings_reach_the_report(finished_run, tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    shutil.copytree(finished_run.folder, folder)
    count = write_table(folder / "runs/demo/phantom/rsna", tmp_path / "ours")
    (folder / "p.yaml").write_text(
        yaml.safe_dump({"findings": {name: {"sets": PROMPTS} for name in ("opacity", "edema")}}, sort_keys=False)
    )
    block = merged(
        BLOCK, {"root": str(tmp_path / "ours"), ZERO_SHOT: {"prompts": "p.yaml"}, GROUNDING: {"prompts": "p.yaml"}}
    )
    block["index_inputs"]["identifiers"] = "distributed"
    overlay = yaml.safe_load((folder / "miniature.yaml").read_text())
    spoken = SPOKEN | {"root": str(tmp_path / "ours")}
    overlay = merged(overlay, {"evaluate_on": ["ours", "spoken"], "datasets": {"ours": block, "spoken": spoken},
                               "select_checkpoint": {"zero_shot_on": "ours"}})  # fmt: skip
    (folder / "several.yaml").write_text(yaml.safe_dump(overlay))
    type(finished_run)(folder, "several.yaml").snakemake()
    results = folder / "runs/demo/results"
    card = json.loads((results / "label_images/ours/card.json").read_text())
    assert card["images"] + sum(each["count"] for each in card["rejects"].values()) >= count
    assert (card["findings"]["hernia"]["positives"], card["findings"]["edema"]["uncertain_as"]) == (2, "zeros")
    assert card["findings"]["edema"]["uncertain"] > 0
    zero_shot = ZeroShotResult.model_validate_json((results / ZERO_SHOT / "mlip/ours/result.json").read_text())
    assert list(zero_shot.findings) == ["opacity", "edema"]
    assert zero_shot.not_measured == {"hernia": "no prompts"}
    grounded = json.loads((results / GROUNDING / "mlip/ours/result.json").read_text())
    assert [each["finding"] for each in grounded["findings"]] == ["opacity"]
    assert grounded["not_measured"] == {"edema": "no located positive in train"}
    tables = results / "summarize/tables"
    rows = pl.read_csv(tables / "table1_zero_shot.csv")
    own = rows.filter(pl.col("variant") == "mlip")
    assert own["finding"].to_list() == ["opacity", "edema", "mean of findings"]
    assert own["auc"][2] == pytest.approx(own["auc"][:2].mean())
    few_shot = pl.read_csv(tables / "table2_few_shot.csv")
    assert set(few_shot["finding"]) == {"opacity", "edema", "mean of findings"}
    compared = pl.read_csv(tables / "comparisons.csv")
    assert {"opacity", "edema"} <= set(compared.filter(pl.col("table") == "table1_ours_findings")["measure"])
    pointing = pl.read_csv(tables / "grounding_ours_findings.csv")
    assert pointing["finding"].to_list() == ["opacity", "mean of 1 finding", "edema"]
    page = (results / "summarize/report.html").read_text()
    assert "Table 1, by finding. AUC of zero-shot classification in ours" in page
    assert "not measured: no prompts" in page
    spoken = json.loads((results / GROUNDING / "mlip/spoken/result.json").read_text())
    assert [list(each["pointing"]) for each in spoken["findings"]] == [["phrases"], ["phrases"]]
    assert all(each["located"] == {} and each["phrases"]["pairs"] >= FEWEST for each in spoken["findings"])
    assert "Phrase grounding in spoken, by finding" in page
    assert "There is edema" not in page
