"""Jobs of a Snakemake that is gone, and jobs whose end nobody would tell; squeue and sacct are scripts."""

import os

import pytest

from stages.common.errors import InputError
from workflow.invocation import refuse_left_jobs, refuse_unknown_ends


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """Put a squeue into PATH that prints some lines, and returns a status."""

    def put(*lines, status=0):
        script = tmp_path / "bin" / "squeue"
        script.parent.mkdir(exist_ok=True)
        script.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines) + f"exit {status}\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")

    return put


@pytest.fixture
def locks(tmp_path):
    folder = tmp_path / "locks"
    folder.mkdir()
    (folder / "0.input.lock").touch()
    (folder / "0.output.lock").touch()  # our own
    return folder


def test_jobs_of_this_folder_are_named_and_no_others(queue, locks, tmp_path):
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    (tmp_path / "link").symlink_to(here)
    queue(f"11|R|{here}", f"12|PD|{tmp_path / 'link'}", f"13|R|{elsewhere}", f"14|CG|{here}", "unreadable")
    with pytest.raises(InputError, match=r"^2 SLURM jobs .* scancel 11 12$"):
        refuse_left_jobs(here, locks)
    refuse_left_jobs(tmp_path / "third", locks)


def test_another_snakemake_at_work_in_the_folder_owns_its_jobs(queue, locks, tmp_path):
    queue(f"11|R|{tmp_path}")
    (locks / "1.output.lock").touch()
    refuse_left_jobs(tmp_path, locks)


def test_where_squeue_does_not_answer_nothing_is_said(queue, locks, tmp_path, monkeypatch):
    queue(f"11|R|{tmp_path}", status=1)
    refuse_left_jobs(tmp_path, locks)
    monkeypatch.setenv("PATH", "")
    refuse_left_jobs(tmp_path, locks)


def test_many_jobs_are_counted_and_some_named(queue, locks, tmp_path):
    queue(*(f"{number}|PD|{tmp_path}" for number in range(300)))
    with pytest.raises(InputError, match=r"^300 SLURM jobs .* 18 19 \.\.\.$"):
        refuse_left_jobs(tmp_path, locks)


@pytest.mark.parametrize(
    ("sacct", "words"),
    [
        (
            "echo 'Slurm accounting storage is disabled' >&2; exit 1",
            "does not answer: Slurm accounting storage is disabled",
        ),
        ("exit 3", "does not answer: exit status 3"),
    ],
)
def test_without_accounting_nothing_is_submitted_that_would_be_waited_for(tmp_path, monkeypatch, sacct, words):
    program = tmp_path / "sacct"
    program.write_text(f"#!/bin/sh\n{sacct}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(InputError) as error:
        refuse_unknown_ends("sacct")
    assert words in str(error.value)
    assert "slurm-status-command: squeue" in str(error.value)
    refuse_unknown_ends("squeue")
    refuse_unknown_ends(None)  # another scheduler


def test_a_sacct_that_answers_or_is_not_there_is_no_hindrance(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    refuse_unknown_ends("sacct")
    program = tmp_path / "sacct"
    program.write_text("#!/bin/sh\necho 1\n")
    program.chmod(0o755)
    refuse_unknown_ends("sacct")
