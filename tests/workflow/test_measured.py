"""What is measured follows from what is labelled: one plan for snakemake, doctor, estimate and the report."""

import re
import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml

from stages.common.errors import InputError
from stages.config import check
from stages.config_layers import merged
from stages.contracts import EVALUATIONS
from workflow.estimate.jobs import Amount, jobs_of
from workflow.input_files import check_files
from workflow.measured import all_left_out

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = yaml.safe_load((ROOT / "config.yaml").read_text())
ZERO_SHOT, MULTI_CLASS, FEW_SHOT, SEGMENTATION, GROUNDING = EVALUATIONS
FOLDER = {"layout": "folder", "finding": "effusion", "table": "t.csv"}
COLUMNS = {"image": "f", "target": "o"}
TWO = {"label_images": {"finding": None, "columns": {"target": None}, "findings": {"effusion": "o", "edema": "e"}}}
LIST = {"label_images": {"split_lists": {"test": "l.csv"}}}
CLASSES = {"multi_class_classification": {"prompts": "m.yaml"}}
OURS = "config.yaml: datasets.ours."
PROMPTS = {ZERO_SHOT: {"prompts": "z.yaml"}, GROUNDING: {"prompts": "g.yaml"}}


def ours(columns: dict | None = None, **block: object) -> dict:
    """Return the shipped configuration, evaluated on labels of one's own alone, without prompts."""
    labels = FOLDER | {"columns": COLUMNS | (columns or {})}
    data = {"root": "x", "index_inputs": {"layout": "folder", "table": "t", "columns": {"image": "f"}},
            "dicom_to_arrow": {"size": 512}, "label_images": labels}  # fmt: skip
    return merged(SHIPPED, {"evaluate_on": ["ours"], "datasets": {"ours": merged(data, block)}})


@pytest.mark.parametrize(
    ("columns", "block", "measured"),
    [
        ({}, {}, [FEW_SHOT]),
        ({"lung_mask": "l"}, {}, [FEW_SHOT]),  # lungs outline no finding
        ({"boxes": "b"}, {}, [FEW_SHOT, SEGMENTATION]),
        ({"mask": "m"}, {}, [FEW_SHOT, SEGMENTATION]),
        ({}, PROMPTS, [ZERO_SHOT, FEW_SHOT]),
        ({"boxes": "b"}, PROMPTS, [ZERO_SHOT, FEW_SHOT, SEGMENTATION, GROUNDING]),
        ({"boxes": "b"}, PROMPTS | CLASSES, [ZERO_SHOT, FEW_SHOT, SEGMENTATION, GROUNDING]),  # of one finding
        ({}, PROMPTS | CLASSES | TWO, [ZERO_SHOT, MULTI_CLASS, FEW_SHOT]),
        ({}, TWO, [FEW_SHOT]),
        ({}, merged(PROMPTS | CLASSES | TWO, LIST), [MULTI_CLASS]),  # a list of test images alone
        (
            {},
            merged(CLASSES | TWO, {"label_images": {"split": {"train": 0, "validation": 0, "test": 1}}}),
            [MULTI_CLASS],
        ),
        ({"boxes": "b"}, PROMPTS | {"evaluations": "auto"}, [ZERO_SHOT, FEW_SHOT, SEGMENTATION, GROUNDING]),
        ({"boxes": "b"}, PROMPTS | {"evaluations": [GROUNDING]}, [GROUNDING]),
        ({"boxes": "b"}, PROMPTS | {FEW_SHOT: {"protocols": []}}, [ZERO_SHOT, SEGMENTATION, GROUNDING]),
    ],
)
def test_what_is_measured_follows_from_labels_and_prompts(columns: dict, block: dict, measured: list[str]) -> None:
    config = check(ours(columns, **block))
    assert [stage for stage in EVALUATIONS if config.measured_on(stage)] == measured
    assert list(config.not_measured("ours")) == [stage for stage in EVALUATIONS if stage not in measured]
    planned = {job.stage for job in jobs_of(config, dict.fromkeys(config.used_datasets, Amount(100, 100, 1e5, "")))}
    assert planned & set(EVALUATIONS) == set(measured)


def test_the_reason_says_what_is_lacking() -> None:
    config = check(ours({}, evaluations="auto"))
    assert config.not_measured("ours") == {
        ZERO_SHOT: "no prompt file",
        MULTI_CLASS: "fewer than two findings, no prompt file",
        SEGMENTATION: "no boxes or masks",
        GROUNDING: "no boxes or masks, no prompt file",
    }
    (line,) = all_left_out(config)
    assert line == (
        "not measured on ours: zero_shot_classification (no prompt file); multi_class_classification (fewer than two "
        "findings, no prompt file); few_shot_segmentation (no boxes or masks); phrase_grounding (no boxes or "
        "masks, no prompt file)"
    )
    assert [*all_left_out(check(SHIPPED))] == [
        f"not measured on {name}: multi_class_classification (fewer than two findings, no prompt file)"
        for name in ("rsna", "siim")
    ]


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ({"evaluations": [GROUNDING, FEW_SHOT]},
         f"{OURS}evaluations: phrase_grounding cannot be measured on ours: no boxes or masks, no "
         "prompt file; name label_images.columns.boxes or .mask and name its `prompts`, or take it out of the list"),
        ({"evaluations": ["grounding"]},
         f"{OURS}evaluations: 'grounding' is no evaluation (did you mean `phrase_grounding`?): name "
         "any of zero_shot_classification, multi_class_classification, few_shot_classification, "
         "few_shot_segmentation, phrase_grounding (given: "
         "['grounding'])"),
        ({"evaluations": []}, f"{OURS}evaluations: nothing is measured on ours; take it out of "
                              "`evaluate_on`, or name prompts or protocols"),
        ({FEW_SHOT: {"protocols": []}}, f"{OURS}evaluations: nothing is measured on ours; take it "
                                        "out of `evaluate_on`, or name prompts or protocols"),
        ({"evaluations": "all"}, None),
        ({ZERO_SHOT: {"prompts": ""}}, f"{OURS}zero_shot_classification: prompts: String should have at "
                                       "least 1 character (given: '')"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_refused_where_it_is_asked_for(block: dict, line: str | None) -> None:
    with pytest.raises(InputError) as caught:
        check(ours({}, **block))
    if line is not None:
        assert str(caught.value) == line
    assert str(caught.value).startswith("config.yaml: datasets.ours.")


@pytest.mark.parametrize(
    "own",
    [{"pretrain_on": "ours", "datasets": {"ours": {"index_inputs": {"columns": {"report": "r", "patient": "p"}}}}},
     {"datasets": {"ours": {"label_images": {"patient_split": {}}}}},
     {"datasets": {"ours": {"audit_splits": {"same_patients": True}}}},
     {"datasets": {"ours": {"root": SHIPPED["datasets"]["mimic_cxr"]["root"]}}}],
)  # fmt: skip
def test_images_of_pretraining_are_not_classified(own: dict) -> None:
    whole = merged(ours({}, **CLASSES, **TWO), {"multi_class_classification": {"part": "all"}})
    assert check(whole).measured_on(MULTI_CLASS) == ["ours"]
    with pytest.raises(InputError, match="pre-training reads patients of ours outside of its test part; set it to"):
        check(merged(whole, own))


def test_retrieval_is_measured_by_class_where_the_pairs_have_several_findings() -> None:
    paired = {
        "pretrain_on": "ours",
        "datasets": {"ours": {"index_inputs": {"columns": {"report": "r", "patient": "p"}}}},
    }
    config = check(merged(ours({}, **TWO), paired | {"retrieval": {"classes": ["effusion", "edem"]}}))
    assert config.retrieves_by_class
    assert [str(each).partition(",")[0] for each in check_files(config)] == [
        "retrieval.classes: no finding 'edem' in the labels of ours"
    ]
    assert not check(merged(ours(), paired)).retrieves_by_class  # of one finding
    assert not check(ours({}, **TWO)).retrieves_by_class


def test_classes_need_prompts_of_two(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("finding: effusion\nsets: {a: {positive: [There is an effusion.]}}")
    block = TWO | {MULTI_CLASS: {"prompts": str(tmp_path / "m.yaml")}, FEW_SHOT: {"protocols": []}}
    (wrong,) = check_files(check(ours({}, **block)))
    key = "datasets.ours.multi_class_classification.prompts"
    assert str(wrong) == f"{key}: it has prompts of one finding, but there must be two classes; add those of others"
    (wrong,) = check_files(check(ours({}, **merged(block, {MULTI_CLASS: {"classes": ["effusion", "edem"]}}))))
    assert str(wrong).startswith(f"{key}: it has no prompts of the class 'edem'; add them")


def test_candidates_are_not_scored_on_labels_without_prompts() -> None:
    with pytest.raises(
        InputError, match=r"select_checkpoint.zero_shot_on: ours has no prompt file; name datasets.ours"
    ):
        check(merged(ours(), {"select_checkpoint": {"zero_shot_on": "ours"}}))


def test_files_and_sizes_are_asked_for_by_what_is_measured_alone() -> None:
    small = {
        "dicom_to_arrow": {"size": 128},
        SEGMENTATION: {"linear": {"input_size": 512}},
        FEW_SHOT: {"fractions": [100]},
    }
    assert check_files(check(ours({}, **small))) == []
    with pytest.raises(InputError, match="input_size is 512, but its images are stored at 128"):
        check(ours({"boxes": "b"}, **small))
    (wrong,) = check_files(check(ours({}, **{ZERO_SHOT: {"prompts": "none.yaml"}})))
    assert wrong.what.startswith("datasets.ours.zero_shot_classification.prompts: no file ")


@pytest.mark.parametrize(
    ("overlay", "planned"),
    [
        ({"datasets": {"rsna": {"evaluations": [FEW_SHOT]}, "siim": {ZERO_SHOT: {"prompts": None}}}},
         "not measured on siim: zero_shot_classification (no prompt file)"),
        ({"evaluate_on": []}, "evaluate_on is empty: no figure on labels"),
    ],
)  # fmt: skip
def test_a_run_that_measures_less_reaches_its_report(finished_run, tmp_path: Path, overlay: dict, planned: str) -> None:
    """The summary says what is not measured and why; nothing else runs again for fewer evaluations."""
    folder = tmp_path / "checkout"
    shutil.copytree(finished_run.folder, folder)
    less = merged(yaml.safe_load((folder / "miniature.yaml").read_text()), overlay)
    (folder / "less.yaml").write_text(yaml.safe_dump(less))
    checkout = type(finished_run)(folder, "less.yaml")
    said = checkout.snakemake("--dry-run")
    assert planned in said.stderr
    again = set(re.findall(r"^(\w+) +\d+$", said.stdout, re.MULTILINE)) - {"total"}
    assert again == {"all", "summarize"} or "evaluate_on" in overlay, again
    checkout.snakemake()
    page = (folder / "runs/demo/results/summarize/report.html").read_text()
    tables = folder / "runs/demo/results/summarize/tables"
    if "evaluate_on" in overlay:
        assert "no labelled data set" in page
        assert "Retrieval, image to report" in page
        assert not list(tables.glob("table[123]*.tex"))
        return
    assert "not measured: left out by `evaluations`" in page
    assert "not measured: no prompt file" in page
    measured = {row["data set"]: row for row in pl.read_csv(tables / "measured.csv").to_dicts()}
    assert measured["rsna"][ZERO_SHOT] == "not measured: left out by `evaluations`"
    assert measured["siim"][GROUNDING] == "measured"
    assert not list(tables.glob("table1_rsna*"))
