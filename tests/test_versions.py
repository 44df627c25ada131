"""One version everywhere: the newest of the changelog is that of the package and of the citation."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def test_changelog_package_and_citation_name_one_version() -> None:
    newest = re.search(
        r"^## (\S+) \((unreleased|\d{4}-\d\d-\d\d)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert newest, "CHANGELOG.md: no heading `## <version> (unreleased or date)`"
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    assert newest[1] == package == citation
    assert re.fullmatch(r"\d+\.\d+\.\d+", package), "semantic versioning"
