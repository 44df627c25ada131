"""The architecture holds: storeys without upward imports, no circle, nothing shared that has one user, file sizes."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from stages.common.files.code_digest import PACKAGE

# From the ground up: a storey imports those before it alone.
STOREYS = (
    *(
        "errors",
        "digests",
        "device_peaks",
        "templates",
        "yaml_files",
        "settings",
        "device",
        "files",
        "records",
        "replicates",
        "contract",
        "pictures",
    ),
    *("command_line", "journal", "radiographs", "data", "metrics", "encoders", "training", "few_shot", "inference"),
)
LONGEST = 350


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py")) if path.read_text().strip()}


def imports_of(name: str) -> set[str]:
    """Modules of the package that a module imports, functions' own imports included."""
    found, parts = set(), name.split(".")
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = parts[: len(parts) - node.level] + (node.module.split(".") if node.module else [])
        candidates = [".".join(base), *(".".join([*base, alias.name]) for alias in node.names)]
        found |= {candidate for candidate in candidates if candidate in MODULES}
    return found - {name}


IMPORTS = {name: imports_of(name) for name in MODULES}


def storey_of(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "common" and len(parts) > 1 else None


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_import_goes_up(name: str) -> None:
    storey = storey_of(name)
    for imported in IMPORTS[name]:
        if storey is not None:
            assert storey_of(imported) is not None, f"{name} imports {imported}: common knows no stage"
            assert STOREYS.index(storey_of(imported)) <= STOREYS.index(storey), f"{name} imports {imported}"


NO_STAGES = ("common", "api", "commands")  # the public API and the command `mlip` stand on top of the stages


@pytest.mark.parametrize("name", [name for name in MODULES if "." in name and name.split(".")[0] not in NO_STAGES])
def test_of_another_stage_there_is_its_contract_alone(name: str) -> None:
    stage = name.partition(".")[0]
    foreign = {each for each in IMPORTS[name] if "." in each and each.partition(".")[0] not in ("common", stage)}
    assert not {each for each in foreign if not each.endswith(".contract")}


def test_there_is_no_circle() -> None:
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join([*above[above.index(name) :], name])
        if name not in done:
            for imported in IMPORTS[name]:
                visit(imported, (*above, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())


def test_what_is_common_has_two_users() -> None:
    """A user is a stage, the workflow, a module at the top of the package, another storey, or the own one."""
    users: dict[str, set[str]] = defaultdict(set)
    for name, imported in IMPORTS.items():
        for each in imported:
            own = storey_of(name) or name.partition(".")[0]
            if own != storey_of(each):
                users[each].add(own)
            else:  # a part of what others use
                users[each] |= {own, "inside"}
    for path in [*(PACKAGE.parent / "workflow").rglob("*.py"), *(PACKAGE.parent / "workflow").rglob("*.smk")]:
        text = path.read_text(encoding="utf-8")
        for name in MODULES:
            if f"stages.{name} import" in text:
                users[name].add("workflow")
    lonely = {name: sorted(users[name]) for name in MODULES if storey_of(name) and len(users[name]) < 2}
    assert lonely == {}


def test_a_file_is_a_topic_of_a_size() -> None:
    long = {name: lines for name, path in MODULES.items() if (lines := len(path.read_text().splitlines())) > LONGEST}
    assert long == {}
