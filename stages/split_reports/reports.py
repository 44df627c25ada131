"""Texts of reports, from the index itself or a file under the data set's root, and their sentences."""

import codecs
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from ..common.data.patient_split import split_of
from ..common.errors import InputError
from ..common.files.rooted_files import Kind, RootedFileError, read_under
from ..common.files.schemas import SENTENCES
from .cleaning import is_rtf, prepared
from .contract import LostText, SplitReportsSettings
from .headers import HeaderNames, Language, header_names
from .languages import LOOKED_AT
from .sections import WHOLE_REPORT, Section, Selection, read_sections
from .sentences import fold, split_sentences
from .tokenizer import unknown_id
from .vocabulary import boilerplate_kind

_EXAMPLES = 20  # of reports that lose text
_LONGEST = 1_000_000  # bytes; the longest reports of MIMIC-CXR have a few thousand


class ReportText(NamedTuple):
    """A decoded report."""

    text: str
    encoding: str  # utf-8 | utf-16 | cp1252


class RejectedError(Exception):
    """A report that cannot be used: a reason code, and a message without text of the report or values of its path."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def read_report(root: Path, path: str | None, text: str | None, roots: tuple[Path, ...] = ()) -> ReportText:
    """Return the report's text; a byte order mark is dropped, line ends stay as they are, since offsets count them.

    Raises RejectedError with a reason that the contract lists.
    """
    report = ReportText(text, "utf-8") if text is not None else decode(_read(root, path or "", roots))
    if len(report.text) > _LONGEST:
        raise RejectedError("report_too_long", f"the report is longer than {_LONGEST} characters; correct the index")
    if "\0" in report.text:
        raise RejectedError("undecodable_text", "the report holds NUL bytes; store it as UTF-8 text")
    if is_rtf(report.text):
        raise RejectedError("marked_up_text", "the report is Rich Text Format; convert it to plain text")
    cleaned = prepared(report.text)
    if not cleaned:
        raise RejectedError("empty_report", "the report has no text")
    return report if cleaned == report.text else report._replace(text=cleaned)


def decode(data: bytes) -> ReportText:
    """Decode UTF-16 by its byte order mark, UTF-8, else Windows-1252, which covers the printable text of Latin-1.

    Raises RejectedError (undecodable_text).
    """
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return ReportText(data.decode(encoding), encoding.removesuffix("-sig"))
    except UnicodeDecodeError:
        pass
    try:
        return ReportText(data.decode("cp1252"), "cp1252")
    except UnicodeDecodeError:
        raise RejectedError("undecodable_text", "the report is neither UTF-8 nor Windows-1252; convert it") from None


# Kind of a RootedFileError -> reason and message of the reject.
_UNREAD: dict[Kind, tuple[str, str]] = {
    "unsafe_path": ("path_outside_root", "the report's path leaves the data set's root; correct the index"),
    "link_leads_out": (
        "path_outside_root", "a link leads out of the data set's root; name the folder in the data set's `roots`"
    ),
    "missing": ("report_file_missing", "the report's file is not under --root; download it"),
    "not_regular": ("report_file_unreadable", "the report's path is not a regular file; correct the index"),
    "unreadable": ("report_file_unreadable", "the report's file cannot be read ({detail})"),
    "too_large": ("report_too_long", "the report is longer than {max_bytes} bytes; correct the index"),
}  # fmt: skip


def _read(root: Path, path: str, roots: tuple[Path, ...]) -> bytes:
    """Return the bytes of a report's file under `root` or `roots`. Raises RejectedError."""
    try:
        return read_under(root, path, _LONGEST, roots)
    except RootedFileError as error:
        reason, message = _UNREAD[error.kind]
        raise RejectedError(reason, message.format(detail=error, max_bytes=_LONGEST)) from None


_ROWS_A_BATCH = 65_536


def _integers() -> array:
    return array("i")


@dataclass
class SplitReports:
    """Sentences of all reports, by column; equal texts are stored once (37 % of real sentences are unique)."""

    study_ids: list[str] = field(default_factory=list)  # of the reports with a sentence
    section_names: dict[str, int] = field(default_factory=dict)  # name -> index
    report_of: array = field(default_factory=_integers)  # row -> index in `study_ids`
    section_of: array = field(default_factory=_integers)  # row -> index in `section_names`
    positions: array = field(default_factory=_integers)
    starts: array = field(default_factory=_integers)
    ends: array = field(default_factory=_integers)
    text_of: array = field(default_factory=_integers)  # row -> index in `texts`
    texts: dict[str, int] = field(default_factory=dict)  # folded text -> index, in order of appearance
    boilerplate: dict[str, str] = field(default_factory=dict)  # folded text -> kind
    left_out: Counter[str] = field(default_factory=Counter)  # sentences left out, by kind of boilerplate
    left_out_words: Counter[str] = field(default_factory=Counter)
    training_counts: Counter[int] = field(default_factory=Counter)  # index in `texts` -> rows of training patients
    lost: list[LostText] = field(default_factory=list)  # the first `_EXAMPLES` of counts["reports_losing_unheaded"]
    rejects: list[dict[str, str]] = field(default_factory=list)
    first_texts: list[str] = field(default_factory=list)  # the first LOOKED_AT of the reports that were read ...
    first_headerless: list[str] = field(default_factory=list)  # ... and of those in which no header is known
    counts: Counter[str] = field(default_factory=Counter)


def split_all(
    reports: pa.Table,
    root: Path,
    dataset: str,
    settings: SplitReportsSettings,
    roots: tuple[Path, ...] = (),
    split_by: Callable[[str], str] = str,
) -> SplitReports:
    """Split the reports of a table REPORTS in its order. Raises InputError where the table breaks its contract.

    `split_by` is of `ids_to_split_by`: patients of the training part are known by it.
    """
    result = SplitReports()
    names = header_names(settings.language, settings.headers)
    seen: set[str] = set()
    for report in _rows(reports):
        study_id = report["study_id"]
        if study_id in seen:
            raise InputError(f"reports: study_id {study_id} occurs twice", remedy="run index_inputs again")
        if (report["path"] is None) == (report["text"] is None):
            raise InputError(
                f"reports: study_id {study_id} needs exactly one of path and text", remedy="run index_inputs again"
            )
        seen.add(study_id)
        try:
            part = split_of(split_by(report["patient_id"]), settings.patient_split, report["distributed_split"])
            _split_one(report, root, settings, names, result, roots, part == "train")
        except RejectedError as error:
            reject = {"source_id": study_id, "reason": error.reason, "message": str(error)}
            result.rejects.append({"dataset": dataset, **reject})
            result.counts[f"rejects_{error.reason}"] += 1
    result.counts.update(
        reports_losing_unheaded=0,
        reports=reports.num_rows,
        reports_split=len(result.study_ids),
        rejects=len(result.rejects),
        sentences=len(result.text_of),
        unique_sentences=len(result.texts),
        boilerplate_sentences=result.left_out.total(),
    )
    assert result.counts["reports_split"] + result.counts["rejects"] == reports.num_rows
    return result


def _split_one(
    report: dict[str, Any],
    root: Path,
    settings: SplitReportsSettings,
    names: HeaderNames,
    result: SplitReports,
    roots: tuple[Path, ...],
    trains: bool,
) -> None:
    text, encoding = read_report(root, report["path"], report["text"], roots)
    result.counts["reports_read"] += 1
    selection = read_sections(text, settings.sections, settings.sections_fallback, names, settings.keep_unheaded)
    result.counts["reports_without_header"] += not selection.has_header
    _keep_first(result.first_texts, text)
    if not selection.has_header:
        _keep_first(result.first_headerless, text)
    if not selection.kept:
        raise RejectedError("no_configured_section", "no header of settings.sections; see settings.sections_fallback")
    first = len(result.text_of)
    for section in selection.kept:
        _add_section(text, section, result, settings.language)
    rows = len(result.text_of) - first
    if not rows:
        if selection.has_placeholder:
            raise RejectedError("empty_report", "the kept sections hold a placeholder such as nan")
        raise RejectedError("no_sentence", "the kept sections contain no letter")
    result.report_of.extend([len(result.study_ids)] * rows)
    result.positions.extend(range(rows))
    result.study_ids.append(report["study_id"])
    result.counts["words"] += len(text.split())
    result.counts[f"reports_as_{encoding.replace('-', '_')}"] += 1
    result.counts["reports_by_fallback"] += selection.kept[0].name == WHOLE_REPORT
    if selection.lost:
        _count_lost(text, selection, report["study_id"], settings, result)
    if trains:
        result.training_counts.update(result.text_of[first:])


def _keep_first(texts: list[str], text: str) -> None:
    if len(texts) < LOOKED_AT:
        texts.append(text)


def _count_lost(
    text: str, selection: Selection, study_id: str, settings: SplitReportsSettings, result: SplitReports
) -> None:
    """Count a report that loses sentences under no header, and keep it as an example."""
    sentences = [
        fold(text[start:end])
        for section in selection.lost
        for start, end in split_sentences(text, section.start, section.end, settings.language)
        if boilerplate_kind(text[start:end]) is None
    ]
    if not sentences:
        return
    result.counts["reports_losing_unheaded"] += 1
    if len(result.lost) < _EXAMPLES:
        lost = " ".join(sentences)
        result.lost.append(
            LostText(study_id=study_id, words=lost.count(" ") + 1, text=lost if settings.publish_samples else None)
        )


def _add_section(text: str, section: Section, result: SplitReports, language: Language) -> None:
    """Add the rows of one section, without `report_of` and `positions`."""
    name = result.section_names.setdefault(section.name, len(result.section_names))
    for start, end in split_sentences(text, section.start, section.end, language):
        raw = text[start:end]
        place = result.texts.get(raw)
        if place is None:
            place = _place_of(raw, result)
            if place is None:
                continue
        result.section_of.append(name)
        result.starts.append(start)
        result.ends.append(end)
        result.text_of.append(place)


def _place_of(raw: str, result: SplitReports) -> int | None:
    """Return the index of a sentence, folded, in `texts`; count boilerplate and return None for it."""
    sentence = fold(raw)
    place = result.texts.get(sentence)
    if place is None:
        kind = (result.boilerplate.get(sentence) if raw == sentence else None) or boilerplate_kind(raw)
        if kind is not None:
            result.boilerplate[sentence] = kind
            result.left_out[kind] += 1
            result.left_out_words[kind] += sentence.count(" ") + 1
            return None
        place = result.texts[sentence] = len(result.texts)
    return place


def training_sentences(result: SplitReports) -> list[tuple[str, int]]:
    """Return (sentence, occurrences) in the reports of training patients. Raises InputError where there are none."""
    counts = result.training_counts
    sentences = [(text, counts[place]) for text, place in result.texts.items() if place in counts]
    if not sentences:
        raise InputError(
            "reports: no training patient has a report, so no vocabulary can be trained",
            remedy="lower patient_split's shares",
        )
    return sentences


def sentence_batches(result: SplitReports, token_ids: list[list[int]]) -> Iterator[pa.RecordBatch]:
    """Yield rows of the table SENTENCES; `token_ids` belong to `result.texts`."""
    studies, sections, texts = (
        pa.array(list(values), pa.string()) for values in (result.study_ids, result.section_names, result.texts)
    )
    pieces = pa.array(token_ids, pa.list_(pa.int32()))
    for first in range(0, len(result.text_of), _ROWS_A_BATCH):
        rows = slice(first, first + _ROWS_A_BATCH)
        columns = [
            studies.take(_column(result.report_of, rows)),
            sections.take(_column(result.section_of, rows)),
            *(_column(column, rows) for column in (result.positions, result.starts, result.ends)),
            texts.take(_column(result.text_of, rows)),
            pieces.take(_column(result.text_of, rows)),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=SENTENCES)


def _column(values: array, rows: slice) -> pa.Array:
    return pa.array(np.asarray(values[rows], dtype=np.int32), pa.int32())


def piece_counts(result: SplitReports, token_ids: list[list[int]], tokenizer: Tokenizer) -> dict[str, int | float]:
    """Return the size of the vocabulary, the word pieces of all rows, and the share of them that is [UNK]."""
    rows = np.bincount(result.text_of, minlength=len(token_ids))
    unknown = unknown_id(tokenizer)
    pieces = int(rows @ np.array([len(ids) for ids in token_ids]))
    unknown_pieces = int(rows @ np.array([ids.count(unknown) for ids in token_ids]))
    return {"vocabulary": tokenizer.get_vocab_size(), "pieces": pieces, "unknown_share": unknown_pieces / pieces}


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=4096):
        yield from batch.to_pylist()
