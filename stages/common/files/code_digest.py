"""Digest of the code that a stage runs: the files of this repository that its `__main__.py` imports.

The digest is over the syntax tree without docstrings, so comments, formatting and docstrings change nothing. Modules
that cannot change a result (see `NEUTRAL`) are left out. Imports must be plain statements, because a dynamic import
would be invisible here; a test checks that there is none.

Code in the `__init__.py` of every package counts, because Python runs it before the package's modules. Of the
outermost `__init__.py` only what an import runs counts: its table of the public API is looked up on first use, which
no stage makes, so an edit of the API reruns no stage.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]  # `stages` in a checkout, `mlip` where it was installed
ROOT = PACKAGE.parent

# Modules of the package that cannot change a result: they record, name or report, and never touch a value that a stage
# writes.
NEUTRAL = frozenset(
    {"common.journal.tracking", "common.files.code_digest", "common.command_line", "common.journal.progress"}
)
_EMPTY = ("Module()", "Module(body=[])")  # canonical text of a file without code: blank, or with a docstring alone
_LAZY = ("__getattr__", "__dir__")  # functions of the outermost __init__ that an import does not call


def import_closure(module: str, root: Path = ROOT) -> dict[str, Path]:
    """Return every module of the repository that `module` imports, itself included: dotted name -> file.

    `__init__.py` files with code, of the packages that contain them, are included.
    """
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file_of(name, root)
        if name in found or _inside(name) in NEUTRAL or path is None:
            continue
        imported, canonical = _read(name, path)
        if path.name != "__init__.py" or canonical not in _EMPTY:
            found[name] = path
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += [_absolute(each, package) for each in imported]
        if parent := name.rpartition(".")[0]:
            waiting.append(parent)
    return dict(sorted(found.items()))


def code_digest(module: str, root: Path = ROOT) -> str:
    """Return the hex sha256 over the import closure of `module`, e.g. "stages.pretrain.__main__"."""
    return code_digests(module, root)[0]


def code_digests(module: str, root: Path = ROOT) -> tuple[str, dict[str, str]]:
    """Return `code_digest`, and a digest of 16 hex digits for each of its files, by path below `root`.

    The package's own name does not count: installed as `mlip`, the same code has the same digest.
    """
    sha256 = hashlib.sha256()
    files = {}
    for name, path in import_closure(module, root).items():
        _, canonical = _read(name, path)
        sha256.update(f"{_inside(name)}\n{canonical}\n".encode())
        files[path.relative_to(root).as_posix()] = hashlib.sha256(canonical.encode()).hexdigest()[:16]
    return sha256.hexdigest(), files


def _inside(name: str) -> str:
    """Return a dotted name without its first component, the package."""
    return name.partition(".")[2]


def _absolute(name: str, package: str) -> str:
    """Resolve a relative name (leading dots) that is imported in a module of `package`."""
    bare = name.lstrip(".")
    level = len(name) - len(bare)
    if not level:
        return name
    base = package.split(".")
    return ".".join([*base[: len(base) - level + 1], *filter(None, [bare])])


def _file_of(name: str, root: Path) -> Path | None:
    base = root.joinpath(*name.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):  # as Python does: a package before a module
        if path.is_file():
            return path
    return None


def _read(name: str, path: Path) -> tuple[list[str], str]:
    """Return the names that a module imports, and its canonical text."""
    return _parsed(path.read_text(encoding="utf-8"), str(path), "." not in name)


@cache  # every job reads all rules, and 17 closures share most of their files
def _parsed(text: str, filename: str, is_outermost: bool) -> tuple[list[str], str]:
    tree = ast.parse(text, filename=filename)
    if is_outermost:
        tree.body = [each for each in tree.body if not _is_of_the_api(each)]
    parts: list[str] = []
    imported: list[str] = []
    _write(tree, parts, imported)
    return imported, "".join(parts)


def _is_of_the_api(node: ast.stmt) -> bool:
    """Return whether a statement of the outermost `__init__` only declares the public API."""
    if isinstance(node, ast.ImportFrom):
        return node.module == "typing"
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" and not node.orelse
    if isinstance(node, ast.Assign):
        return [ast.unparse(each) for each in node.targets] == ["__all__"]
    return isinstance(node, ast.FunctionDef) and node.name in _LAZY


def _imports(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Return the dotted names that a statement may import, relative ones with their leading dots."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    origin = "." * node.level + (node.module or "")
    joint = "." if node.module else ""
    return [origin, *(f"{origin}{joint}{alias.name}" for alias in node.names)]


_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _write(node: object, parts: list[str], imported: list[str]) -> None:
    """Append the parts of a text of a syntax tree that does not depend on the Python version that parsed it.

    `imported` gets the names that it may import. One pass over the tree for both: every job of a run makes it.
    """
    if isinstance(node, ast.AST):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imported += _imports(node)
        parts.append(type(node).__name__)
        mark = "("
        for name in node._fields:
            value = getattr(node, name, None)
            if value is None or value == []:
                continue
            if name == "body" and isinstance(node, _WITH_DOCSTRING):
                value = _without_docstring(value)
            parts.append(f"{mark}{name}=")
            _write(value, parts, imported)
            mark = ","
        parts.append("()" if mark == "(" else ")")
    elif isinstance(node, list):
        mark = "["
        for item in node:
            parts.append(mark)
            _write(item, parts, imported)
            mark = ","
        parts.append("[]" if mark == "[" else "]")
    else:
        parts.append(repr(node))


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    is_docstring = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_docstring else body
