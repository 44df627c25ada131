"""The environment of jobs that run without containers: what is installed, not what a lock file asks for.

Run as a program it prints what it finds, with nothing but the standard library: `python` of the jobs may be another
interpreter than Snakemake's.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

_SECONDS = 60.0
_ACTIVATE = "activate the environment of this checkout: PATH=.venv/bin:$PATH"


@cache  # every rule of an image asks
def environment_digest(lock: Path) -> str:
    """Return the digest of the environment in which `python` of the jobs runs.

    It is over the version of Python and the versions of the installed distributions that `lock` names. Pins that
    nobody installed, comments and the order of lines change nothing.

    Raises:
        InputError: the jobs' `python` does not start, or lacks what Snakemake's own has: it is that of another
            environment, and every job would end with a traceback.
    """
    from stages.common.digests import digest_of  # here, because another interpreter may lack its packages
    from stages.common.errors import InputError

    names = locked_names(lock.read_text(encoding="utf-8"))
    python = shutil.which("python") or sys.executable
    # As jobs start it, so that PYTHONPATH counts; -P: but not the folder of this file.
    command = [python, "-P", str(Path(__file__).resolve()), *names]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
        found = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise InputError(
            f"{python}: the `python` of the jobs does not say what is installed ({type(error).__name__})",
            remedy=_ACTIVATE,
        ) from None
    needed = lock.with_suffix(".in")  # what stages import; what that needs in turn may differ between environments
    own = installed(_named(needed.read_text(encoding="utf-8")) if needed.is_file() else names)
    if lacking := sorted(own.keys() - found.keys()):
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        raise InputError(f"{python}: the `python` of the jobs lacks {', '.join(lacking[:3])}{more}", remedy=_ACTIVATE)
    return digest_of(found)


def locked_names(text: str) -> list[str]:
    """Return the normalised names of the distributions that a lock file pins, sorted."""
    found = re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*(?:==|@)", text, re.MULTILINE)
    return sorted({_normalised(name) for name in found})


def _named(text: str) -> list[str]:
    """Return the normalised names of the distributions that a file of wishes names itself."""
    return sorted({_normalised(name) for name in re.findall(r"^([A-Za-z0-9][\w.-]*)", text, re.MULTILINE)})


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(names: list[str]) -> dict[str, str]:
    """Return the version of Python, and of those of the named distributions that are installed."""
    versions = {"python": f"{platform.python_implementation()} {platform.python_version()}"}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # for another platform, or not needed here
            continue
    return versions


if __name__ == "__main__":
    os.chdir("/")  # nothing in the folder of the call counts
    print(json.dumps(installed(sys.argv[1:])))
