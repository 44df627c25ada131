"""Declarations of what a stage reads and writes, made once.

A stage's contract.py holds a subclass of `Job` for each of its commands: a frozen dataclass whose fields are the files
that one run reads (`source`), the files that it writes (`product`) and its further options (`option`). The command
line, the journal's inputs and artifacts, the rule's file names and command, the report's file list and the reference
pages are derived from it. Contracts import neither torch nor cv2 nor a table library, so that `--help` is quick.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_type_hints

from .errors import InputError
from .records import Record
from .replicates import Replicate
from .settings import DEVICE_HELP, DEVICES, Settings

Over = Literal["workspace", "dataset", "pretraining dataset", "evaluated dataset", "variant", "variant with text",
               "evaluation", "few-shot job", "model"]  # fmt: skip
Need = Literal["prompts", "prompts or phrases", "outlines", "several findings", "parts"]


JOURNAL_FILE = "journal.json"  # name of a run's journal; a part of a scattered stage has journal_<part>.json
PICTURES = "pictures"  # folder beside the journal: charts and pictures of a run, which MLflow shows


@dataclass(frozen=True)
class Source:
    """A file or folder that a run reads.

    Attributes:
        stage: the stage that writes it; "" for what the user gives.
        file: its name below that stage's folder of one run, as in the `product` there; "" without a stage.
        stands: the file in a folder whose digest stands for the folder in the journal; "" for the path itself.
        tracked: whether its digest is an input of the journal.
        help: what it is, for the command line.
    """

    stage: str
    file: str
    stands: str
    tracked: bool
    help: str

    def stand_in(self, path: Path) -> Path:
        """Return the file whose digest stands for `path`."""
        return path / self.stands if self.stands else path


@dataclass(frozen=True)
class Product:
    """A file or folder that a run writes.

    Attributes:
        file: its name below the stage's folder of one run; may hold wildcards such as {shard}.
        record: the type of a JSON record.
        table: the name of an Arrow table's schema in stages/common/files/schemas.py.
        columns: the meaning of each column of a CSV file.
        stands: for a folder, the pattern of the files that the journal lists; "" for a file.
        publish: whether MLflow may copy it.
        tracked: whether the journal lists it.
        summary: whether `summarize` reads it; for a folder, patterns of the files that it reads there if they exist.
        help: what it is.
    """

    file: str
    record: type[Record] | None
    table: str
    columns: Mapping[str, str]
    stands: str
    publish: bool
    tracked: bool
    summary: bool | tuple[str, ...]
    help: str

    @property
    def is_folder(self) -> bool:
        """Return whether the product is a folder."""
        return bool(self.stands)

    def artifacts(self, path: Path) -> list[Path]:
        """Return the files of `path` that the journal lists."""
        return sorted(path.glob(self.stands)) if self.is_folder else [path]


@dataclass(frozen=True)
class Option:
    """A further option of the command line; one of type Path is a folder that the run fills.

    Attributes:
        help: what it is.
        choices: the allowed values; empty: any.
        ge: the smallest allowed number; None: any.
    """

    help: str
    choices: tuple[str, ...]
    ge: int | None


def source(
    stage: str = "", file: str = "", *, stands: str = "", optional: bool = False, tracked: bool = True, help: str = ""
) -> Any:
    """Declare an input: `file` of `stage`, or without a stage what the user gives (`help` then says what)."""
    origin = f"{file} of {stage}" if stage else ""
    words = f"{origin}; {help}" if origin and help else origin or help
    return _part(Source(stage, file, stands, tracked, words), None if optional else MISSING)


def product(
    file: str,
    *,
    record: type[Record] | None = None,
    table: str = "",
    columns: Mapping[str, str] = MappingProxyType({}),
    stands: str = "",
    publish: bool = False,
    tracked: bool = True,
    summary: bool | tuple[str, ...] = False,
    help: str = "",
) -> Any:
    """Declare an output named `file` in the folder of a run; `stands` names the files that stand for a folder."""
    words = f"output: {file}" + (f", {help}" if help else "")
    return _part(Product(file, record, table, columns, stands, publish, tracked, summary, words), MISSING)


def option(help: str, *, default: Any = MISSING, choices: Sequence[str] = (), ge: int | None = None) -> Any:
    """Declare an option that is not a file of the DAG; a number may have a lower bound (`ge`)."""
    return _part(Option(help, tuple(choices), ge), default)


def device_option() -> Any:
    """Declare the device option of stages that compute with torch."""
    return option(DEVICE_HELP, default="auto", choices=DEVICES)


def _part(part: Source | Product | Option, default: Any) -> Any:
    return field(metadata={"part": part}) if default is MISSING else field(default=default, metadata={"part": part})


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of a stage: its settings, the paths that it reads and writes, and its place among the results.

    Attributes:
        stage: name of the stage, and of its folder, rule, log, results and MLflow runs.
        command: the subcommand, for stages with several.
        place: folder of one run below results/<stage>/, with Snakemake's wildcards.
        over: what there is one run for.
        needs: what a data set must have beside labels for a run on it: a prompt file (or phrases of its own instead),
            outlines (boxes or masks), several findings, parts (training and validation images beside the test part).
        journal_file: name of the journal beside the outputs.
        block: type of the stage's block in config.yaml, where it differs from the settings of one run; None: no block.
        is_kept: whether the outputs of a finished run are kept while others of its group may fail (finished_jobs.py).
    """

    stage: ClassVar[str]
    command: ClassVar[str] = ""
    place: ClassVar[str] = ""
    over: ClassVar[Over] = "workspace"
    needs: ClassVar[tuple[Need, ...]] = ()
    journal_file: ClassVar[str] = JOURNAL_FILE
    block: ClassVar[type[Settings] | None] = Settings
    is_kept: ClassVar[bool] = True

    settings: Settings
    journal: Path
    name: str = ""
    image: str = "none"

    @classmethod
    def block_type(cls) -> type[Settings] | None:
        """Return the type of the stage's block in config.yaml."""
        return cls.settings_type() if cls.block is Settings else cls.block

    @classmethod
    def settings_type(cls) -> type[Settings]:
        """Return the type of the settings of one run."""
        return get_type_hints(cls)["settings"]

    @classmethod
    def sources(cls) -> dict[str, Source]:
        """Return the declared inputs by the name of their option."""
        return _parts(cls, Source)

    @classmethod
    def products(cls) -> dict[str, Product]:
        """Return the declared outputs by the name of their option."""
        return _parts(cls, Product)

    def tags(self) -> dict[str, str]:
        """Return what MLflow groups runs by: variant and seed of a run that has a variant and a name."""
        if not self.name or not self.place.startswith("{variant}"):
            return {}
        return {key: str(value) for key, value in Replicate.parse(self.name.partition("/")[0]).columns.items()}

    def inputs(self) -> dict[str, Path]:
        """Return the files whose digests make the data digest, by role; inputs that were not given are left out."""
        given = {name: (part, getattr(self, name)) for name, part in self.sources().items() if part.tracked}
        found: dict[str, Path] = {}
        for name, (part, value) in given.items():
            if isinstance(value, tuple):
                found |= {f"{name}_{number:05d}": part.stand_in(path) for number, path in enumerate(value)}
            elif value is not None:
                found[name] = part.stand_in(value)
        return found

    def outputs(self) -> dict[str, tuple[Path, bool]]:
        """Return (path, whether it is a folder) of all that the run writes, by the name of its option."""
        found = {name: (getattr(self, name), part.is_folder) for name, part in self.products().items()}
        options = {name: getattr(self, name) for name in _parts(type(self), Option)}
        folders = {name: (value, True) for name, value in options.items() if isinstance(value, Path)}
        return found | folders | {"journal": (self.journal, False)}

    def artifacts(self) -> list[tuple[Path, bool]]:
        """Return (file, publish) of every written file that the journal lists, in the order of declaration."""
        pairs = [(part, getattr(self, name)) for name, part in self.products().items() if part.tracked]
        return [(path, part.publish) for part, value in pairs for path in part.artifacts(value)]


AnyPart = TypeVar("AnyPart", Source, Product, Option)


def _parts(job: type[Job], kind: type[AnyPart]) -> dict[str, AnyPart]:
    parts = {each.name: each.metadata.get("part") for each in fields(job)}
    return {name: part for name, part in parts.items() if isinstance(part, kind)}


def flag_of(name: str) -> str:
    """Return the command-line flag of a job's field."""
    return f"--{name.replace('_', '-')}"


@dataclass(frozen=True)
class Argument:
    """One option of a command line, in argparse's terms."""

    name: str
    help: str
    required: bool
    default: Any
    type: type
    many: bool
    choices: tuple[str, ...]
    ge: int | None

    @property
    def flag(self) -> str:
        """Return the flag as it is written on the command line."""
        return flag_of(self.name)

    @property
    def bound(self) -> str:
        """Return the lower bound in words of the help; empty where there is none."""
        return "" if self.ge is None else f"; >= {self.ge}"

    def parse(self, text: str) -> Any:
        """Return one word of the command line as a value of the option's type.

        Raises:
            InputError: it is no such value, is not finite, or below the bound.
        """
        try:
            value = self.type(text)
        except ValueError:
            kind = {int: "a whole number", float: "a number"}.get(self.type, f"a {self.type.__name__}")
            raise InputError(f"{self.flag} {text}: is not {kind}", remedy=f"give {kind}") from None
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{self.flag} {text}: is not finite", remedy="give a finite number")
        if self.ge is not None and value < self.ge:
            raise InputError(f"{self.flag} {text}: is below {self.ge}", remedy=f"give {self.ge} or more")
        return value


def arguments_of(job: type[Job]) -> list[Argument]:
    """Return the options that the fields of a job declare, without those that all jobs have."""
    hints = get_type_hints(job)
    found = []
    for each in fields(job):
        if (part := each.metadata.get("part")) is None:
            continue
        inner = [kind for kind in get_args(hints[each.name]) if kind not in (type(None), Ellipsis)]
        many = getattr(hints[each.name], "__origin__", None) is tuple
        kind = inner[0] if inner else hints[each.name]
        choices, bound = (part.choices, part.ge) if isinstance(part, Option) else ((), None)
        required = each.default is MISSING
        default = None if required else each.default
        found.append(Argument(each.name, part.help, required, default, kind, many, choices, bound))
    return found
