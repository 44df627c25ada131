"""What a site must set is asked for before anything is submitted."""

import shutil
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from snakemake.cli import parse_config

from stages.common.errors import InputError
from workflow.doctor.__main__ import parser as doctor
from workflow.estimate.__main__ import parser as estimate
from workflow.site_profile import (
    UNSET,
    add_options,
    assignments_of,
    check_account,
    configuration,
    read_profile,
    refuse_padded_numbers,
)

ROOT = Path(__file__).resolve().parents[2]
PROFILES = ROOT / "workflow" / "profiles"


def test_the_placeholder_is_refused_and_anything_else_passes() -> None:
    with pytest.raises(InputError, match=r"slurm/config.yaml: default-resources: slurm_account"):
        check_account({"slurm_account": SimpleNamespace(raw=UNSET)})
    check_account({"slurm_account": SimpleNamespace(raw="radiology")})
    check_account({})
    check_account(None)


def why() -> ArgumentParser:
    options = ArgumentParser()
    add_options(options)
    return options


def parsed(*words: str) -> list[Namespace]:
    return [program().parse_args(words) for program in (doctor, estimate, why)]


def test_one_default_of_the_profile_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    assert {each.profile for each in parsed()} == {Path("workflow/profiles/local")}
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "slurm")  # as snakemake reads it
    assert {each.profile for each in parsed()} == {Path("slurm")}
    assert {each.profile for each in parsed("--profile", "x")} == {Path("x")}


def test_the_local_profile_is_the_demos_without_its_configuration() -> None:
    local, demo = (yaml.safe_load((PROFILES / name / "config.yaml").read_text()) for name in ("local", "demo"))
    own = {"configfile", "set-threads"}
    assert local == {key: value for key, value in demo.items() if key not in own} | {"resources": {"gpu": 1}}
    profile = read_profile(PROFILES / "local")
    assert not profile.on_slurm
    assert not profile.in_containers


@pytest.mark.parametrize("flag", ["--configfile", "--configfiles"])
def test_files_are_laid_over_each_other_in_their_order_instead_of_the_profiles(tmp_path: Path, flag: str) -> None:
    names = [str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]
    for name, text in zip(names, ("{project: a, workspace: runs/a}", "{project: b}"), strict=True):
        Path(name).write_text(text)
    demo = read_profile(PROFILES / "demo")
    for arguments in parsed(flag, *names, "--config", "pretrain_retries=2"):
        config = configuration(demo, arguments.config, arguments.configfile, ROOT)
        assert (config.project, config.workspace, config.pretrain_retries) == ("b", "runs/a", 2)
    assert configuration(demo, root=ROOT).project == "mlip-demo"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read .*; correct --configfile"),
        ("- 1", "not a mapping"),
        ("projct: x", "wrong.yaml: projct: unk"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    wrong = tmp_path / "wrong.yaml"
    if text is not None:
        wrong.write_text(text)
    with pytest.raises(InputError, match=message):
        configuration(read_profile(PROFILES / "local"), (), [wrong], ROOT)


@pytest.mark.parametrize("value", ["010", "-010", "00", "0_1", "010.5", "+01e1"])
def test_a_number_with_leading_zeros_is_refused_with_what_snakemake_reads(value: str) -> None:
    read = parse_config([f"project={value}"])["project"]
    with pytest.raises(InputError, match="would be read as the number"):
        refuse_padded_numbers([f"project='\"{value}\"'"])
    words = ["--profile", "p", "-C", "a=1", f"project={value}", "--cores", "2"]
    assert assignments_of(words) == ["a=1", f"project={value}"]
    with pytest.raises(InputError) as caught:
        refuse_padded_numbers(assignments_of(words))
    line = f"--config project={value}: would be read as the number {read}; write {read}; a text of digits needs a "
    assert str(caught.value) == f'{line}file for --configfile, with project: "{value}"'


def test_other_words_behind_config_are_let_through() -> None:
    values = ["0", "0.5", "0e1", "10", "007-b", "01-02-2026", "0x10", "{a: 010}", ""]
    refuse_padded_numbers([f"key={value}" for value in values])
    assert assignments_of(["--config=a=01", "-Cb=02", "all", "--configfile", "c=03", "--config", "d=04"]) == [
        "a=01", "b=02", "d=04"]  # fmt: skip


def test_snakemake_refuses_a_number_with_leading_zeros_in_one_line(tmp_path: Path) -> None:
    shutil.copy(ROOT / "config.yaml", tmp_path)
    command = [*(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "workflow" / "Snakefile"), "--dry-run"),
               *("--cores", "1", "--config", "pretrain_retries=010")]  # fmt: skip
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode
    assert (
        "--config pretrain_retries=010: would be read as the number 10; write 10; a text" in done.stdout + done.stderr
    )
