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
from stages.multi_class_classification.contract import MultiClassResult
from stages.zero_shot_classification.contract import ZeroShotResult

FEW_SHOT, ZERO_SHOT, GROUNDING = "few_shot_classification", "zero_shot_classification", "phrase_grounding"
MULTI_CLASS = "multi_class_classification"
PROMPTS = {"there_is": {"positive": ["There is an opacity."], "negative": ["The lungs are clear."]}}
CLASSES = ["opacity", "edema"]
COLUMNS = ["file", "Lung Opacity", "Edema", "Hernia", "boxes"]
BLOCK = {
    "index_inputs": {"layout": "folder", "table": "t.csv", "columns": {"image": "file"}, "shards": 1},
    "label_images": {
        "layout": "folder", "table": "t.csv", "identifiers": "distributed", "columns": {"image": "file"},
        "findings": {"opacity": {"target": "Lung Opacity", "boxes": "boxes"},
                     "edema": {"target": "Edema", "uncertain": "zeros"}, "hernia": "Hernia"},
        "uncertain_values": ["-1"], "split": {"train": 0.3, "validation": 0.3, "test": 0.4},
    },
    ZERO_SHOT: {"draws": 50, "calibration": "platt"}, GROUNDING: {"draws": 50},
    FEW_SHOT: {"draws": 50, "protocols": ["linear", "benchx"], "benchx": {"steps": 2, "validations": 1}},
    MULTI_CLASS: {"draws": 50, "part": "all", "precision_at": [2]},
    "evaluations": [ZERO_SHOT, MULTI_CLASS, FEW_SHOT, GROUNDING],
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
    sets = {name: {"there_is": PROMPTS["there_is"] | {"positive": [f"There is {name}."]}} for name in CLASSES}
    prompts = {"findings": {name: {"sets": own} for name, own in sets.items()}}
    (folder / "p.yaml").write_text(yaml.safe_dump(prompts, sort_keys=False))
    read = {stage: {"prompts": "p.yaml"} for stage in (ZERO_SHOT, MULTI_CLASS, GROUNDING)}
    block = merged(BLOCK, {"root": str(tmp_path / "ours")} | read)
    block["index_inputs"]["identifiers"] = "distributed"
    # A published list of test images: no other part, and only what needs no other is measured.
    images = [line.partition(",")[0] for line in (tmp_path / "ours/t.csv").read_text().splitlines()]
    (tmp_path / "ours/l.csv").write_text("\n".join([images[0], *images[2:40]]) + "\n")
    own = {"split_lists": {"test": "l.csv", "image_id": "file"}}
    listed = merged(block, {"label_images": own, "evaluations": "auto", MULTI_CLASS: {"part": "test"}})
    del listed["label_images"]["split"]
    overlay = yaml.safe_load((folder / "miniature.yaml").read_text())
    spoken = SPOKEN | {"root": str(tmp_path / "ours")}
    every = {"ours": block, "listed": listed, "spoken": spoken}
    overlay = merged(overlay, {"evaluate_on": list(every), "datasets": every,
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
    assert all(each.calibration is not None for each in zero_shot.findings.values())
    classes = {
        name: MultiClassResult.model_validate_json((results / MULTI_CLASS / f"mlip/{name}/result.json").read_text())
        for name in ("ours", "listed")
    }
    assert all(list(each.classes) == CLASSES for each in classes.values())
    assert classes["listed"].images < classes["ours"].images
    assert not (results / ZERO_SHOT / "mlip/listed").exists()
    grounded = json.loads((results / GROUNDING / "mlip/ours/result.json").read_text())
    assert [each["finding"] for each in grounded["findings"]] == ["opacity"]
    assert grounded["not_measured"] == {"edema": "no located positive in test"}
    tables = results / "summarize/tables"
    rows = pl.read_csv(tables / "table1_zero_shot.csv")
    own = rows.filter(pl.col("variant") == "mlip")
    assert own["finding"].to_list() == ["opacity", "edema", "mean of findings"]
    assert own["auc"][2] == pytest.approx(own["auc"][:2].mean())
    told = pl.read_csv(tables / "multi_class.csv").filter((pl.col("variant") == "mlip") & (pl.col("dataset") == "ours"))
    assert told["class"].to_list() == [*CLASSES, "all classes"]
    assert told["accuracy"][2] == classes["ours"].accuracy.value
    few_shot = pl.read_csv(tables / "table2_few_shot.csv")
    assert set(few_shot["finding"]) == {"opacity", "edema", "mean of findings"}
    assert set(few_shot["protocol"]) == {"linear", "benchx"}
    compared = pl.read_csv(tables / "comparisons.csv")
    assert {"opacity", "edema"} <= set(compared.filter(pl.col("table") == "table1_ours_findings")["measure"])
    pointing = pl.read_csv(tables / "grounding_ours_findings.csv")
    assert pointing["finding"].to_list() == ["opacity", "mean of 1 finding", "edema"]
    page = (results / "summarize/report.html").read_text()
    assert "Table 1, by finding. AUC of zero-shot classification in ours" in page
    assert "not measured: no prompts" in page
    assert "Multi-class classification of 2 findings in listed" in page
    assert "Calibration of zero-shot scores in ours by Platt" in page
    assert "not measured: no training and validation images" in page
    spoken = json.loads((results / GROUNDING / "mlip/spoken/result.json").read_text())
    assert [list(each["pointing"]) for each in spoken["findings"]] == [["phrases"], ["phrases"]]
    assert all(each["located"] == {} and each["phrases"]["pairs"] >= FEWEST for each in spoken["findings"])
    assert "Phrase grounding in spoken, by finding" in page
    assert "There is edema" not in page
