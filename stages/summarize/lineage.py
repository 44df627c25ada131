"""Which stage reads what which other stage wrote: the DAG as it ran, told by the paths that the journals keep."""

from collections.abc import Collection, Iterable
from pathlib import PurePath

from ..common.journal.journals import Journal

MAKER, MADE = "make_phantom", "phantom"  # the one stage whose files lie beside the results


def lineage(journals: Iterable[Journal], results: str, stages: Collection[str]) -> list[tuple[str, str]]:
    """(stage that wrote, stage that read), each pair once. `results` is the name of the results folder.

    Paths decide, not digests: two empty tables have one digest. Journals of versions before 0.3 have no paths, and no
    pairs come from them.
    """
    pairs = [
        (writer, journal.stage)
        for journal in journals
        for path in journal.input_paths.values()
        if (writer := _writer(path, results, stages)) not in (None, journal.stage)
    ]
    return list(dict.fromkeys(pairs))


def _writer(path: str, results: str, stages: Collection[str]) -> str | None:
    """The stage below whose folder a file lies; None: it came from outside."""
    parts = PurePath(path).parts
    for place in range(len(parts) - 2, -1, -1):  # the last one: a workspace may lie in a folder of any name
        if parts[place] == results and parts[place + 1] in stages:
            return parts[place + 1]
    return MAKER if MADE in parts and MAKER in stages else None
