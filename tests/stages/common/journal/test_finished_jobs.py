"""Outputs of a finished job come back after Snakemake deleted them, and only if nothing that made them has changed."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from stages.common.command_line import run_stage
from stages.common.contract import Job, product, source
from stages.common.files.atomic_files import sidecar_of, write_sidecar
from stages.common.journal.finished_jobs import FOLDER, remove_finished
from stages.common.journal.tracking import track_job
from stages.common.settings import Settings


class CopySettings(Settings):
    times: int = 1


@dataclass(frozen=True, kw_only=True)
class CopyJob(Job):
    """Copy a text into a file and into each file of a folder."""

    stage = "sync"  # any stage whose code stands in the repository

    settings: CopySettings
    text: Path = source(help="a text")
    whole: Path = product("whole.txt")
    parts: Path = product("parts", stands="*/*.txt")
    aside: Path = product("aside.txt", tracked=False)


class Runs:
    """Runs the job as its rule does; counts how often it computed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.computed = folder, 0
        self.results = folder / "results"
        self.text = folder / "text.txt"
        self.text.write_text("one")

    def work(self, job: CopyJob) -> None:
        with track_job(job):
            self.computed += 1
            content = job.text.read_text() * job.settings.times
            for path in (job.whole, job.parts / "a" / "1.txt", job.parts / "b" / "2.txt", job.aside):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
            write_sidecar(job.whole)

    def __call__(self, times: int = 1, image: str = "i") -> None:
        at = self.results
        words = ["--text", self.text, "--whole", at / "whole.txt", "--parts", at / "parts", "--aside", at / "aside.txt",
                 "--journal", at / "journal.json", "--settings", f"{{times: {times}}}", "--image", image]  # fmt: skip
        run_stage({CopyJob: self.work}, list(map(str, words)))

    def outputs(self) -> dict[str, str]:
        return {str(path.relative_to(self.results)): path.read_text()
                for path in sorted(self.results.rglob("*.txt*"))}  # fmt: skip

    def delete(self) -> None:
        """Delete the outputs as Snakemake does: the journal and side-cars are none."""
        (self.results / "whole.txt").unlink()
        (self.results / "aside.txt").unlink()
        shutil.rmtree(self.results / "parts")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    monkeypatch.setenv(FOLDER, str(tmp_path / "state" / "finished"))
    return Runs(tmp_path)


def test_outputs_come_back_without_the_work(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    runs()
    before, journal = runs.outputs(), (runs.results / "journal.json").read_bytes()
    assert len(before) == 5  # the side-car, too
    runs.delete()
    runs()
    assert (runs.outputs(), runs.computed) == (before, 1)
    assert (runs.results / "journal.json").read_bytes() == journal
    assert "finished by an earlier attempt" in capsys.readouterr().err


def test_they_come_back_again_and_again(runs: Runs) -> None:
    for _ in range(3):
        runs()
        runs.delete()
    assert runs.computed == 1


def test_a_side_car_that_was_lost_comes_back(runs: Runs) -> None:
    runs()
    runs.delete()
    sidecar_of(runs.results / "whole.txt").unlink()
    runs()
    assert len(runs.outputs()) == 5


@pytest.mark.parametrize("change", ["settings", "image", "data"])
def test_a_change_is_computed(runs: Runs, change: str) -> None:
    runs()
    runs.delete()
    if change == "data":
        runs.text.write_text("two")
    runs(times=2 if change == "settings" else 1, image="j" if change == "image" else "i")
    assert runs.computed == 2
    assert runs.outputs()["whole.txt"] == {"settings": "oneone", "image": "one", "data": "two"}[change]


def test_what_a_later_run_replaced_does_not_come_back(runs: Runs) -> None:
    runs()
    runs(times=2)
    runs.delete()
    runs()
    assert runs.computed == 3


def test_a_file_that_was_damaged_is_not_put_back(runs: Runs) -> None:
    runs()
    damaged = runs.results / "parts" / "a" / "1.txt"
    with damaged.open("r+") as file:  # of both names: they are one file
        file.write("X")
    runs.delete()
    runs()
    assert runs.computed == 2
    assert damaged.read_text() == "one"


def test_a_run_that_failed_keeps_nothing(runs: Runs) -> None:
    def fail(job: CopyJob) -> None:
        with track_job(job):
            raise RuntimeError("no")

    work, runs.work = runs.work, fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        runs()
    runs.work = work  # type: ignore[method-assign]
    runs()
    assert runs.computed == 1
    assert json.loads((runs.results / "journal.json").read_text())["status"] == "FINISHED"


def test_a_set_that_is_not_whole_is_not_put_back(runs: Runs, tmp_path: Path) -> None:
    runs()
    runs.delete()
    (mark,) = (tmp_path / "state").rglob(".whole")
    mark.unlink()
    runs()
    assert runs.computed == 2


@pytest.mark.parametrize("lost", ["1.txt", "whole", "aside"])
def test_files_that_were_lost_of_a_set_are_computed(runs: Runs, tmp_path: Path, lost: str) -> None:
    """Whoever removed the set was killed, or somebody made room."""
    runs()
    before = runs.outputs()
    runs.delete()
    (kept,) = (tmp_path / "state").rglob(lost)
    kept.unlink()
    runs()
    assert runs.computed == 2
    assert runs.outputs() == before


def test_after_the_end_nothing_is_left(runs: Runs, tmp_path: Path) -> None:
    runs()
    remove_finished(tmp_path / "state" / "finished")
    assert not list((tmp_path / "state").iterdir())
    runs.delete()
    runs()
    assert runs.computed == 2


def test_without_links_a_job_ends_well_and_keeps_nothing(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    runs()
    runs.delete()
    runs()
    assert runs.computed == 2


def test_outside_a_cluster_nothing_is_kept(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER)
    runs()
    assert not (tmp_path / "state").exists()
