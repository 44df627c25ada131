"""A job from its declaration: digests' inputs, the journal's files, options, and where the command line puts them."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from stages.common.command_line import read_job
from stages.common.contract import Job, arguments_of, option, product, source
from stages.common.settings import Settings


class CountSettings(Settings):
    step: int = 1


class WholeSettings(CountSettings):
    jobs: int = 1


@dataclass(frozen=True, kw_only=True)
class CountJob(Job):
    """Count something."""

    stage = "count"

    settings: CountSettings
    root: Path = source(tracked=False, help="folder of the data set")
    checkpoint: Path = source("select_checkpoint", "checkpoint", stands="model.safetensors")
    shards: tuple[Path, ...] = source("dicom_to_arrow", "{shard}.arrow")
    prompts: Path | None = source(optional=True, help="prompt file")
    parts: Path = product("parts", stands="*.arrow")
    left: Path = product("left.csv", tracked=False)
    result: Path = product("result.json", publish=True)
    workers: int = option("processes", default=1)
    how: str = option("way of counting", default="fast", choices=("fast", "slow"))


WORDS = ["--root", "data", "--checkpoint", "c", "--shards", "0.arrow", "1.arrow", "--parts", "parts", "--left", "left",
         "--result", "result.json", "--journal", "journal.json"]  # fmt: skip


def test_the_command_line_fills_the_job() -> None:
    job = read_job([CountJob], [*WORDS, "--settings", "{step: 2}", "--workers", "3", "--name", "mlip/rsna"])
    assert isinstance(job, CountJob)
    assert (job.settings, job.name, job.image) == (CountSettings(step=2), "mlip/rsna", "none")
    assert (job.shards, job.prompts, job.workers, job.how) == ((Path("0.arrow"), Path("1.arrow")), None, 3, "fast")


def test_inputs_are_what_is_tracked_and_given_by_the_file_that_stands_for_a_folder() -> None:
    found = read_job([CountJob], WORDS).inputs()
    assert found == {
        "checkpoint": Path("c/model.safetensors"), "shards_00000": Path("0.arrow"), "shards_00001": Path("1.arrow")
    }  # fmt: skip
    assert read_job([CountJob], [*WORDS, "--prompts", "p.yaml"]).inputs()["prompts"] == Path("p.yaml")


def test_an_optional_input_may_be_given_without_a_value() -> None:
    assert "prompts" not in read_job([CountJob], [*WORDS, "--prompts"]).inputs()


def test_the_journal_lists_what_is_tracked_and_of_a_folder_the_files_that_stand_for_it(tmp_path: Path) -> None:
    words = [str(tmp_path / word) if word in ("parts", "left", "result.json") else word for word in WORDS]
    (tmp_path / "parts").mkdir()
    for name in ("1.arrow", "0.arrow", "0.arrow.sha256"):
        (tmp_path / "parts" / name).touch()
    found = read_job([CountJob], words).artifacts()
    assert [(path.relative_to(tmp_path).as_posix(), publish) for path, publish in found] == [
        ("parts/0.arrow", False), ("parts/1.arrow", False), ("result.json", True)
    ]  # fmt: skip


def test_options_have_the_types_and_defaults_of_the_fields() -> None:
    options = {each.name: each for each in arguments_of(CountJob)}
    assert [name for name, each in options.items() if each.required] == [
        "root", "checkpoint", "shards", "parts", "left", "result"
    ]  # fmt: skip
    assert (options["shards"].many, options["shards"].type, options["prompts"].type) == (True, Path, Path)
    assert (options["workers"].default, options["how"].choices) == (1, ("fast", "slow"))
    assert options["checkpoint"].help == "checkpoint of select_checkpoint"


def test_a_block_is_of_the_job_s_settings_unless_it_says_otherwise() -> None:
    @dataclass(frozen=True, kw_only=True)
    class PartJob(CountJob):
        """A run that sees a part of its block."""

        block = WholeSettings

    assert (CountJob.block_type(), PartJob.block_type()) == (CountSettings, WholeSettings)


@pytest.mark.parametrize(("words", "message"), [(["--how", "some"], "invalid choice"), (["--colour", "red"], "colour")])
def test_a_wrong_option_is_named(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_job([CountJob], [*WORDS, *words])
    assert message in capsys.readouterr().err
