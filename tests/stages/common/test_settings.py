"""Settings: every error at once, each in one line; frozen; one digest for one meaning."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from stages.common.errors import InputError
from stages.common.settings import Settings


class Optimiser(Settings):
    rate: float = Field(0.1, gt=0)
    steps: int = 10


class Example(Settings):
    name: str = "a"
    seed: int
    optimiser: Optimiser = Optimiser()
    sizes: tuple[int, ...] = (1, 2)


def test_defaults_and_nested_values():
    settings = Example.from_text("{seed: 3, optimiser: {steps: 5}}")
    assert (settings.name, settings.seed, settings.optimiser.rate, settings.optimiser.steps) == ("a", 3, 0.1, 5)


def test_every_error_comes_at_once_and_says_where():
    with pytest.raises(InputError) as caught:
        Example.from_text("{name: 1, sede: 2, optimiser: {rate: -1, setps: 2}, sizes: [1, x]}")
    lines = str(caught.value).split("; --settings: ")
    assert "\n" not in str(caught.value)
    assert len(lines) == 6
    for expected in (
        "seed: missing key; add it",
        "sede: unknown key; remove it or correct its spelling",
        "optimiser.setps: unknown key; remove it or correct its spelling",
        "optimiser.rate: Input should be greater than 0 (given: -1)",
        "name: Input should be a valid string (given: 1)",
        "sizes.1: Input should be a valid integer",
    ):
        assert sum(line.removeprefix("--settings: ").startswith(expected) for line in lines) == 1, expected


def test_a_file_is_read_and_named_in_errors(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("seed: 4\n")
    assert Example.from_text(str(path)).seed == 4
    path.write_text("sede: 4\nseed: 1\n")
    with pytest.raises(InputError, match=r"settings\.yaml: sede: unknown key"):
        Example.from_text(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/no/such/file.yaml", "cannot be read"),
        ("{seed: [", "not valid YAML"),
        ("{seed: 1, seed: {}}}", "not valid YAML"),
        ("", "seed: missing key"),
    ],
)
def test_what_is_no_mapping_is_refused_in_one_line(text, message):
    with pytest.raises(InputError, match=message) as caught:
        Example.from_text(text)
    assert "\n" not in str(caught.value)


def test_a_file_with_a_list_is_refused(tmp_path):
    (tmp_path / "list.yaml").write_text("- 1\n- 2\n")
    with pytest.raises(InputError, match=r"\(top level\)"):
        Example.from_text(str(tmp_path / "list.yaml"))


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Example(seed=1).seed = 2


def test_the_digest_counts_values_not_writing():
    written_out = Example.from_text("{seed: 1, name: a, optimiser: {rate: 0.1, steps: 10}, sizes: [1, 2]}")
    assert Example.from_text("{seed: 1}").digest() == written_out.digest()
    assert Example(seed=1).digest() != Example(seed=2).digest()
    assert Example(seed=1).digest() != Example(seed=1, optimiser=Optimiser(steps=11)).digest()


@given(seed=st.integers(), rate=st.floats(1e-12, 1e12), name=st.text("ab: {}'\"#", max_size=6))
def test_yaml_round_trip(seed, rate, name):
    settings = Example(seed=seed, name=name, optimiser=Optimiser(rate=rate))
    text = yaml.safe_dump(settings.model_dump(mode="json"), default_flow_style=True)
    assert Example.from_text(text) == settings
