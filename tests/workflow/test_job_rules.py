"""What rules take from a contract: paths with known wildcards filled in, the log, the command; mistakes are named."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from snakemake.io import is_flagged

from stages import contracts
from stages.common.contract import Job, device_option, option, product, source
from stages.common.settings import Settings
from workflow.job_rules import command_of, inputs_of, log_of, outputs_of, path_of, place_of


@dataclass(frozen=True, kw_only=True)
class CountJob(Job):
    """Count something."""

    stage = "count"
    place = "{variant}/{dataset}"
    over = "evaluation"

    settings: Settings
    labels: Path = source("label_images", "labels.arrow")
    features: Path | None = source("extract_features", "features.arrow", optional=True)
    prompts: Path = source(help="prompt file")
    table: Path = product("table.arrow", table="SCORES")
    parts: Path = product("parts", stands="*.arrow")
    bins: int = option("how many")
    workers: int = option("processes", default=1)
    device: str = device_option()


@pytest.fixture(autouse=True)
def _a_stage_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contracts, "JOBS", (*contracts.JOBS, CountJob))


COMMON = ("--settings {params.settings:q} --image {params.image} --name {params.name:q} "
          "--journal {params.journal:q}")  # fmt: skip


def test_a_path_is_that_of_the_contract_with_the_wildcards_that_are_known() -> None:
    assert place_of(CountJob) == "{variant}/{dataset}"
    assert place_of(CountJob, dataset="rsna") == "{variant}/rsna"
    assert path_of("count", "table.arrow") == "<workspace>/results/count/{variant}/{dataset}/table.arrow"
    assert path_of("count", "parts", variant="mlip") == "<workspace>/results/count/mlip/{dataset}/parts"
    assert path_of("dicom_to_arrow", "duplicates.arrow") == "<workspace>/results/dicom_to_arrow/duplicates.arrow"
    shard = path_of("dicom_to_arrow", "{shard}.arrow", dataset="rsna", shard="3")
    assert shard == "<workspace>/results/dicom_to_arrow/rsna/shards/3.arrow"


def test_a_path_that_no_contract_names_raises() -> None:
    with pytest.raises(LookupError, match=r"count.*other\.arrow"):
        path_of("count", "other.arrow")
    with pytest.raises(LookupError, match=r"counts"):
        inputs_of("counts")


def test_inputs_are_those_that_stages_write() -> None:
    labels = "<workspace>/results/label_images/{dataset}/labels.arrow"
    features = "<workspace>/results/extract_features/{variant}/{dataset}/features.arrow"
    assert inputs_of("count") == {"labels": labels, "features": features}
    assert inputs_of("count", leave=("features",)) == {"labels": labels}
    assert inputs_of("count", leave=("features",), dataset="rsna")["labels"] == labels.replace("{dataset}", "rsna")


def test_folders_are_directories_and_marks_go_on_top() -> None:
    plain = outputs_of("count")
    assert {name: is_flagged(path, "directory") for name, path in plain.items()} == {"table": False, "parts": True}
    marked = outputs_of("count", marks={"parts": lambda path: ("marked", path)}, variant="mlip")
    assert marked["table"] == "<workspace>/results/count/mlip/{dataset}/table.arrow"
    assert marked["parts"][0] == "marked"
    assert is_flagged(marked["parts"][1], "directory")


def test_a_log_has_the_place_of_its_run() -> None:
    assert log_of("count") == "<workspace>/logs/count/{variant}/{dataset}.log"
    assert log_of("count", variant="mlip") == "<workspace>/logs/count/mlip/{dataset}.log"
    assert log_of("summarize") == "<workspace>/logs/summarize.log"


def test_a_command_gives_every_option_that_it_needs() -> None:
    command = command_of("count", prompts="{input.prompts:q}", bins="{params.bins}")
    assert command == (
        "OMP_NUM_THREADS={threads} python -m stages.count --labels {input.labels:q} --features {input.features:q} "
        "--table {output.table:q} --parts {output.parts:q} --device {CONFIG.device} --prompts {input.prompts:q} "
        f'--bins {{params.bins}} {COMMON} 2> "$(new_log {{log:q}})"'
    )


def test_a_rule_may_leave_options_out_choose_the_command_and_say_more() -> None:
    command = command_of(
        "count", prompts="p", bins="2", device="cpu", leave=("features",), word="{wildcards.how}", more="-v", log="2> x"
    )
    assert command == (
        "OMP_NUM_THREADS={threads} python -m stages.count {wildcards.how} --labels {input.labels:q} "
        f"--table {{output.table:q}} --parts {{output.parts:q}} --device cpu --prompts p --bins 2 -v {COMMON} 2> x"
    )


def test_a_command_of_several_is_named() -> None:
    gather = command_of("dicom_to_arrow", "gather")
    assert "python -m stages.dicom_to_arrow gather --files {input.files:q}" in gather


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bins": "2"}, "count: the rule gives no value for prompts"),
        ({}, "count: the rule gives no value for prompts, bins"),
        ({"bins": "2", "prompts": "p", "leave": ("labels",)}, "count: the rule gives no value for labels"),
        ({"bins": "2", "prompts": "p", "colour": "red"}, "count: its contract has no option colour"),
    ],
)
def test_an_option_without_value_and_a_value_without_option_raise_when_the_rules_are_read(given, message) -> None:
    with pytest.raises(TypeError, match=message):
        command_of("count", **given)
