"""What is typed on a login node runs with envs/workflow.lock alone."""

import ast
import re
import sys
from pathlib import Path

import pytest

from stages.common.files.code_digest import import_closure

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTIONS = {"yaml": "pyyaml", "pyarrow": "pyarrow", "huggingface_hub": "huggingface-hub",
                 "indexed_gzip": "indexed-gzip", "typing_extensions": "typing-extensions"}  # fmt: skip


def imported(path: Path) -> set[str]:
    """Top-level packages that a module imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"stages", "workflow"}


@pytest.mark.parametrize("program", ["workflow.doctor.__main__", "workflow.estimate.__main__"])
def test_its_imports_are_in_the_lock_of_the_login_node(program: str) -> None:
    pins = set(re.findall(r"^([\w.-]+)==", (ROOT / "envs" / "workflow.lock").read_text(), re.MULTILINE))
    packages = set().union(*map(imported, import_closure(program, ROOT).values()))
    assert {DISTRIBUTIONS.get(package, package) for package in packages} <= pins
    assert "polars" in packages, "the index is read as index_inputs reads it"
