"""Run a study: a file of settings in workflow/studies, laid over the configuration, with a workspace of its own.

Without a name, list the studies. Options that are not known here go to snakemake, e.g. -n for a dry run. A study that
was stopped resumes with the same command.
"""

import subprocess
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from stages.common.command_line import one_line_errors, program_name
from stages.common.errors import InputError
from stages.common.settings import did_you_mean
from workflow.site_profile import add_options, read_profile

ROOT = Path(__file__).resolve().parents[1]
STUDIES = Path("workflow/studies")
DEMO = Path("workflow/profiles/demo")
SMALLER = STUDIES / "on_demo"  # what some studies change on the demo's few patients


def studies(root: Path = ROOT) -> dict[str, Path]:
    """Return the files of all studies by their names, relative to the checkout."""
    return {path.stem: path.relative_to(root) for path in sorted((root / STUDIES).glob("*.yaml"))}


def listed() -> str:
    """Return a line per study: its name, and the first line of its file."""
    known = studies()
    width = max(map(len, known))
    heads = {name: (ROOT / path).read_text(encoding="utf-8").partition("\n")[0] for name, path in known.items()}
    return "\n".join(f"{name.ljust(width)}  {head.removeprefix('# ')}" for name, head in heads.items())


def study_file(name: str) -> Path:
    """Return the file of a study by its name, or a file of one's own by its path.

    Raises:
        InputError: there is neither.
    """
    known = studies()
    path = known.get(name, Path(name))
    if name not in known and not (path.suffix == ".yaml" and path.is_file()):
        remedy = f"name one of {', '.join(known)}, or a YAML file{did_you_mean(name, known)}"
        raise InputError(f"STUDY={name}: no such study", remedy)
    return path


def command(arguments: Namespace, rest: Sequence[str]) -> list[str]:
    """Return the words with which snakemake runs a study.

    Its file lies over those of `--configfile`, else of the profile, and over the demo's.
    """
    file, on_demo = study_file(arguments.study), arguments.on == "demo"
    profile = DEMO if on_demo and arguments.profile is None else arguments.profile or arguments.default_profile
    named = read_profile(profile).known.configfile
    files = arguments.configfile or [Path(each) for each in ([named] if isinstance(named, str) else named)]
    files = list(dict.fromkeys([*files, *([DEMO / "settings.yaml"] if on_demo else []), file]))
    files += [SMALLER / file.name] if on_demo and (SMALLER / file.name).is_file() else []
    values = [*([f"workspace=runs/study-{file.stem}-demo"] if on_demo else []), *arguments.config]
    words = [sys.executable, "-m", "snakemake", "--profile", str(profile), "--configfile", *map(str, files)]
    return [*words, *(["--config", *values] if values else []), *rest]


def parser() -> ArgumentParser:
    """Return the parser of the command."""
    options = ArgumentParser(program_name("python -m workflow.study"), description=__doc__,
                             formatter_class=RawDescriptionHelpFormatter)  # fmt: skip
    options.add_argument("study", nargs="?", help="name of a study, or a YAML file of your own")
    options.add_argument("--on", choices=["demo"], help="demo: a trial on synthetic patients, in minutes or hours")
    add_options(options)
    options.set_defaults(default_profile=options.get_default("profile"), profile=None)
    return options


def main(argv: list[str] | None = None) -> None:
    """Run a study and exit with the status of snakemake; without a name, list all."""
    arguments, rest = parser().parse_known_args(argv)
    if arguments.study is None:
        print(listed())
        return
    with one_line_errors():
        words = command(arguments, rest)
    sys.exit(subprocess.run(words, check=False).returncode)


if __name__ == "__main__":
    main()
