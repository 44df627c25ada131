"""Whatever a stage imports is a direct dependency of its rule's image: found here, not on the cluster."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from stages.common.files.code_digest import NEUTRAL, PACKAGE, import_closure

ROOT = Path(__file__).resolve().parents[3]
RULES = sorted(path.stem for path in (ROOT / "workflow" / "rules").glob("*.smk"))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def direct_dependencies(image: str) -> set[str]:
    lines = (ROOT / "envs" / f"{image}.in").read_text().splitlines()
    return {normal(found[0]) for line in lines if (found := re.match(r"[A-Za-z][\w.-]*", line))}


def foreign_imports(path: Path) -> set[str]:
    """Top-level names of what a module imports from elsewhere than this repository and the standard library."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"stages", "workflow"}


@pytest.mark.parametrize("stage", [name for name in RULES if name != "common"])
def test_the_image_of_a_stage_holds_what_it_imports(stage: str) -> None:
    text = (ROOT / "workflow" / "rules" / f"{stage}.smk").read_text()
    images = set(re.findall(r'container_of\("(\w+)"\)', text))
    assert images == set(re.findall(r'identity_of\([^)]*?image="(\w+)"', text)), "container and digest of one image"
    if not images:
        pytest.skip("runs without a container")
    (image,) = images
    held, distributions = direct_dependencies(image), packages_distributions()
    files = [*import_closure(f"stages.{stage}.__main__").values(),
             *import_closure("stages.common.journal.pictures").values(),  # of the neutral `Run`
             *(PACKAGE / f"{name.replace('.', '/')}.py" for name in NEUTRAL)]  # fmt: skip
    needed = {name for path in files for name in foreign_imports(path)}
    missing = {name for name in needed if not held & {normal(each) for each in distributions.get(name, [name])}}
    assert not missing, f"envs/{image}.in lacks what {stage} imports"
