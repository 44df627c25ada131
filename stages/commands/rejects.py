"""Name the file behind each reject of a workspace, or behind ids that a message shows, with the reason.

    mlip rejects --workspace runs/main
    mlip rejects --workspace runs/main image-3f0c5b1a9d2e4c7f80a1b2c3

Where identifiers are keyed, results name images, studies and patients by keyed ids alone: the files are read from the
private folder of the workspace. Lines go to the terminal, since names of files may be those of people: data set,
reason, file (or the id in your table) and message, with tabs between them.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..common.errors import InputError, InputErrors

_REJECTING = ("dicom_to_arrow", "split_reports")


def main(arguments: Namespace) -> None:
    """Print a line for each reject, or for each of the given ids. Raises InputErrors for ids that no data set has."""
    results = arguments.workspace / "results"
    if not (results / "index_inputs").is_dir():
        what = f"{results / 'index_inputs'}: no such folder"
        raise InputError(what, "name the workspace of a run with --workspace FOLDER")
    named = {each.name: sources_of(arguments.workspace, each) for each in sorted((results / "index_inputs").iterdir())
             if (each / "files.arrow").is_file()}  # fmt: skip
    lines = list(_of_ids(arguments.ids, named) if arguments.ids else _rejects(results, named))
    if lines or not arguments.ids:
        print("\n".join("\t".join(line) for line in lines) or "no rejects")
    unknown = [each for each in arguments.ids if not any(each in ids for ids in named.values())]
    if unknown:
        of = f"no id of {', '.join(named) or 'any data set'}"
        raise InputErrors(InputError(f"{each}: {of}", "copy it whole") for each in unknown)


def sources_of(workspace: Path, index: Path) -> dict[str, str]:
    """Return id -> file of each image of a data set and of each report that has one; else the id as distributed."""
    from ..common.data.identifiers import read_map
    from ..common.data.private_sources import is_keyed, reveal
    from ..common.files import schemas
    from ..common.files.arrow_tables import read_table

    private = workspace / "private"
    named: dict[str, str] = {}
    if is_keyed(read_table(index / "files.arrow", schemas.FILES)):
        try:
            named = read_map(private / f"{index.name}.csv")
        except InputError as error:  # images are named all the same
            print(f"warning: {error}", file=sys.stderr)
    for file, schema, key in (
        ("reports.arrow", schemas.REPORTS, "study_id"),
        ("files.arrow", schemas.FILES, "image_id"),
    ):
        if (index / file).is_file():
            table = reveal(read_table(index / file, schema), private)
            paths = zip(table[key].to_pylist(), table["path"].to_pylist(), strict=True)
            named |= {identifier: path for identifier, path in paths if path is not None}
    return named


def _rejects(results: Path, named: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, ...]]:
    """Yield a line for each reject, those of shards where a data set is not gathered: all its images are rejected."""
    from ..common.files import schemas
    from ..common.files.arrow_tables import read_table

    for stage in _REJECTING:
        for folder in sorted((results / stage).glob("*/")):
            whole = folder / "rejects.arrow"
            for path in [whole] if whole.is_file() else sorted(folder.glob("shards/*_rejects.arrow")):
                for row in read_table(path, schemas.REJECTS).to_pylist():
                    source = named.get(row["dataset"], {}).get(row["source_id"], row["source_id"])
                    yield row["dataset"], row["reason"], source, row["message"]


def _of_ids(ids: list[str], named: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, ...]]:
    """Yield a line for each id and data set that has it."""
    for identifier in ids:
        yield from ((dataset, identifier, each[identifier]) for dataset, each in named.items() if identifier in each)


def add_options(options: ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    options.add_argument("ids", nargs="*", metavar="ID", help="ids of images, studies or patients [all rejects]")
    options.add_argument("--workspace", type=Path, default=Path("runs/main"), help="folder of a run [%(default)s]")
