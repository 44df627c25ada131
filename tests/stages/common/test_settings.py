"""Settings: every error at once, each in one line; frozen; one digest for one meaning."""

from typing import Literal

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
    shares: dict[str, float | None] = Field(default_factory=dict)
    warmup: Literal["auto"] | int = "auto"
    fast: bool = False
    label: str | int = "x"
    either: bool | float = 0.5


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


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("seed: 010", "seed: '010': write the number without leading zeros"),
        ("seed: -010", "seed: '-010': write the number without leading zeros"),
        ("seed: '010'", "seed: '010': write the number without leading zeros"),
        ("seed: 0_1", "seed: '0_1': write the number without leading zeros"),
        ("seed: 1:30", "seed: Input should be a valid integer"),
        ("sizes: [256, 0512]", "sizes: '0512': write the number without leading zeros"),
        ("sizes: [2:08]", "sizes.0: Input should be a valid integer"),
        ("optimiser: {rate: 00.5}", "optimiser.rate: '00.5': write the number without leading zeros"),
        ("optimiser: {rate: 1:30.5}", "optimiser.rate: Input should be a valid number"),
        ("warmup: 010", "warmup: '010': write the number without leading zeros"),
        ("seed: yes", "seed: True is no number (YAML reads yes, no, on and off as true and false)"),
        ("sizes: [1, no]", "sizes: False is no number"),
        ("optimiser: {steps: on}", "optimiser.steps: True is no number"),
        ("shares: {a: off}", "shares: False is no number"),
        ("warmup: yes", "warmup: True is no number"),
        ("label: yes", "label: True is no number"),
    ],
)
def test_what_yaml_alone_takes_for_a_number_is_refused(written, place):
    with pytest.raises(InputError) as caught:
        Example.from_text(f"{{{written}}}" if written.startswith("seed") else f"{{seed: 1, {written}}}")
    assert f"--settings: {place}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_and_booleans_are_read_where_they_are_written_as_such():
    settings = Example.from_text(
        "{seed: 0, optimiser: {rate: 2.5e-4, steps: 1_000}, sizes: [0x10, -3], "
        "shares: {a: 0, b: 0.5, c: 1e-3, d: null}, fast: yes, label: 010, either: on}"
    )
    assert settings == Example(
        seed=0, optimiser=Optimiser(rate=0.00025, steps=1000), sizes=(16, -3),
        shares={"a": 0.0, "b": 0.5, "c": 0.001, "d": None}, fast=True, label="010", either=True,
    )  # fmt: skip


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
