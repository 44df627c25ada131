"""quality.json: the counts are those of a second count, the worst come first, no text unless it is asked for."""

from collections import Counter

import pyarrow as pa
import pytest

from stages.common.files.schemas import REPORTS
from stages.common.records import read_record, write_record
from stages.split_reports.contract import Quality, SplitReportsSettings, WorstSentence
from stages.split_reports.quality import quality_of
from stages.split_reports.reports import split_all

TRAINED = {"tokenizer": {"weights": None, "vocabulary_size": 400}}
TEXTS = {
    "s1": "FINDINGS: Clear. Nodule of 12.5 mm at T10.\nIMPRESSION: Clear.\nDictated by: Dr. Moss",
    "s2": "INDICATION: Cough.\n\nThe lungs are clear and the heart is normal. 3 wires.",
    "s3": "IMPRESSION: Clear.\nEND OF IMPRESSION",
    "s4": "INDICATION: Cough.",
    "s5": "FINDINGS: ___.",
    "s6": "IMPRESSION: Dictated by: Dr. Moss",
}


def quality(tmp_path, **settings):
    chosen = SplitReportsSettings.model_validate(TRAINED | settings)
    rows = [
        {"study_id": study, "patient_id": "p", "distributed_split": None, "path": None, "text": text}
        for study, text in TEXTS.items()
    ]
    result = split_all(pa.Table.from_pylist(rows, schema=REPORTS), tmp_path, "set", chosen)
    return quality_of(result, [[1] * len(text.split()) for text in result.texts], chosen)


def test_counts(tmp_path):
    record = quality(tmp_path, max_pieces=5).model_dump()
    assert record["reports"] == {
        "total": 6,
        "split": 3,
        "rejected": {"no_configured_section": 1, "no_sentence": 2},
        "by_fallback": 1,
        "without_header": 0,
        "losing_unheaded": 0,
        "encodings": {"utf_8": 3},
    }
    assert record["sections"] == {"findings": 2, "impression": 2, "report": 2}
    assert record["sentences"] == {"total": 6, "unique": 4, "over_long": 2, "max_pieces": 5}
    assert record["boilerplate"] == [
        {"kind": "dictated by", "sentences": 2, "words": 8},
        {"kind": "end of report", "sentences": 1, "words": 3},
    ]
    words = record["words"]
    assert (words["kept"], words["boilerplate"]) == (3 + 6 + 9 + 2, 11)
    assert words["in_reports"] == sum(len(TEXTS[study].split()) for study in ("s1", "s2", "s3"))
    assert words["share_of_sections"] == 20 / 31
    assert words["share_of_reports"] == 20 / words["in_reports"]


def test_histograms_hold_everything_once(tmp_path):
    record = quality(tmp_path)
    lengths = Counter(dict(zip(record.words_a_sentence.edges, record.words_a_sentence.counts, strict=True)))
    assert +lengths == {1: 3, 2: 1, 5: 1, 8: 1}
    assert sum(record.pieces_a_sentence.counts) == record.sentences.total
    assert sum(record.sentences_a_report.counts) == record.reports.split


def test_the_worst_come_first_and_without_text(tmp_path):
    worst = quality(tmp_path).worst
    first = {row.kind: row for row in reversed(worst)}
    assert first["longest"] == WorstSentence(
        kind="longest", study_id="s2", position=0, number=9, occurrences=1, text=None
    )
    assert (first["shortest"].study_id, first["shortest"].number, first["shortest"].occurrences) == ("s1", 5, 3)
    assert (first["most_digits"].position, first["most_digits"].number) == (1, 5)
    assert Counter(row.kind for row in worst) == {"longest": 4, "shortest": 4, "most_digits": 4}
    assert all(row.text is None for row in worst)
    assert quality(tmp_path, publish_samples=True).worst[0].text.startswith("The lungs are clear")


def test_text_beside_a_wanted_section_is_counted_where_it_is_lost(tmp_path, monkeypatch):
    monkeypatch.setitem(TEXTS, "s7", "Old line.\nFINDINGS: Clear.")
    monkeypatch.setitem(TEXTS, "s8", "COMPARISON: None.\n\nOne view. Two.\n\nFINDINGS: Clear.")
    monkeypatch.setitem(TEXTS, "s9", "Dictated by: Dr. Moss\nFINDINGS: Clear.")  # loses nothing
    record = quality(tmp_path, publish_samples=True)
    assert record.reports.losing_unheaded == 2
    assert [(each.study_id, each.words, each.text) for each in record.lost] == [
        ("s7", 2, "Old line."),
        ("s8", 3, "One view. Two."),
    ]
    assert [each.text for each in quality(tmp_path).lost] == [None, None]
    assert quality(tmp_path, keep_unheaded=True).lost == []


@pytest.mark.parametrize("published", [False, True])
def test_what_is_written_is_what_a_reader_gets(tmp_path, published):
    record = quality(tmp_path, publish_samples=published)
    write_record(tmp_path / "quality.json", record)
    assert read_record(tmp_path / "quality.json", Quality) == record
