"""Commands of the pipeline, `python -m workflow.X` of a checkout, run from any folder."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ..common.command_line import PROGRAM
from ..common.errors import InputError

SUMMARIES = {
    "doctor": "check the setup before a long run; name remedies",
    "estimate": "estimate hours, GPU-hours and bytes of a whole run",
    "why": "list what would run again, and because of which file, key, input or image",
    "images": "build the container images with Docker, Podman or Apptainer alone, or pull them",
    "audit": "compare pinned packages with known vulnerabilities, offline",
}
_WITH_FILES = ("--configfile", "--configfiles")
_IN_PLACE = ("audit", "images")  # their paths are the caller's; the others read config.yaml and workspaces


def find_checkout(given: Path | None, folder: Path, package: Path) -> Path:
    """Return the checkout: the given one, else one around `folder`, else the one that `package` was installed from.

    Raises InputError where there is none.
    """
    candidates = [given] if given else [folder, *folder.parents, package.parent]
    for each in candidates:
        if (each / "workflow" / "Snakefile").is_file():
            return each.resolve()
    where = given or folder
    raise InputError(f"{where}: not a checkout of MLIP "
        "(workflow/Snakefile is missing)", "call from inside one, or give "
                     "mlip --checkout FOLDER COMMAND")  # fmt: skip


def run(command: str, arguments: Sequence[str], checkout: Path) -> NoReturn:
    """Replace this process by `python -m workflow.<command>` in the checkout."""
    path = os.environ.get("PYTHONPATH")
    search_path = os.pathsep.join(filter(None, [str(checkout), path]))
    environment = os.environ | {"PYTHONPATH": search_path, PROGRAM: f"mlip {command}"}
    if command not in _IN_PLACE:
        arguments = _with_files_of_here(arguments)
        os.chdir(checkout)
    os.execve(sys.executable, [sys.executable, "-P", "-m", f"workflow.{command}", *arguments], environment)  # noqa: S606


def _with_files_of_here(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with files behind --configfile that exist in the current folder as absolute paths."""
    found, are_files = [], False
    for word in arguments:
        option, equals, file = word.partition("=")
        if word.startswith("-"):
            are_files = word in _WITH_FILES
        if option in _WITH_FILES and equals:
            found.append(f"{option}={_of_here(file)}")
        else:
            found.append(_of_here(word) if are_files else word)
    return found


def _of_here(file: str) -> str:
    return str(Path(file).absolute()) if Path(file).is_file() else file
