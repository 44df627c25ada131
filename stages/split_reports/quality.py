"""What a person looks at to judge the split: counts, lengths, what was left out, the sentences most likely wrong."""

from typing import Any

import numpy as np

from .contract import SplitReportsSettings
from .reports import SplitReports

VERSION = 1
_WORST = 50  # sentences of each kind
_EDGES = (1, 2, 3, 5, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512)  # a bin ends before the next edge; the last is open


def quality_of(result: SplitReports, token_ids: list[list[int]], settings: SplitReportsSettings) -> dict[str, Any]:
    """The record `quality.json`; `token_ids` belong to `result.texts`. No text unless settings.publish_samples.

    version, reports: {total, split, rejected: {reason: n}, by_fallback, encodings: {name: n}};
    sections: {name: sentences}; sentences: {total, unique, over_long, max_pieces};
    words: {in_reports, kept, boilerplate, share_of_reports, share_of_sections}; words are what blanks separate;
    sentences_a_report, words_a_sentence, pieces_a_sentence: {edges, counts}, counts[i] of edges[i] <= x < edges[i + 1];
    boilerplate: [{kind, sentences, words}], most frequent first;
    worst: [{kind, study_id, position, number, occurrences, text?}]: of each kind (longest: words; shortest: letters and
    digits; most_digits: digits) the first 50 distinct texts, at their first place.
    """
    texts = list(result.texts)
    rows = np.bincount(result.text_of, minlength=len(texts))
    words = np.array([text.count(" ") + 1 for text in texts])
    pieces = np.array([len(ids) for ids in token_ids])
    kept, boilerplate = int(rows @ words), result.left_out_words.total()
    counts = result.counts
    sections = np.bincount(result.section_of, minlength=len(result.section_names))
    return {
        "version": VERSION,
        "reports": {
            "total": counts["reports"],
            "split": counts["reports_split"],
            "rejected": _part(counts, "rejects_"),
            "by_fallback": counts["reports_by_fallback"],
            "encodings": _part(counts, "reports_as_"),
        },
        "sections": {name: int(sections[place]) for name, place in result.section_names.items()},
        "sentences": {
            "total": counts["sentences"],
            "unique": counts["unique_sentences"],
            "over_long": int(rows[pieces > settings.max_pieces].sum()),
            "max_pieces": settings.max_pieces,
        },
        "words": {
            "in_reports": counts["words"],
            "kept": kept,
            "boilerplate": boilerplate,
            "share_of_reports": kept / counts["words"],
            "share_of_sections": kept / (kept + boilerplate),
        },
        "sentences_a_report": _histogram(np.bincount(result.report_of), None),
        "words_a_sentence": _histogram(words, rows),
        "pieces_a_sentence": _histogram(pieces, rows),
        "boilerplate": [
            {"kind": kind, "sentences": number, "words": result.left_out_words[kind]}
            for kind, number in result.left_out.most_common()
        ],
        "worst": _worst(result, texts, words, rows, settings.publish_samples),
    }


def _part(counts: dict[str, int], prefix: str) -> dict[str, int]:
    return {key.removeprefix(prefix): counts[key] for key in sorted(counts) if key.startswith(prefix)}


def _histogram(values: np.ndarray, weights: np.ndarray | None) -> dict[str, list[int]]:
    counts, _ = np.histogram(values, bins=[*_EDGES, np.inf], weights=weights)
    return {"edges": list(_EDGES), "counts": counts.astype(int).tolist()}


def _worst(
    result: SplitReports, texts: list[str], words: np.ndarray, rows: np.ndarray, with_text: bool
) -> list[dict[str, Any]]:
    _, first_row = np.unique(np.asarray(result.text_of), return_index=True)
    kinds = {
        "longest": (words, -words),
        "shortest": (signs := np.array([sum(map(str.isalnum, text)) for text in texts]), signs),
        "most_digits": (digits := np.array([sum(map(str.isdigit, text)) for text in texts]), -digits),
    }
    worst = []
    for kind, (numbers, order) in kinds.items():
        for place in np.argsort(order, kind="stable")[:_WORST]:
            row = first_row[place]
            worst.append(
                {
                    "kind": kind,
                    "study_id": result.study_ids[result.report_of[row]],
                    "position": result.positions[row],
                    "number": int(numbers[place]),
                    "occurrences": int(rows[place]),
                    **({"text": texts[place]} if with_text else {}),
                }
            )
    return worst
