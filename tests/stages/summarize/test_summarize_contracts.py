"""What other stages write is what the summary reads: their own code makes the record, the model here takes it."""

import pyarrow as pa

from stages.common.files.schemas import REPORTS
from stages.common.records import read_record, write_record
from stages.split_reports.contract import Quality, SplitReportsSettings
from stages.split_reports.quality import quality_of
from stages.split_reports.reports import split_all

TEXT = """FINAL REPORT
FINDINGS: No pleural effusion. The heart is 12.5 cm wide.
IMPRESSION: No acute disease.
Dictated by: ___
"""


def test_quality_of_split_reports(tmp_path):
    report = {"study_id": "s1", "patient_id": "p1", "distributed_split": None, "path": None, "text": TEXT}
    for published in (False, True):
        settings = SplitReportsSettings(publish_samples=published)
        result = split_all(pa.Table.from_pylist([report], schema=REPORTS), tmp_path, "set", settings)
        record = quality_of(result, [[1, 2]] * len(result.texts), settings)
        write_record(tmp_path / "quality.json", record)
        quality = read_record(tmp_path / "quality.json", Quality)
        assert (quality.reports.total, quality.reports.split, quality.sentences.total) == (1, 1, 3)
        assert sum(quality.words_a_sentence.counts) == sum(quality.pieces_a_sentence.counts) == 3
        assert {each.kind for each in quality.worst} == {"longest", "shortest", "most_digits"}
        assert all((each.text is not None) == published for each in quality.worst)
