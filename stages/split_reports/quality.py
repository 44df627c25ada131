"""Figures by which a person judges the split: counts, lengths, omissions, the sentences most likely to be wrong."""

import numpy as np

from .contract import (
    Bins,
    Boilerplate,
    Quality,
    QualityReports,
    QualitySentences,
    QualityWords,
    SplitReportsSettings,
    WorstSentence,
)
from .reports import SplitReports

_WORST = 50  # sentences of each kind
_EDGES = (1, 2, 3, 5, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512)  # a bin ends before the next edge; the last is open


def quality_of(result: SplitReports, token_ids: list[list[int]], settings: SplitReportsSettings) -> Quality:
    """Describe the split; `token_ids` belong to `result.texts`. No text is included unless settings.publish_samples."""
    texts = list(result.texts)
    rows = np.bincount(result.text_of, minlength=len(texts))
    words = np.array([text.count(" ") + 1 for text in texts])
    pieces = np.array([len(ids) for ids in token_ids])
    kept, boilerplate = int(rows @ words), result.left_out_words.total()
    counts = result.counts
    sections = np.bincount(result.section_of, minlength=len(result.section_names))
    return Quality(
        reports=QualityReports(
            total=counts["reports"],
            split=counts["reports_split"],
            rejected=_part(counts, "rejects_"),
            by_fallback=counts["reports_by_fallback"],
            without_header=counts["reports_without_header"],
            losing_unheaded=counts["reports_losing_unheaded"],
            encodings=_part(counts, "reports_as_"),
        ),
        sections={name: int(sections[place]) for name, place in result.section_names.items()},
        sentences=QualitySentences(
            total=counts["sentences"],
            unique=counts["unique_sentences"],
            over_long=int(rows[pieces > settings.max_pieces].sum()),
            max_pieces=settings.max_pieces,
        ),
        words=QualityWords(
            in_reports=counts["words"],
            kept=kept,
            boilerplate=boilerplate,
            share_of_reports=kept / counts["words"],
            share_of_sections=kept / (kept + boilerplate),
        ),
        sentences_a_report=_histogram(np.bincount(result.report_of), None),
        words_a_sentence=_histogram(words, rows),
        pieces_a_sentence=_histogram(pieces, rows),
        boilerplate=[
            Boilerplate(kind=kind, sentences=number, words=result.left_out_words[kind])
            for kind, number in result.left_out.most_common()
        ],
        worst=_worst(result, texts, words, rows, settings.publish_samples),
        lost=result.lost,
    )


def _part(counts: dict[str, int], prefix: str) -> dict[str, int]:
    return {key.removeprefix(prefix): counts[key] for key in sorted(counts) if key.startswith(prefix)}


def _histogram(values: np.ndarray, weights: np.ndarray | None) -> Bins:
    counts, _ = np.histogram(values, bins=[*_EDGES, np.inf], weights=weights)
    return Bins(edges=list(_EDGES), counts=counts.astype(int).tolist())


def _worst(
    result: SplitReports, texts: list[str], words: np.ndarray, rows: np.ndarray, with_text: bool
) -> list[WorstSentence]:
    """Return the first `_WORST` distinct texts of each kind."""
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
                WorstSentence(
                    kind=kind,
                    study_id=result.study_ids[result.report_of[row]],
                    position=result.positions[row],
                    number=int(numbers[place]),
                    occurrences=int(rows[place]),
                    text=texts[place] if with_text else None,
                )
            )
    return worst
