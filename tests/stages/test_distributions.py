"""Public data sets by name: every file fits its contracts, its prompts are about its findings, and keys override it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.common.data.prompts import read_prompts
from stages.common.errors import InputErrors
from stages.config import check
from stages.configuration import Config
from stages.contracts import BLOCKS
from stages.distribution import distributions, read_distribution
from stages.summarize.sections.methods_data import DATA_SETS
from stages.summarize.works import REFERENCES

ROOT = Path(__file__).parents[2]
RAW = yaml.safe_load((ROOT / "config.yaml").read_text())
WITH_LABELS = [name for name in distributions() if "label_images" in read_distribution(name).blocks]


def config_with(name: str, **keys: Any) -> Config:
    datasets = RAW["datasets"] | {"set": {"distribution": name, "root": "data"} | keys}
    return check(RAW | {"datasets": datasets, "evaluate_on": ["set"]})


def test_there_are_some() -> None:
    assert {"chexpert", "mimic_cxr", "nih", "rsna", "siim"} <= set(distributions())


@pytest.mark.parametrize("name", distributions())
def test_blocks_are_of_stages(name: str) -> None:
    assert set(read_distribution(name).blocks) <= set(BLOCKS)


@pytest.mark.parametrize("name", WITH_LABELS)
def test_labels_fit_their_contracts_and_prompts(name: str) -> None:
    config = config_with(name)
    index, labels = config.settings("index_inputs", "set"), config.settings("label_images", "set")
    assert index.identifier_kind == labels.identifier_kind
    for stage in ("zero_shot_classification", "phrase_grounding"):
        if prompts := config.settings(stage, "set").prompts:
            found = read_prompts(ROOT / prompts, denying=stage == "zero_shot_classification")
            assert set(found) <= set(labels.by_finding)
            assert set(found) == set(labels.by_finding) or stage == "phrase_grounding"


@pytest.mark.parametrize("name", distributions())
def test_every_one_is_cited_by_its_name(name: str) -> None:
    datasets = RAW["datasets"] | {"set": {"distribution": name, "root": "data"}}
    settings = check(RAW | {"datasets": datasets, "pretrain_on": "set", "evaluate_on": []}).settings(
        "index_inputs", "set"
    )
    assert settings.distribution == name
    assert DATA_SETS[name][0] in REFERENCES


def test_a_split_beside_the_lists_of_a_distribution_is_refused() -> None:
    own = {"split": {"train": 0.5, "validation": 0.25, "test": 0.25}}
    with pytest.raises(
        InputErrors, match=r"datasets\.set\.label_images\.split: has no effect beside `split_lists`; rem"
    ):
        config_with("nih", label_images=own)
    assert (
        config_with("nih", label_images=own | {"split_lists": None}).settings("label_images", "set").split.test == 0.25
    )


def test_keys_of_the_data_set_override_and_the_others_stay() -> None:
    own = {"findings": {"edema": {"uncertain": "zeros"}}, "split": {"train": 0.5, "validation": 0.25, "test": 0.25}}
    labels = config_with("chexpert", label_images=own).settings("label_images", "set")
    assert labels.by_finding["edema"].target == "Edema"
    policies: Mapping[str, str] = {finding: labels.uncertain_as(finding) for finding in labels.by_finding}
    assert policies == {"atelectasis": "ones", "cardiomegaly": "zeros", "consolidation": "zeros", "edema": "zeros",
                        "pleural_effusion": "ones"}  # fmt: skip
    assert labels.split.train == 0.5


def test_null_takes_away_and_findings_may_be_text_or_keys() -> None:
    own = {"findings": {"hernia": None, "edema": {"also": ["Oedema"]}}, "boxes_table": None, "split_lists": None}
    labels = config_with("nih", label_images=own).settings("label_images", "set")
    assert "hernia" not in labels.by_finding
    assert len(labels.by_finding) == 13
    assert labels.by_finding["edema"].words == ["Edema", "Oedema"]
    assert labels.boxes_table is None
    chexpert = config_with("chexpert", label_images={"findings": {"edema": "Lung Edema"}}).settings(
        "label_images", "set"
    )
    assert (chexpert.by_finding["edema"].target, chexpert.uncertain_as("edema")) == ("Lung Edema", "ones")
    assert config_with("padchest", label_images={"only_rows": None}).settings("label_images", "set").only_rows == {}


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputErrors, match=r"datasets.set: 'nihh' is no distribution \(did you mean `nih`\?\)"):
        config_with("nihh")


def test_a_wrong_key_over_a_distribution_is_named_where_it_is_written() -> None:
    with pytest.raises(InputErrors, match=r"datasets\.set\.label_images: colums: unknown key"):
        config_with("chexpert", label_images={"colums": {}})
