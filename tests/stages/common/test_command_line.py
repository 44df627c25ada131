"""Every stage answers --help; an InputError is one line and exit status 2."""

import errno
import os
import re
import runpy
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from stages.common.command_line import run_stage
from stages.common.contract import Job, option, product, source
from stages.common.errors import InputError
from stages.common.files.code_digest import ROOT
from stages.common.settings import Settings
from stages.contracts import JOBS

STAGES = sorted({job.stage for job in JOBS})


class Example(Settings):
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class ExampleJob(Job):
    """Do what it does."""

    stage = "example"
    settings: Example


@dataclass(frozen=True, kw_only=True)
class FilesJob(Job):
    """Read and write files."""

    stage = "example"
    command = "files"

    settings: Example
    checkpoint: Path = source("other", "checkpoint", stands="model.safetensors")
    tables: tuple[Path, ...] = source("other", "table.arrow")
    prompts: Path | None = source(optional=True, help="prompt file")
    root: Path = source(tracked=False, help="folder")
    result: Path = product("result.json", publish=True)
    scores: Path = product("scores", stands="*.arrow")
    rounds: int = option("how often, 95 % interval", default=3, ge=1)
    words: tuple[str, ...] = option("words", default=())


JOURNAL = ["--journal", "j.json"]


def run(work, *more):
    run_stage({ExampleJob: work}, [*JOURNAL, *more])


def test_options_follow_from_the_declared_files(tmp_path):
    seen = []
    argv = ["files", *JOURNAL, "--checkpoint", "c", "--tables", "a", "b", "--root", "r", "--prompts",
            "--result", str(tmp_path / "result.json"), "--scores", str(tmp_path / "scores")]  # fmt: skip
    run_stage({FilesJob: seen.append}, argv)
    (job,) = seen
    assert (job.tables, job.prompts, job.rounds) == ((Path("a"), Path("b")), None, 3)
    inputs = {"checkpoint": Path("c/model.safetensors"), "tables_00000": Path("a"), "tables_00001": Path("b")}
    assert job.inputs() == inputs
    (tmp_path / "scores").mkdir()
    for name in ("result.json", "scores/2.arrow", "scores/1.arrow"):
        (tmp_path / name).write_text("")
    assert job.artifacts() == [(tmp_path / "result.json", True), (tmp_path / "scores/1.arrow", False),
                               (tmp_path / "scores/2.arrow", False)]  # fmt: skip


def test_a_run_without_a_place_of_its_own_has_no_name():
    """Its rule gives the option without a value."""
    seen = []
    for more in (["--name"], ["--name", ""], []):
        run(seen.append, *more, "--image", "i")
    assert {job.name for job in seen} == {""}


@pytest.mark.parametrize("lacking", ["--checkpoint", "--result"])
def test_an_option_that_is_needed_is_named(lacking, capsys):
    argv = [text for each in ("--checkpoint", "--tables", "--root", "--result", "--scores") if each != lacking
            for text in (each, "x")]  # fmt: skip
    with pytest.raises(SystemExit):
        run_stage({FilesJob: pytest.fail}, ["files", *JOURNAL, *argv])
    assert lacking in capsys.readouterr().err


def test_the_settings_reach_the_stage_as_a_model(tmp_path):
    seen = []
    run_stage(
        {ExampleJob: seen.append}, ["--journal", str(tmp_path / "j.json"), "--settings", "{seed: 3}", "--name", "a/b"]
    )
    assert seen[0].settings == Example(seed=3)
    assert (seen[0].journal, seen[0].name, seen[0].image) == (tmp_path / "j.json", "a/b", "none")


def test_an_input_error_is_one_line_without_a_traceback(capsys):
    def fails(_):
        raise InputError("reports.csv: row 3: no study_id; add it")

    with pytest.raises(SystemExit) as caught:
        run(fails)
    assert caught.value.code == 2
    assert capsys.readouterr() == ("", "error: reports.csv: row 3: no study_id; add it\n")
    assert caught.value.__suppress_context__  # no "During handling of the above exception"


def full(_):
    raise OSError(errno.ENOSPC, "No space left on device", "/data/1.arrow")


def test_a_full_disk_is_one_line(capsys):
    with pytest.raises(SystemExit) as caught:
        run(full)
    assert caught.value.code == 2
    said = r"error: /data/1\.arrow: No space left on device \([\d,]+ MiB.* free in /.*\); free space, and .*\n"
    assert re.fullmatch(said, capsys.readouterr().err)


def test_where_the_log_lies_on_the_full_disk_standard_output_has_the_line(capsys, monkeypatch):
    with open("/dev/full", "w") as log, pytest.raises(SystemExit):  # noqa: PTH123, PT012
        monkeypatch.setattr(sys, "stderr", log)
        try:
            run(full)
        finally:
            monkeypatch.undo()
            with suppress(OSError):
                log.close()
    assert capsys.readouterr().out.startswith("error: /data/1.arrow: No space left on device (")


def test_an_error_of_the_system_that_names_a_path_is_one_line(capsys):
    with pytest.raises(SystemExit) as caught:
        run(lambda _: Path("/proc/none/x").read_text())
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: /proc/none/x: No such file or directory; correct the path\n"


def program(*words, stdout):
    """Start `mlip` on a report of many sentences (more than a pipe holds), without a traceback allowed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "stages", *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.fixture
def report(tmp_path):
    path = tmp_path / "report.txt"
    path.write_text("FINDINGS: " + "The lungs are clear. " * 5_000)
    return path


def test_a_reader_that_has_gone_ends_the_program_quietly(report):
    with program("split-report", str(report), stdout=subprocess.PIPE) as started:
        assert started.stdout.readline().startswith('{"section"')
        started.stdout.close()
        assert (started.wait(), started.stderr.read()) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize("length", [50, None])
def test_standard_output_on_a_full_device_is_one_line(report, length):
    report.write_text(report.read_text()[:length])  # 50: the output stays in the buffer until the end
    with open("/dev/full", "w") as full, program("split-report", str(report), stdout=full) as started:  # noqa: PTH123
        error = started.stderr.read()
        assert started.wait() == 2
    assert error.count("\n") == 1
    assert error.startswith("error: a file or standard output: No space left on device; free space")


def refused(capsys, tmp_path, **changed):
    """The line that a job with these options is refused with, before its work and without a trace."""
    paths = {"checkpoint": "c", "tables": "a", "root": "r", "result": "result.json", "scores": "scores", "journal": "j"}
    given = {name: str(tmp_path / path) for name, path in paths.items()} | changed
    argv = [word for name, value in given.items() for word in (f"--{name}", *str(value).split())]
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as caught:
        run_stage({FilesJob: lambda _: pytest.fail("the work began")}, ["files", *argv])
    assert caught.value.code == 2
    assert sorted(tmp_path.rglob("*")) == before
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


UNWRITABLE = {"folder": "is a folder", "/dev/full": "is a device", "file/x": "is no folder",
              "/proc/x/y": "No such file or directory", "n" * 250: "File name too long"}  # fmt: skip


@pytest.mark.parametrize("option", ["result", "journal"])
@pytest.mark.parametrize("path", UNWRITABLE)
def test_an_output_that_cannot_be_written_is_refused_before_the_work(capsys, tmp_path, option, path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    error = refused(capsys, tmp_path, **{option: tmp_path / path})
    assert error.startswith(f"error: --{option} {tmp_path / path}: ")
    assert UNWRITABLE[path] in error


@pytest.mark.parametrize("path", ["file", "file/x", "/dev/full"])
def test_a_folder_of_outputs_that_cannot_be_one_is_refused(capsys, tmp_path, path):
    (tmp_path / "file").touch()
    assert "is no folder" in refused(capsys, tmp_path, scores=tmp_path / path)


def test_outputs_that_are_one_file_are_refused(capsys, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    for name, path, other in (
        ("scores", "result.json", "--result"),
        ("scores", "link/result.json", "--result"),
        ("result", "a", "--tables"),
        ("journal", "./result.json.sha256", "--result"),
    ):
        assert f"is also that of {other}; name two paths" in refused(capsys, tmp_path, **{name: tmp_path / path})
    for name in ("result", "journal", "tables"):
        assert "lies in --scores; name a path outside" in refused(capsys, tmp_path, **{name: tmp_path / "scores" / "x"})


def test_repeated_words_and_numbers_out_of_bounds_are_refused(capsys, tmp_path):
    assert refused(capsys, tmp_path, words="a b a") == "error: --words: a stands there twice; remove one\n"
    assert "--tables: x/../y stands there twice" in refused(capsys, tmp_path, tables="y x/../y")
    assert refused(capsys, tmp_path, rounds=0) == "error: --rounds 0: is below 1; give 1 or more\n"
    assert refused(capsys, tmp_path, rounds=-3) == "error: --rounds -3: is below 1; give 1 or more\n"
    assert "--rounds 1.5: is not a whole number" in refused(capsys, tmp_path, rounds=1.5)


def test_another_error_of_the_system_keeps_its_traceback():
    with pytest.raises(PermissionError):
        run(lambda _: (_ for _ in ()).throw(PermissionError(13, "no")))


def test_wrong_settings_end_before_the_work_starts(capsys):
    with pytest.raises(SystemExit) as caught:
        run(lambda _: pytest.fail("the stage ran"), "--settings", "{sede: 1, x: 2}")
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert [line.partition(";")[0] for line in error.splitlines()] == [
        "error: --settings: sede: unknown key",
        "error: --settings: x: unknown key",
    ]
    assert "sede: unknown key" in error
    assert "x: unknown key" in error


def test_other_errors_keep_their_traceback():
    def fails(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(fails)


def test_a_percent_sign_in_a_help_text_is_shown_as_it_is(capsys):
    with pytest.raises(SystemExit):
        run_stage({FilesJob: print}, ["files", "--help"])
    assert "how often, 95 % interval" in capsys.readouterr().out


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_answers_help(stage, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [stage, "--help"])
    monkeypatch.delitem(sys.modules, f"stages.{stage}.__main__", raising=False)  # another test may have imported it
    with pytest.raises(SystemExit) as caught:
        runpy.run_module(f"stages.{stage}", run_name="__main__")
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert f"python -m stages.{stage}" in text


@pytest.mark.parametrize("stage", STAGES)
def test_every_main_is_short(stage):
    text = (ROOT / "stages" / stage / "__main__.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40, "move the work into a module named for what it holds"


LOADS_TORCH = """
from stages.common.command_line import run_stage
from stages.retrieval.contract import RetrievalJob
run_stage({RetrievalJob: lambda job: __import__("torch")}, WORDS)
"""


@pytest.mark.parametrize(("given", "spins"), [({}, False), ({"OMP_WAIT_POLICY": "ACTIVE"}, True)])
def test_idle_threads_sleep_in_a_stage_that_is_run_by_hand(tmp_path, given, spins):
    """OpenMP says, as it is loaded, how often its threads look before they sleep."""
    options = {"checkpoint": "c", "images": "i", "pairs": "p", "sentences": "s", "result": "r.json", "ranks": "r.arrow"}
    words = ["--journal", "j.json", "--class-precision", "c.arrow", "--device", "cpu"]
    words += [word for name, value in options.items() for word in (f"--{name}", value)]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", LOADS_TORCH.replace("WORDS", repr(words))],
        cwd=tmp_path, env=environment | {"PYTHONPATH": str(ROOT), "OMP_DISPLAY_ENV": "VERBOSE"} | given,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    [count] = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    assert bool(int(count)) == spins
