"""Split a report into sentences, one JSON object per line: section, position, start, end, text.

    mlip split-report report.txt
    mlip split-report < report.txt

Without a file, the report is read from standard input.
"""

import json
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from ..common.errors import InputError, reason_of


def main(arguments: Namespace) -> None:
    """Print the sentences of the report."""
    from ..api.reports import split_report
    from ..split_reports.cleaning import clean, prepared
    from ..split_reports.contract import SplitReportsSettings
    from ..split_reports.languages import better_language
    from ..split_reports.reports import RejectedError, decode

    try:
        text = decode(arguments.report.read_bytes() if arguments.report else sys.stdin.buffer.read()).text
    except RejectedError as error:
        raise InputError(f"{arguments.report or 'standard input'}: {error}") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{arguments.report}: cannot be read ({reason_of(error)})", "name a file with a report"
        ) from None
    if not prepared(text):
        is_empty = not clean(text).replace("\ufeff", " ").strip()
        why = "it is empty" if is_empty else "it has no text but a placeholder such as nan"
        raise InputError(f"{arguments.report or 'standard input'}: no report: {why}", "give the text of a report")
    language = arguments.language
    if language is None and (fit := better_language([prepared(text)])):
        language = fit.language
        print(f"note: the headers are read as {language} (--language)", file=sys.stderr)
    language = language or SplitReportsSettings().language
    sentences = split_report(text, arguments.sections, arguments.fallback, language)
    if not sentences:
        raise InputError(
            f"{arguments.report or 'standard input'}: no sentence is left", "keep more with --sections or --fallback"
        )
    for sentence in sentences:
        print(json.dumps(asdict(sentence), ensure_ascii=False))


def add_options(options: ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    from ..split_reports.contract import SplitReportsSettings
    from ..split_reports.headers import Language
    from ..split_reports.sections import Fallback

    stage = SplitReportsSettings()
    options.add_argument("report", type=Path, nargs="?", help="text file; default: standard input")
    options.add_argument("--sections", nargs="+", metavar="NAME", help=f"sections to keep [{' '.join(stage.sections)}]")
    options.add_argument("--fallback", choices=get_args(Fallback), default=stage.sections_fallback,
                         help="what to keep of a report without them [%(default)s]")  # fmt: skip
    options.add_argument("--language", choices=get_args(Language),
                         help=f"language of the headers [which clearly fits, else {stage.language}]")  # fmt: skip
