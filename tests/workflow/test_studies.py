"""Studies: each file is valid over config.yaml and on the demo, and is run by one command with its own workspace."""

import re
import subprocess
import sys
from functools import reduce
from pathlib import Path

import pytest
import yaml

from stages.common.errors import InputError, InputErrors
from stages.config import check
from stages.config_layers import Layer, merged
from stages.configuration import Config
from stages.contracts import EVALUATIONS
from stages.summarize.contract import SummarizeSettings
from workflow.estimate.jobs import Amount, jobs_of
from workflow.study import DEMO, SMALLER, command, listed, main, parser, studies, study_file

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = yaml.safe_load((ROOT / "config.yaml").read_text())
TRAININGS = {"data_efficiency": 12, "epsilon": 15, "mask_ratio": 12, "rho": 18, "temperature": 12, "variants": 45}
AXES = {"data_efficiency": "data_share", "epsilon": "local.epsilon", "mask_ratio": "mask_ratio", "rho": "local.rho",
        "temperature": "local.temperature", "variants": None}  # fmt: skip


def words(*argv: str) -> list[str]:
    """The command line of snakemake, from its profile on."""
    arguments, rest = parser().parse_known_args(argv)
    return command(arguments, rest)[3:]


def configured(*argv: str) -> Config:
    """The configuration as that command line has it."""
    line = words(*argv)
    files = line[line.index("--configfile") + 1 :]
    files = files[: files.index("--config")] if "--config" in files else files
    return check(reduce(merged, [yaml.safe_load((ROOT / each).read_text()) for each in files], SHIPPED))


@pytest.mark.parametrize("on", [(), ("--on", "demo")], ids=["config", "demo"])
@pytest.mark.parametrize("name", TRAININGS)
def test_every_study_is_valid_and_affordable(name: str, on: tuple[str, ...]) -> None:
    config = configured(name, *on)
    assert config.workspace == f"runs/study-{name}"
    assert config.settings(SummarizeSettings).study_axis == AXES[name]
    assert config.is_phantom("mimic_cxr") == bool(on)
    for dataset in config.evaluate_on:
        measured = [stage for stage in EVALUATIONS if stage not in config.not_measured(dataset)]
        assert measured == ["zero_shot_classification", "few_shot_classification", "phrase_grounding"]
    jobs = jobs_of(config, {each: Amount(3000, 3000, 1e6, "test") for each in config.used_datasets})
    stages = [job.stage for job in jobs]
    assert stages.count("pretrain") == len(config.compared) == TRAININGS[name]
    assert stages.count("few_shot_classification") == 2 * TRAININGS[name]  # a linear probe per data set


def test_the_estimate_counts_a_share_of_the_work() -> None:
    config = configured("data_efficiency")
    amounts = {each: Amount(3000, 3000, 1e6, "test") for each in config.used_datasets}
    work = {job.name: job.operations for job in jobs_of(config, amounts) if job.stage == "pretrain"}
    for name, share in (("share_10", 0.1), ("share_1", 0.01)):
        assert work[f"{name}-seed0"] == pytest.approx(share * work["mlip-seed0"])


def test_there_are_no_others_and_what_the_demo_changes_belongs_to_one() -> None:
    assert studies().keys() == TRAININGS.keys()
    assert {path.stem for path in (ROOT / SMALLER).iterdir()} <= TRAININGS.keys()


def test_the_list_has_a_line_per_study(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(TRAININGS)
    assert all(re.fullmatch(r"\w+  +[A-Z].{20,}\.", line) for line in lines), listed()


def test_its_file_lies_over_the_profile_s_and_the_user_s_and_the_demo_s() -> None:
    demo, study = str(DEMO / "settings.yaml"), "workflow/studies/rho.yaml"
    trial = ["--config", "workspace=runs/study-rho-demo"]
    assert words("rho") == ["--profile", "workflow/profiles/local", "--configfile", study]
    assert words("rho", "--on", "demo", "-n") == ["--profile", str(DEMO), "--configfile", demo, study, *trial, "-n"]
    sample = "workflow/profiles/sample"
    assert words("rho", "--profile", sample, "--cores", "2") == [
        "--profile", sample, "--configfile", f"{sample}/settings.yaml", study, "--cores", "2"
    ]  # fmt: skip
    assert words("rho", "--configfile", "a.yaml", "--on", "demo", "--config", "device=cpu") == [
        "--profile", str(DEMO), "--configfile", "a.yaml", demo, study, *trial, "device=cpu"
    ]  # fmt: skip
    smaller = str(SMALLER / "data_efficiency.yaml")
    assert smaller in words("data_efficiency", "--on", "demo")
    assert smaller not in words("data_efficiency")


def test_a_study_of_one_s_own_is_a_file_and_an_unknown_name_is_one_line(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("{}")
    assert study_file(str(own)) == own
    with pytest.raises(InputError) as caught:
        study_file("epsilo")
    assert str(caught.value) == (
        "STUDY=epsilo: no such study; name one of data_efficiency, epsilon, mask_ratio, rho, temperature, variants, "
        "or a YAML file (did you mean `epsilon`?)"
    )


@pytest.mark.parametrize(
    ("axis", "line"),
    [
        ("local.epsilo", "local.epsilo is no key of `pretrain`; correct the name (did you mean `local.epsilon`?)"),
        ("local", "local is no key of `pretrain`"),
        ("data_share", "data_share has fewer than two numbers among the trained variants of `compare`; compare "),
        ("local.rho", "local.rho has fewer than two numbers"),  # balanced and .1
        ("model.image.weights", "model.image.weights has fewer than two numbers"),
        ("optimisation.epochs", "optimisation.epochs has fewer than two numbers"),  # 51, and the untrained one
    ],
)
def test_an_axis_without_numbers_is_one_line_with_file_and_key(axis: str, line: str) -> None:
    block = {"summarize": {"study_axis": axis}}
    with pytest.raises(InputErrors) as caught:
        check(merged(SHIPPED, block), [Layer("config.yaml", SHIPPED), Layer("other.yaml", block)])
    (said,) = str(caught.value).splitlines()
    assert said.startswith(f"other.yaml: summarize.study_axis: {line}")


def test_snakemake_plans_every_training_of_a_trial(tmp_path: Path) -> None:
    for part in ("config.yaml", "workflow", "stages", "envs"):
        (tmp_path / part).symlink_to(ROOT / part)
    done = subprocess.run(
        [sys.executable, "-m", "workflow.study", "data_efficiency", "--on", "demo", "-n", "--nolock"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path)},
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-2000:]
    assert re.search(r"^pretrain +12$", said, re.MULTILINE)
    assert not re.search(r"^few_shot_segmentation", said, re.MULTILINE)
    assert "runs/study-data_efficiency-demo/results/summarize/report.html" in said
