"""Every report ends in at least one sentence or in exactly one row of the rejects."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from stages.common.errors import InputError
from stages.common.patient_split import split_of
from stages.common.schemas import SENTENCES
from stages.split_reports.report_text import RejectedError, read_report
from stages.split_reports.sections import WHOLE_REPORT, select_sections
from stages.split_reports.sentences import fold, split_sentences
from stages.split_reports.settings import SplitReportsSettings

_ROWS_A_BATCH = 65_536


@dataclass
class SplitReports:
    """The sentences of all reports by column; equal texts are kept once (37 % of real sentences are unique)."""

    study_ids: list[str] = field(default_factory=list)
    sections: list[str] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    text_of: list[int] = field(default_factory=list)  # row -> place in `texts`
    texts: dict[str, int] = field(default_factory=dict)  # folded text -> place, in order of appearance
    training_counts: Counter[int] = field(default_factory=Counter)  # place in `texts` -> rows of training patients
    rejects: list[dict[str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def split_all(reports: pa.Table, root: Path, dataset: str, settings: SplitReportsSettings) -> SplitReports:
    """Split the reports of a table REPORTS in its order. Raises InputError where the table breaks its contract."""
    result = SplitReports()
    seen: set[str] = set()
    for report in _rows(reports):
        study_id = report["study_id"]
        if study_id in seen:
            raise InputError(f"reports: study_id {study_id} is there twice; run index_inputs again")
        if (report["path"] is None) == (report["text"] is None):
            raise InputError(f"reports: study_id {study_id} needs exactly one of path and text; run index_inputs again")
        seen.add(study_id)
        try:
            _split_one(report, root, settings, result)
        except RejectedError as error:
            reject = {"source_id": study_id, "reason": error.reason, "message": str(error)}
            result.rejects.append({"dataset": dataset, **reject})
            result.counts[f"rejects_{error.reason}"] += 1
    result.counts.update(
        reports=reports.num_rows,
        reports_split=len(set(result.study_ids)),
        rejects=len(result.rejects),
        sentences=len(result.study_ids),
        unique_sentences=len(result.texts),
    )
    assert result.counts["reports_split"] + result.counts["rejects"] == reports.num_rows
    return result


def _split_one(report: dict[str, Any], root: Path, settings: SplitReportsSettings, result: SplitReports) -> None:
    text, encoding = read_report(root, report["path"], report["text"])
    whole_report = settings.sections_fallback == "whole_report"
    sections = select_sections(text, settings.sections, whole_report)
    if not sections:
        raise RejectedError("no_configured_section", "no header of settings.sections; see settings.sections_fallback")
    rows = [
        (section.name, start, end)
        for section in sections
        for start, end in split_sentences(text, section.start, section.end)
    ]
    if not rows:
        raise RejectedError("no_sentence", "nothing with a letter stands in the sections that are kept")
    result.counts["reports_as_cp1252"] += encoding == "cp1252"
    result.counts["reports_by_fallback"] += sections[0].name == WHOLE_REPORT
    training = split_of(report["patient_id"], settings.patient_split, report["distributed_split"]) == "train"
    for position, (name, start, end) in enumerate(rows):
        place = result.texts.setdefault(fold(text[start:end]), len(result.texts))
        result.study_ids.append(report["study_id"])
        result.sections.append(name)
        result.positions.append(position)
        result.starts.append(start)
        result.ends.append(end)
        result.text_of.append(place)
        if training:
            result.training_counts[place] += 1


def training_sentences(result: SplitReports) -> list[tuple[str, int]]:
    """(sentence, occurrences) in the reports of training patients; none is an InputError."""
    counts = result.training_counts
    sentences = [(text, counts[place]) for text, place in result.texts.items() if place in counts]
    if not sentences:
        raise InputError(
            "reports: no report of a training patient to train word pieces on; lower patient_split's shares"
        )
    return sentences


def sentence_batches(result: SplitReports, token_ids: list[list[int]]) -> Iterator[pa.RecordBatch]:
    """Rows of the table SENTENCES; `token_ids` belong to `result.texts`."""
    texts = pa.array(list(result.texts), pa.string())
    pieces = pa.array(token_ids, pa.list_(pa.int32()))
    places = np.asarray(result.text_of, dtype=np.int64)
    for first in range(0, len(places), _ROWS_A_BATCH):
        rows = slice(first, first + _ROWS_A_BATCH)
        columns = [
            pa.array(result.study_ids[rows], pa.string()),
            pa.array(result.sections[rows], pa.string()),
            *(pa.array(column[rows], pa.int32()) for column in (result.positions, result.starts, result.ends)),
            texts.take(pa.array(places[rows])),
            pieces.take(pa.array(places[rows])),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=SENTENCES)


def piece_counts(result: SplitReports, token_ids: list[list[int]], tokenizer: Tokenizer) -> dict[str, int | float]:
    """The size of the vocabulary, the word pieces of all rows, and the share of them that is [UNK]."""
    rows = np.bincount(result.text_of, minlength=len(token_ids))
    unknown = tokenizer.token_to_id("[UNK]")
    pieces = int(rows @ [len(ids) for ids in token_ids])
    unknown_pieces = int(rows @ [ids.count(unknown) for ids in token_ids])
    return {"vocabulary": tokenizer.get_vocab_size(), "pieces": pieces, "unknown_share": unknown_pieces / pieces}


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=4096):
        yield from batch.to_pylist()
