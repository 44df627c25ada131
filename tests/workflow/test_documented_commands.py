"""Every command that a page names exists: programs, options, targets of make, profiles and files of the repository.

A line that no entry of PROGRAMS knows fails, so that a new page cannot name what nobody checked. What the commands do
is the matter of other tests: of the examples (test_extending.py), the demo (test_demo_learns.py), the package.
"""

import functools
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stages.__main__ import stages

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)
SHELL = ("", "bash", "sh", "console")
STARTS = ("make ", "mlip ", "python ", "python3 ", "snakemake ", "pip ", ".venv/bin/")
PLACEHOLDER = re.compile(r"[A-Z][A-Z_]+\b|<.*>|\.\.\.|^[xX]$|stages\.[xX]$")
# By the user, or by commands
WRITTEN = (
    "runs/",
    "data/",
    "/data/",
    "containers/",
    "docker/images.lock.yaml",
    "docker/images.pub",
    ".venv",
    "weights/",
)  # by the user, or by commands


def commands_of(page: Path) -> list[str]:
    """The command lines of a page: fenced shell blocks, indented lines and inline code that begin with a program."""
    text = page.read_text()
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    fenced = [line for kind, block in blocks if kind in SHELL for line in _joined(block).splitlines()]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    indented = [line.strip() for line in re.findall(r"^    (\S.*(?:\n        \S.*)*)", prose, re.MULTILINE)]
    inline = re.findall(r"`([^`\n]+)`", prose)
    found = [
        *fenced,
        *(line for line in (*indented, *inline) if line.startswith(STARTS) and "\N{MINUS SIGN}" not in line),
    ]
    return [line for line in found if line.strip() and not line.lstrip().startswith("#")]


def _joined(block: str) -> str:
    return re.sub(r"\\\n\s*", " ", block)


def simple_commands(line: str) -> Iterator[list[str]]:
    """The words of each command of a line: those between &&, ; and |, without comments and brackets."""
    words: list[str] = []
    lexer = shlex.shlex(re.sub(r"\s\[(\S+)\]", r" \1", line), posix=True, punctuation_chars="&;|")
    lexer.whitespace_split = True
    for word in [*lexer, ";"]:
        if set(word) <= set("&;|"):
            if words:
                yield words
            words = []
        else:
            words.append(word)


def check_files(words: list[str]) -> None:
    """What looks like a path of the repository exists."""
    tops = {each.name for each in ROOT.iterdir()}
    for word in words:
        path = word.rpartition("=")[2]
        if (
            Path(path).parts[:1]
            and Path(path).parts[0] in tops
            and not path.startswith(WRITTEN)
            and not PLACEHOLDER.search(path)
        ):
            assert (ROOT / path).exists(), f"no file {path}"


def options_in(words: list[str]) -> list[str]:
    return [word.partition("=")[0] for word in words if re.match(r"--?[A-Za-z]", word)]


@functools.cache
def help_of(*command: str) -> str:
    done = subprocess.run([sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True, check=False,
                          env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def check_options(words: list[str], text: str) -> None:
    for option in options_in(words):
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text), f"no option {option}"


def check_make(words: list[str]) -> None:
    """Make knows the targets and would run them, with the variables that are given."""
    arguments = [re.sub(r"=.*[A-Z]{4,}.*", "=x", word) for word in words]
    required = {"CSV": "x", "ADVISORIES": "x"} if set(words) & {"new-dataset", "audit"} else {}
    done = subprocess.run(["make", "--dry-run", *arguments, *(f"{k}={v}" for k, v in required.items())], cwd=ROOT,
                          capture_output=True, text=True, check=False, timeout=60)  # fmt: skip
    assert done.returncode == 0, done.stderr
    known = set(re.findall(r"\$[({](?:if \$[({])?([A-Z]+)", (ROOT / "Makefile").read_text())) | {"PYTHON"}
    assert {word.partition("=")[0] for word in words if "=" in word} <= known


def check_mlip(words: list[str]) -> None:
    """The command is one of mlip's, and has the options."""
    command = [word for word in words if not word.startswith("-")][:1]
    if command and not PLACEHOLDER.search(command[0]):
        check_options(words, help_of("-m", "stages", *command))


def check_python(words: list[str]) -> None:
    """The module exists and has the options; a benchmark's are looked for in its text, since imports take seconds."""
    if words[:1] != ["-m"] or PLACEHOLDER.search(words[1]):
        return
    module, *rest = (word for word in words[1:] if word != "--help")
    assert importlib.util.find_spec(module), f"no module {module}"
    if module.startswith("benchmarks."):
        check_options(rest, (ROOT / f"{module.replace('.', '/')}.py").read_text())
    elif module.startswith(("stages.", "workflow.")):
        check_options(rest, help_of("-m", module))


def check_snakemake(words: list[str]) -> None:
    """Snakemake's own parser reads the profile and accepts the options."""
    from snakemake.cli import parse_args

    given = [word for word in words if word != "..." and not re.match(r"--(help|version)", word)]
    given = [] if given in (["--configfile"], ["--config"]) else given  # the option, named in a sentence
    given = [re.sub(r"=FOLDER|=DIR", "=x", word) for word in given]
    profile = given[given.index("--profile") + 1] if "--profile" in given else None
    assert (
        profile is None or (ROOT / profile / "config.yaml").is_file() or (ROOT / "workflow/profiles" / profile).is_dir()
    )
    try:
        parse_args(given)
    except SystemExit as ended:
        pytest.fail(f"Snakemake refuses {given} ({ended})")


def check_mlflow(words: list[str]) -> None:
    """MLflow has the command and the options."""
    command = [word for word in words if re.fullmatch(r"[a-z-]+", word)][:2]
    check_options(words, help_of("-m", "mlflow", *(command if command[0] in ("models", "runs") else command[:1])))


def check_pip(words: list[str]) -> None:
    assert words[0] == "install"


def check_nothing(words: list[str]) -> None:
    """A program of the shell, of the site or of another project: only its files are checked."""


OTHERS = (
    *("source", "cd", "git", "$EDITOR", "mkdir", "cp", "chgrp", "chmod", "for", "do", "done", "export"),
    *("pre-commit", "curl", "docker", "podman", "openssl", "skopeo", "sudo"),
)
PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "make": check_make,
    "mlip": check_mlip,
    "python": check_python,
    "snakemake": check_snakemake,
    "pip": check_pip,
    "mlflow": check_mlflow,
    **dict.fromkeys(OTHERS, check_nothing),
}


def test_there_are_commands_and_all_kinds_of_them() -> None:
    lines = [line for page in PAGES for line in commands_of(page)]
    programs = {name_of(words[0]) for line in lines for words in simple_commands(line)}
    assert len(lines) > 100
    assert {"make", "mlip", "python", "snakemake", "pip"} <= programs
    assert set(stages()) > {"pretrain"}


def name_of(program: str) -> str:
    """The program without its folder and version: .venv/bin/python and python3 are python."""
    return program.removeprefix(".venv/bin/").replace("python3", "python")


def check_command(program: str, words: list[str]) -> None:
    if re.match(r"\w+=", program):  # an assignment, alone or before a command
        check_files([program])
        if words:
            check_command(words[0], words[1:])
        return
    check_files(words)
    PROGRAMS[name_of(program)](words)


@pytest.mark.parametrize("page", [page for page in PAGES if commands_of(page)], ids=lambda page: page.name)
def test_commands_of_a_page_exist(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    for line in commands_of(page):
        for program, *words in simple_commands(line):
            try:
                check_command(program, words)
            except (AssertionError, KeyError) as error:
                pytest.fail(f"{line}\n{type(error).__name__}: {error}")


WRONG = (
    *("make no-such-target", "make doctor NO=1", "mlip no-such-command", "mlip predict --no-such-option"),
    *("python -m workflow.nothing", "python -m workflow.doctor --nothing", "snakemake --no-such-option"),
    *("snakemake --profile workflow/profiles/nothing", "source docs/nothing.md", "no-such-program"),
)


@pytest.mark.parametrize("line", WRONG)
def test_a_command_that_does_not_exist_is_found(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    [[program, *words]] = simple_commands(line)
    with pytest.raises((AssertionError, KeyError, pytest.fail.Exception)):
        check_command(program, words)
