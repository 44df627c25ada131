"""What counts as a change of code, and that nothing in `stages` can hide from the count."""

import ast
import textwrap

import pytest

from stages.common.files import code_digest as subject
from stages.common.files.code_digest import NEUTRAL, PACKAGE, ROOT, code_digest, import_closure

MAIN = "stages.example.__main__"
FILES = {
    "stages/__init__.py": "",
    "stages/example/__init__.py": "",
    "stages/example/__main__.py": """
        import numpy as np
        from stages.example import direct
        from stages.common.journal.tracking import track
        def main():
            return direct.twice(2)
    """,
    "stages/example/direct.py": """
        from stages.common.transitive import FACTOR
        def twice(x):
            return FACTOR * x
    """,
    "stages/common/__init__.py": "",
    "stages/common/transitive.py": "FACTOR = 2",
    "stages/common/unrelated.py": "FACTOR = 3",
    "stages/common/journal/tracking.py": "from stages.common import behind_tracking",
    "stages/common/behind_tracking.py": "A = 1",
    "stages/other/__main__.py": "B = 1",
}


@pytest.fixture
def tree(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return tmp_path


def edit(tree, name, text):
    (tree / name).write_text(textwrap.dedent(text))
    return code_digest(MAIN, tree)


def test_the_closure_is_what_main_imports_here(tree):
    names = [name for name in import_closure(MAIN, tree) if not name.endswith("__init__")]
    assert [name for name in names if name.count(".") == 2] == [
        "stages.common.transitive",
        "stages.example.__main__",
        "stages.example.direct",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "from stages.common.transitive import FACTOR  # a comment\ndef twice(x):\n    # why\n    return FACTOR * x\n",
        "from stages.common.transitive import FACTOR\n\n\ndef twice(x): return (FACTOR\n      *   x)\n",
        '"""A."""\nfrom stages.common.transitive import FACTOR\ndef twice(x):\n    """Twice."""\n    return FACTOR * x',
    ],
    ids=["comment", "format", "docstring"],
)
def test_comments_formatting_and_docstrings_are_neutral(tree, text):
    before = code_digest(MAIN, tree)
    assert edit(tree, "stages/example/direct.py", text) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("stages/common/transitive.py", "FACTOR = 3"),
        ("stages/common/transitive.py", "FACTOR = 2.0"),
        ("stages/common/transitive.py", "FACTOR = '2'"),
        ("stages/common/transitive.py", "FACTOR = 2\nFACTOR = None"),
        ("stages/example/direct.py", FILES["stages/example/direct.py"].replace("*", "+")),
        ("stages/example/direct.py", FILES["stages/example/direct.py"].replace("(x):", "(x, y=1):")),
        ("stages/example/__main__.py", FILES["stages/example/__main__.py"].replace("(2)", "(3)")),
    ],
)
def test_a_changed_value_or_operation_counts(tree, name, text):
    before = code_digest(MAIN, tree)
    assert edit(tree, name, text) != before


def test_a_string_that_is_no_docstring_counts(tree):
    one = edit(tree, "stages/common/transitive.py", "FACTOR = 2\ndef f():\n    return 'a'")
    other = edit(tree, "stages/common/transitive.py", "FACTOR = 2\ndef f():\n    return 'b'")
    assert one != other


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("stages/common/unrelated.py", "FACTOR = 4"),
        ("stages/other/__main__.py", "B = 2"),
        ("stages/common/journal/tracking.py", "A = 2"),
        ("stages/common/behind_tracking.py", "A = 2"),
    ],
    ids=["unrelated", "another stage", "neutral", "behind a neutral one"],
)
def test_unrelated_and_neutral_modules_do_not_count(tree, name, text):
    before = code_digest(MAIN, tree)
    assert edit(tree, name, text) == before


def test_a_new_import_counts_and_its_module_from_then_on(tree):
    before = code_digest(MAIN, tree)
    source = FILES["stages/example/__main__.py"] + "        from stages.common import unrelated\n"
    with_import = edit(tree, "stages/example/__main__.py", source)
    assert with_import != before
    assert edit(tree, "stages/common/unrelated.py", "FACTOR = 4") != with_import


def test_an_import_inside_a_function_counts(tree):
    edit(tree, "stages/example/direct.py", "def twice(x):\n    from stages.common import unrelated\n    return x")
    assert "stages.common.unrelated" in import_closure(MAIN, tree)


def test_relative_imports_count_as_absolute_ones(tree):
    before = code_digest(MAIN, tree)
    edit(tree, "stages/example/direct.py", FILES["stages/example/direct.py"].replace("stages.common.", "..common."))
    main = FILES["stages/example/__main__.py"].replace("from stages.example import", "from . import")
    relative = edit(tree, "stages/example/__main__.py", main)
    assert relative != before
    assert set(import_closure(MAIN, tree)) == {MAIN, "stages.example.direct", "stages.common.transitive"}
    assert edit(tree, "stages/common/transitive.py", "FACTOR = 3") != relative


def test_code_of_a_package_counts_once_it_holds_any(tree):
    before = code_digest(MAIN, tree)
    assert edit(tree, "stages/common/__init__.py", "FACTOR = 3") != before
    assert "stages.common" in import_closure(MAIN, tree)


@pytest.mark.parametrize("package", ["stages", "stages/common", "stages/example", "stages/common/journal"])
def test_code_of_every_package_above_counts_and_a_docstring_does_not(tree, package):
    name = f"{package}/__init__.py"
    main = FILES["stages/example/__main__.py"] + "        from stages.common.journal import shown\n"
    edit(tree, "stages/common/journal/shown.py", "A = 1")
    before = edit(tree, "stages/example/__main__.py", main)
    assert edit(tree, name, "") == before
    assert edit(tree, name, '"""What it holds."""\n# a comment\n') == before
    assert edit(tree, name, "import os\nos.environ['OMP_NUM_THREADS'] = '1'") != before
    edit(tree, name, "from stages.common import unrelated\n")
    assert "stages.common.unrelated" in import_closure(MAIN, tree)


API = """
    '''The API.'''
    from typing import TYPE_CHECKING
    if TYPE_CHECKING:
        from .common.unrelated import FACTOR
    __all__ = ["FACTOR"]
    def __getattr__(name):
        from .common import unrelated
        return getattr(unrelated, name)
    def __dir__():
        return __all__
"""


def test_the_table_of_the_public_api_reruns_nothing_and_code_beside_it_does(tree):
    before = code_digest(MAIN, tree)
    assert edit(tree, "stages/__init__.py", API) == before
    assert "stages.common.unrelated" not in import_closure(MAIN, tree)
    assert edit(tree, "stages/__init__.py", API.replace("FACTOR", "OTHER")) == before
    for code in ("import warnings", "SEED = 1", "def helper(): ...", "if True:\n        SEED = 1"):
        assert edit(tree, "stages/__init__.py", f"{API}    {code}\n") != before, code
    assert edit(tree, "stages/common/__init__.py", API) != before, "only the outermost package has a public API"


def test_the_public_api_of_this_package_is_in_no_digest():
    assert "stages" not in import_closure("stages.retrieval.__main__")


def test_a_package_hides_a_module_of_its_name_as_in_python(tree):
    edit(tree, "stages/common/transitive.py", "FACTOR = 2")
    (tree / "stages/common/transitive").mkdir()
    before = edit(tree, "stages/common/transitive/__init__.py", "FACTOR = 5")
    assert edit(tree, "stages/common/transitive/__init__.py", "FACTOR = 6") != before


def test_the_digest_does_not_depend_on_the_packages_name(tree):
    for path in tree.rglob("*.py"):
        path.write_text(path.read_text().replace("from stages.common", "from ..common").replace("stages.example", ".."))
    edit(tree, "stages/example/__main__.py", "from .direct import twice\n")
    before = code_digest(MAIN, tree)
    (tree / "stages").rename(tree / "mlip")
    assert code_digest("mlip.example.__main__", tree) == before


def test_circular_imports_end(tree):
    edit(tree, "stages/common/transitive.py", "from stages.example import direct\nFACTOR = 2")
    assert len(import_closure(MAIN, tree)) == len(set(import_closure(MAIN, tree)))


def test_the_digest_does_not_depend_on_the_place(tree, tmp_path_factory):
    moved = tmp_path_factory.mktemp("elsewhere") / "checkout"
    before = code_digest(MAIN, tree)
    tree.rename(moved)
    assert code_digest(MAIN, moved) == before


def test_renaming_a_module_counts(tree):
    before = code_digest(MAIN, tree)
    (tree / "stages/common/transitive.py").rename(tree / "stages/common/renamed.py")
    source = FILES["stages/example/direct.py"].replace("transitive", "renamed")
    assert edit(tree, "stages/example/direct.py", source) != before


# ---- the real tree

MODULES = sorted((ROOT / "stages").rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT / "stages").as_posix())
def test_no_import_hides_from_the_digest(path):
    """Dynamic imports are invisible to `import_closure`; absolute ones would tie the package to one name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith(("stages", "mlip")), f"{path}:{node.lineno}: absolute import"
            assert node.names[0].name != "*", f"{path}:{node.lineno}: names without origin"
            names = [node.module or ""]
        elif isinstance(node, ast.Name):
            assert node.id not in {"__import__", "exec", "eval", "compile"}, f"{path}:{node.lineno}: {node.id}"
            continue
        else:
            continue
        if ast.unparse(node) == "from importlib import metadata":
            continue  # tells versions, imports nothing
        for name in names:
            assert name.split(".")[0] not in {"importlib", "runpy", "pkgutil", "imp"}, f"{path}:{node.lineno}: {name}"


def test_the_neutral_modules_exist_and_are_few():
    assert all((PACKAGE / f"{name.replace('.', '/')}.py").is_file() for name in NEUTRAL)
    assert len(NEUTRAL) <= 4, "each exception weakens the promise that changed code is seen"


@pytest.mark.parametrize("name", sorted(NEUTRAL))
def test_a_neutral_module_gives_no_stage_a_value_to_compute_with(name):
    """Neutral modules know nothing of images, arrays or models: they cannot touch what a stage writes."""
    imported, _ = subject._read(f"stages.{name}", PACKAGE / f"{name.replace('.', '/')}.py")
    assert imported
    roots = {each.split(".")[0] for each in imported}
    assert roots.isdisjoint({"numpy", "torch", "pyarrow", "polars", "random", "pydicom"})
