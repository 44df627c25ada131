r"""Compare report splitting on one core with the loop of MGCA and its descendants, in interleaved rounds.

The peers' loop (public code of MGCA, its steps reimplemented) takes rows of a pandas table. It joins impression and
findings, replaces line ends by spaces, cuts at list numbers and at every full stop, takes `\w+` tokens of the
lower-cased piece, and drops non-ASCII characters and pieces of one token. nltk's RegexpTokenizer calls `findall` of
the same pattern, so that is called here. The loop is given its sections; `stage` finds them in the report's text,
`sentences` does not.

`python -m benchmarks.split_reports [--reports CSV] [--output FILE]`; the CSV has the columns findings and impression.
Without it, reports are composed of the test suite's hand-written sentences.
"""

import csv
import json
import re
import statistics
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from stages.common.files.atomic_files import write_json
from stages.split_reports.sections import select_sections
from stages.split_reports.sentences import Span, fold, split_sentences

_SENTENCES = Path(__file__).resolve().parents[1] / "tests" / "stages" / "split_reports" / "golden_sentences.txt"


def composed_reports(count: int) -> list[dict[str, str]]:
    """Compose reports of plain sentences; difficult cases are rarer in reports than in the golden set."""
    lines = _SENTENCES.read_text(encoding="utf-8").split("## common impressions\n")[1].splitlines()
    pool = [sentence.strip() for line in lines for sentence in line.split("|")]
    draws = np.random.default_rng(0).choice(pool, (count, 7))
    return [{"findings": " ".join(draw[:5]), "impression": " ".join(draw[5:])} for draw in draws]


def layout(row: dict[str, str]) -> str:
    """Return a report in MIMIC-CXR's layout."""
    return (
        f"{'FINAL REPORT':>45}\n INDICATION:  ___F with cough  // pneumonia?\n\n COMPARISON:  ___.\n\n"
        f" FINDINGS: \n\n {row['findings']}\n\n IMPRESSION: \n\n {row['impression']}\n"
    )


def peers(table: pd.DataFrame) -> list[list[str]]:
    studies = []
    for _, row in table.iterrows():
        caption = (row["impression"] + " " + row["findings"]).replace("\n", " ")
        pieces = [piece for part in re.compile(r"[0-9]+\.").split(caption) for piece in part.split(".")]
        sentences = []
        for piece in pieces:
            tokens = re.findall(r"\w+", piece.replace("\ufffd\ufffd", " ").lower())
            if len(tokens) > 1:
                plain = [token.encode("ascii", "ignore").decode("ascii") for token in tokens]
                sentences.append(" ".join(token for token in plain if token))
        studies.append(sentences)
    return studies


def sentences(rows: list[dict[str, str]]) -> dict[str, int]:
    """Split given sections into our sentences; the peers' loop also gets its sections."""
    places: dict[str, int] = {}
    for row in rows:
        for text in (row["impression"], row["findings"]):
            _count(text, split_sentences(text), places)
    return places


def stage(texts: list[str]) -> dict[str, int]:
    """Split the text of reports into our sections and sentences."""
    places: dict[str, int] = {}
    for text in texts:
        for section in select_sections(text, ("findings", "impression"), "unheaded"):
            _count(text, split_sentences(text, section.start, section.end), places)
    return places


def _count(text: str, spans: list[Span], places: dict[str, int]) -> None:
    """Keep equal texts once, like the stage: normalised, and only if new."""
    for start, end in spans:
        sentence = text[start:end]
        if sentence not in places:
            places.setdefault(fold(sentence), len(places))


def measure(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median CPU seconds of each side over interleaved rounds; other processes affect CPU time less."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            begin = time.process_time()
            side()
            seconds[name].append(time.process_time() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=Path, help="CSV with the columns findings and impression")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    if arguments.reports:
        with arguments.reports.open(encoding="utf-8", newline="") as file:
            rows = [{key: row[key] for key in ("findings", "impression")} for row in csv.DictReader(file)]
    else:
        rows = composed_reports(4000)
    table, texts = pd.DataFrame(rows), [layout(row) for row in rows]
    medians = measure(
        {"peers": lambda: peers(table), "sentences": lambda: sentences(rows), "stage": lambda: stage(texts)},
        arguments.rounds,
    )
    result = {
        "reports": len(rows),
        "rounds": arguments.rounds,
        "reports_per_cpu_second": {name: round(len(rows) / seconds) for name, seconds in medians.items()},
        "times_peers": {name: round(medians["peers"] / medians[name], 2) for name in ("sentences", "stage")},
    }
    print(json.dumps(result, indent=1))
    if arguments.output:
        write_json(arguments.output, result)


if __name__ == "__main__":
    main()
