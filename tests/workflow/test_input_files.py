"""What settings and prompt files say against a run comes before any job: one line with the key and the remedy."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from stages.config import check
from stages.config_layers import merged
from stages.phrase_grounding.prompt_sets import WORDS
from workflow.input_files import PLACE_SLOTS, check_files

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = yaml.safe_load((ROOT / "config.yaml").read_text())
PROMPTS = {
    "finding": "lung_opacity",
    "slots": {"side": ["right", "left"]},
    "sets": {"one": {"positive": ["An opacity on the {side}."], "negative": ["Clear lungs."]}},
}
ZERO_SHOT, GROUNDING = "zero_shot_classification", "phrase_grounding"


def lines(*blocks: dict) -> list[str]:
    config = SHIPPED
    for block in blocks:
        config = merged(config, block)
    return [str(each) for each in check_files(check(config))]


@pytest.fixture
def prompts(tmp_path: Path) -> Callable[..., dict]:
    """`prompts(stage, **changes)`: a block that gives rsna such a prompt file."""

    def write(stage: str, **changes: object) -> dict:
        (tmp_path / "p.yaml").write_text(yaml.safe_dump(PROMPTS | changes))
        return {"datasets": {"rsna": {stage: {"prompts": str(tmp_path / "p.yaml")}}}}

    return write


def test_the_shipped_configuration_has_no_mistake_and_is_checked_in_no_time() -> None:
    begin = time.perf_counter()
    assert lines() == []
    assert time.perf_counter() - begin < 2


def test_the_slots_are_those_of_phrase_grounding() -> None:
    assert tuple(WORDS) == PLACE_SLOTS


def test_findings_of_few_shot_stages_are_those_of_the_labels() -> None:
    blocks = {"few_shot_classification": {"findings": ["lung_opacitie"]}, "few_shot_segmentation": {"finding": "mass"}}
    classified, segmented = lines({"datasets": {"rsna": blocks}})
    assert (
        "datasets.rsna.few_shot_classification: no finding 'lung_opacitie' in the labels, which have lung_opacity"
        in classified
    )
    assert "(did you mean `lung_opacity`?)" in classified
    assert "datasets.rsna.few_shot_segmentation: no finding 'mass'" in segmented


def test_of_several_findings_the_one_without_labels_is_named(tmp_path: Path) -> None:
    own = {key: PROMPTS[key] for key in ("slots", "sets")}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump({"findings": {"lung_opacity": own, "lung_opacities": own}}))
    (line,) = lines({"datasets": {"rsna": {ZERO_SHOT: {"prompts": str(tmp_path / "p.yaml")}}}})
    assert "has prompts of the finding 'lung_opacities', but datasets.rsna.label_images.finding is lung_opacity" in line
    assert "(did you mean `lung_opacity`?)" in line


@pytest.mark.parametrize("stage", [ZERO_SHOT, GROUNDING])
@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"finding": "opacity"}, "it has prompts of the finding 'opacity', but datasets.rsna.label_images.finding is "
                                 "lung_opacity; give both the same name"),
        ({"slots": {}}, "{side} is no slot"),
        ({"sets": {}}, "p.yaml: sets: "),
        ({"sets": {"one": {"positive": []}}}, "p.yaml: sets.one.positive: "),
        ({"sets": {"one": {"positive": [True]}}}, "sets.one.positive.0: Input should be a valid string (given: True); "
                                                  "quote it"),
    ],
)  # fmt: skip
def test_each_mistake_of_a_prompt_file_names_its_key(prompts, stage: str, changes: dict, complaint: str) -> None:
    (line,) = lines(prompts(stage, **changes))
    assert line.startswith(f"datasets.rsna.{stage}.prompts: ")
    assert complaint in line
    assert "\n" not in line


def test_a_classifier_needs_sentences_that_deny_and_a_pointer_does_not(prompts) -> None:
    affirming = {"sets": {"one": {"positive": ["An opacity."]}}}
    (line,) = lines(prompts(ZERO_SHOT, **affirming))
    assert "set one has no `negative` prompts" in line
    assert lines(prompts(GROUNDING, **affirming)) == []


def test_a_set_that_names_places_in_some_sentences_only_cannot_be_grounded(prompts) -> None:
    mixed = {"sets": {"one": {"positive": ["On the {side}.", "Somewhere."], "negative": ["None."]}}}
    (line,) = lines(prompts(GROUNDING, **mixed))
    assert "set one: some affirming prompts fill side and others do not; split it into two sets" in line
    assert lines(prompts(ZERO_SHOT, **mixed)) == []


@pytest.mark.parametrize("path", ["prompts/none.yaml", "/nowhere/p.yaml", "stages"])
def test_a_path_that_is_no_file_names_the_key_and_what_it_is_relative_to(path: str) -> None:
    (line,) = lines({"datasets": {"siim": {ZERO_SHOT: {"prompts": path}}}})
    assert line == (
        f"datasets.siim.zero_shot_classification.prompts: no file {path}; write an absolute path, or one "
        f"relative to the checkout, {ROOT}"
    )


OURS = {
    "root": "x",
    "index_inputs": {"layout": "folder", "table": "t", "columns": {"image": "f", "patient": "p", "report": "r"}},
    "label_images": {"layout": "folder", "finding": "lung_opacity", "table": "t",
                     "columns": {"image": "f", "target": "o", "boxes": "b"}},
    ZERO_SHOT: {"prompts": "stages/zero_shot_classification/prompts/rsna.yaml"},
    GROUNDING: {"prompts": "stages/phrase_grounding/prompts/rsna.yaml"},
}  # fmt: skip
BOTH = {"datasets": {"ours": OURS}, "pretrain_on": "ours", "evaluate_on": ["ours"]}
TRAIN_ALONE = {"train": 1, "validation": 0, "test": 0}
TEST_ALONE = {"train": 0, "validation": 0.5, "test": 0.5}
NO_FEW_SHOT = {"few_shot_classification": {"protocols": []}, "few_shot_segmentation": {"protocols": []}}


@pytest.mark.parametrize(
    ("block", "starts"),
    [
        (BOTH, []),
        (merged(BOTH, {"datasets": {"ours": {"label_images": {"columns": {"boxes": None}}}}}),
         []),  # then neither segmentation nor grounding is measured
        (merged(BOTH, {"patient_split": {"test": 0}}), ["patient_split.test: 0, but this part of ours is measured; "]),
        (merged(BOTH, {"patient_split": {"validation": 0}}),
         ["patient_split.validation: 0, but select_checkpoint chooses on that part of ours"]),
        ({"patient_split": {"validation": 0, "test": 0}}, []),  # MIMIC-CXR-JPG may have its own split
        ({"patient_split": {"validation": 0, "use_distributed": False}}, ["patient_split.validation: 0, but select"]),
        ({"datasets": {"rsna": {"label_images": {"split": TRAIN_ALONE}}}},
         ["datasets.rsna.label_images.split.validation: 0, but", "datasets.rsna.label_images.split.test: 0, but"]),
        ({"datasets": {"rsna": {"label_images": {"split": TEST_ALONE}}}},
         ["datasets.rsna.label_images.split.train: 0, but this part of rsna is what the few-shot"]),
        (merged({"datasets": {"rsna": {"label_images": {"split": TEST_ALONE}}}}, NO_FEW_SHOT), []),
        ({"few_shot_segmentation": {"linear": {"input_size": 225}}},
         ["few_shot_segmentation.linear.input_size: 225 (data set rsna) is no multiple of the patch size of mlip, 16 ",
          "few_shot_segmentation.linear.input_size: 225 (data set siim) is no multiple"]),
    ],
)  # fmt: skip
def test_what_evaluations_need_of_labels_and_sizes_is_asked_for(block: dict, starts: list[str]) -> None:
    found = lines(block)
    assert len(found) == len(starts), found
    assert all(line.startswith(start) for line, start in zip(found, starts, strict=True)), found


def test_snakemake_says_it_when_it_reads_the_rules(tmp_path: Path) -> None:
    overlay = tmp_path / "wrong.yaml"
    overlay.write_text(yaml.safe_dump({"datasets": {"rsna": {GROUNDING: {"prompts": "our_prompts.yaml"}}}}))
    for part in ("config.yaml", "workflow", "stages", "envs"):
        (tmp_path / part).symlink_to(ROOT / part)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--dry-run", "--nolock", "--profile", "workflow/profiles/demo",
         "--configfile", "workflow/profiles/demo/settings.yaml", str(overlay)],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "datasets.rsna.phrase_grounding.prompts: no file " in done.stderr + done.stdout
    assert "MissingInput" not in done.stderr + done.stdout
