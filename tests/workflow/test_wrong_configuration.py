"""A mistake in the configuration is one line: the file that it stands in, the key, the nearest right name."""

import re
from pathlib import Path

import pytest
import yaml

from stages.common.errors import InputError, InputErrors
from stages.common.yaml_files import parse_yaml, read_mapping
from stages.config import check, merged
from stages.config_layers import Layer
from stages.pretrain.contract import PretrainSettings

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.mark.parametrize(
    ("block", "line"),
    [
        (
            {"pretrain": {"optimisation": {"epoch": 3}}},
            "other.yaml: pretrain: optimisation.epoch: unknown key; remove it or correct its spelling "
            "(did you mean `epochs`?)",
        ),
        ({"pretrian": {}}, "other.yaml: pretrian: unknown key; remove it or correct its spelling "
                           "(did you mean `pretrain`?)"),
        ({"variants": {"clip": {"local": {"wieght": 1}}}},
         "other.yaml: variants.clip (over pretrain): local.wieght: unknown key; remove it or correct its spelling "
         "(did you mean `weight`?)"),
        ({"label_images": {"größe": 1}}, "other.yaml: label_images: größe: unknown key; remove it or correct its "
                                         "spelling"),
        ({"compare": ["mlip", "clipp"]}, "other.yaml: compare: 'clipp' is not a key of `variants`; add it there or "
                                         "correct the name (did you mean `clip`?)"),
    ],
)  # fmt: skip
def test_a_wrong_key_names_its_file_once_and_the_nearest_right_name(block: dict, line: str) -> None:
    with pytest.raises(InputErrors) as caught:
        check(merged(SHIPPED, block), [Layer("config.yaml", SHIPPED), Layer("other.yaml", block)])
    assert str(caught.value).splitlines() == [line]


def test_settings_are_validated_once_and_have_the_stages_own_type() -> None:
    config = check(SHIPPED)
    settings = config.settings(PretrainSettings, variant="mlip")
    assert settings is config.settings("pretrain", variant="mlip")
    assert isinstance(settings, PretrainSettings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n\tb: 1\n", r"x\.yaml: not valid YAML: line 2, column 1: .*; indent with spaces, not tabs"),
        ("a: 1\nb: 2\na: 3\n", r"x\.yaml: not valid YAML: line 3, column 1: key 'a' twice; correct it"),
        ("a: [1\n", r"x\.yaml: not valid YAML: line 2"),
        ("a: 2024-13-01\n", r"x\.yaml: not valid YAML: month must be in 1..12; correct it"),
    ],
)
def test_yaml_that_cannot_be_read_names_file_and_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_yaml(text, "x.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"- 1\n", b"text\n", b"\xff\xfe", None])
def test_what_is_no_mapping_is_refused_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "config.yaml"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(str(path))) as caught:
        read_mapping(path, "correct it")
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_nobody_cuts_the_text_of_an_error() -> None:
    cuts = re.compile(r"""\b(r?partition|r?split)\(["'];\s?["']\)|remedy=f?["'];""")
    holders = [ROOT / "stages", ROOT / "workflow"]
    cut = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for holder in holders
        for path in holder.rglob("*.py")
        for line in path.read_text().splitlines()
        if cuts.search(line) and "error" in line
    ]
    assert cut == []


def test_no_error_holds_its_remedy_in_its_text() -> None:
    inline = re.compile(r'InputError\(\s*f?"[^"]*[\w)`]; [^"]*"\s*\)')
    found = [
        str(path.relative_to(ROOT))
        for holder in ("stages", "workflow")
        for path in (ROOT / holder).rglob("*.py")
        if inline.search(path.read_text())
    ]
    assert found == []
