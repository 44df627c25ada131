"""The stage from files to its record, with an encoder whose weights are random."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from one_shard_store import write_one_shard
from split_audit import write_audit
from tiny_checkpoint import PHI, SIZE, write_tiny_checkpoint

from stages.common.command_line import run_stage
from stages.common.files import schemas
from stages.common.files.arrow_tables import read_table, write_rows
from stages.common.files.atomic_files import read_json
from stages.common.records import read_record
from stages.phrase_grounding import evaluation
from stages.phrase_grounding.__main__ import WORK
from stages.phrase_grounding.contract import GroundingResult
from stages.summarize.readers.evaluation import read_samples

PROMPTS = """
finding: opacity
slots: {side: [right, left]}
sets: {no_place: {positive: [opacity]}, with_place: {positive: ["{side} opacity"]}}
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    """24 images, 8 of each part; the odd ones have a box, one of them without a region is left out."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, SIZE, SIZE), dtype=np.uint8)
    write_one_shard(tmp_path, "set", SIZE, [{"image_id": f"i{n}", "pixels": each.tobytes()}
                                            for n, each in enumerate(pixels)])  # fmt: skip
    labels = [
        {"image_id": f"i{n}", "patient_id": f"p{n}", "finding": "opacity", "target": n % 2,
         "boxes": [[1.0 + n % 4 * 2, 2.0, 4.0, 5.0]] if n % 2 and n != 23 else [], "mask": None, "lung_mask": None,
         "sex": None, "age": None, "view": None,
         "split": ("train", "validation", "test")[n // 8], "subset": 100}
        for n in range(24)
    ]  # fmt: skip
    write_rows(tmp_path / "labels.arrow", schemas.LABELS, labels)
    write_rows(tmp_path / "phrases.arrow", schemas.PHRASES, [])
    write_audit(tmp_path / "labels.arrow", tmp_path / "audit.json", 0, 0, 0, 0, 2)
    (tmp_path / "prompts.yaml").write_text(PROMPTS)
    write_tiny_checkpoint(tmp_path, ["opacity", "right", "left"])
    return tmp_path


def ground(folder: Path, output: Path, published: bool, prompts: bool = True) -> GroundingResult:
    paths = {"checkpoint": folder / "checkpoint", "images": folder / "manifest.json"}
    paths |= {name: folder / file for name, file in (("labels", "labels.arrow"), ("audit", "audit.json"),
                                                ("phrases", "phrases.arrow"))}  # fmt: skip
    paths |= {name: output / f"{name}.arrow" for name in ("values", "samples")}
    paths |= {name: output / f"{name}.json" for name in ("result", "journal")}
    named = f"{folder}/prompts.yaml" if prompts else "null"
    settings = f"{{prompts: {named}, draws: 20, samples: 2, publish_samples: {str(published).lower()}}}"
    run_stage(
        WORK, [word for name, path in paths.items() for word in (f"--{name}", str(path))] + ["--settings", settings]
    )
    return read_record(output / "result.json", GroundingResult)


def test_what_is_written_is_read_by_its_record(folder, tmp_path) -> None:
    whole = ground(folder, tmp_path / "out", published=True)
    [result] = whole.findings
    assert whole.mean_hits == result.pointing["no_place"].heatmap
    assert whole.model_dump(mode="json") == read_json(tmp_path / "out" / "result.json")
    assert (result.finding, result.images, result.resampled_by) == ("opacity", 3, "patient")
    assert result.left_out == "of 4 with the finding; 1 without box or mask"
    assert result.overlap.found == {"test_patients_in_pretraining": 2}
    assert result.place_words == {"no_place": [], "with_place": ["side"]}
    assert result.integrity_map is not None
    assert result.integrity_map.values == pytest.approx(PHI.tolist())
    assert result.integrity_map.lung_auc is None  # no lung mask
    values = read_table(tmp_path / "out" / "values.arrow", schemas.GROUNDING_VALUES).to_pylist()
    hits = [row["pointing"] for row in values if (row["prompt_set"], row["pointer"]) == ("no_place", "heatmap")]
    assert np.mean(hits) == pytest.approx(result.pointing["no_place"].heatmap.value)
    shown = read_samples(tmp_path / "out" / "samples.arrow")
    assert len(shown) == 2
    rows = read_table(tmp_path / "out" / "samples.arrow", schemas.samples(shown[0].overlay.pixels.shape[0])).to_pylist()
    for each, row in zip(shown, rows, strict=True):
        assert each.prompts == ("opacity",)
        assert each.reading == result.reading["no_place"]
        assert each.overlay.peak == tuple(row["peak"])
        assert each.overlay.hit == each.hit
    journal = read_json(tmp_path / "out" / "journal.json")
    pictures = ["pictures/pointing.svg", "pictures/heatmaps_1_opacity.png"]
    assert [each["path"] for each in journal["artifacts"]] == [*pictures, "values.arrow", "result.json"]
    assert set(journal["inputs"]) == {"checkpoint", "images", "labels", "phrases", "audit", "prompts"}


def test_samples_are_published_only_where_it_is_asked_for(folder, tmp_path) -> None:
    ground(folder, tmp_path / "out", published=False)
    assert read_samples(tmp_path / "out" / "samples.arrow") == []
    assert [each.name for each in (tmp_path / "out" / "pictures").iterdir()] == ["pointing.svg"]


def test_several_findings_are_pointed_at_one_by_one_and_their_hits_averaged(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(evaluation, "FEWEST", 3)
    rows = read_table(folder / "labels.arrow", schemas.LABELS).to_pylist()
    other = [row | {"finding": "nodule", "target": 1, "boxes": [[9.0, 9.0, 4.0, 4.0]]} for row in rows]
    rare = [row | {"finding": "rare", "boxes": row["boxes"] if row["image_id"] < "i19" else []} for row in rows]
    write_rows(folder / "labels.arrow", schemas.LABELS, [*rows, *other, *rare])
    write_audit(folder / "labels.arrow", folder / "audit.json")
    sets = "{slots: {side: [right, left]}, sets: {one: {positive: ['opacity']}, two: {positive: ['{side} opacity']}}}"
    (folder / "prompts.yaml").write_text(f"findings: {{opacity: {sets}, nodule: {sets}, rare: {sets}}}")
    result = ground(folder, tmp_path / "out", published=True)
    assert [each.finding for each in result.findings] == ["opacity", "nodule"]
    assert [each.images for each in result.findings] == [3, 8]
    assert result.not_measured == {"rare": "1 located positives in test"}
    own = [each.pointing["one"].heatmap.value for each in result.findings]
    assert result.mean_hits.value == pytest.approx(np.mean(own))
    assert result.mean_hits.low <= result.mean_hits.value <= result.mean_hits.high
    values = pl.DataFrame(read_table(tmp_path / "out" / "values.arrow", schemas.GROUNDING_VALUES))
    for each in result.findings:
        rows = values.filter((pl.col("finding") == each.finding) & (pl.col("prompt_set") == "two"))
        hits = rows.filter(pl.col("pointer") == "heatmap")["pointing"]
        assert hits.mean() == pytest.approx(each.pointing["two"].heatmap.value)
    assert {each.finding for each in read_samples(tmp_path / "out" / "samples.arrow")} == {"opacity", "nodule"}


def test_findings_without_any_place_are_one_line(folder, tmp_path, capsys) -> None:
    rows = [row | {"boxes": []} for row in read_table(folder / "labels.arrow", schemas.LABELS).to_pylist()]
    write_rows(folder / "labels.arrow", schemas.LABELS, [*rows, *(row | {"finding": "nodule"} for row in rows)])
    write_audit(folder / "labels.arrow", folder / "audit.json")
    sets = "{sets: {one: {positive: ['opacity']}}}"
    (folder / "prompts.yaml").write_text(f"findings: {{opacity: {sets}, nodule: {sets}}}")
    with pytest.raises(SystemExit):
        ground(folder, tmp_path / "out", published=False)
    [line] = capsys.readouterr().err.splitlines()
    assert "no finding has located positives in test (5); opacity: no located positive" in line


def test_boxes_of_the_test_part_alone_are_pointed_at(folder, tmp_path) -> None:
    """NIH's boxes are such: what learns or chooses on another part is null, and the rest is the same."""
    whole = ground(folder, tmp_path / "whole", published=False)
    rows = read_table(folder / "labels.arrow", schemas.LABELS).to_pylist()
    write_rows(folder / "labels.arrow", schemas.LABELS,
               [row if row["split"] == "test" else row | {"boxes": [], "mask": None} for row in rows])  # fmt: skip
    write_audit(folder / "labels.arrow", folder / "audit.json")
    [found], [before] = ground(folder, tmp_path / "out", published=False).findings, whole.findings
    for name, own in found.pointing.items():
        assert own.heatmap == before.pointing[name].heatmap
        assert own.fixed_peak_of_training is None
        assert own.word_prior is None
    assert all(each is None for own in found.iou.values() for each in own.values())
    assert set(found.located) == {"test"}
