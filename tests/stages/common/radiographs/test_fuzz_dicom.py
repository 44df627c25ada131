"""A short run of the fuzzer; `fuzz_dicom.py` is the long one."""

from collections import Counter

from fuzz_dicom import FINDINGS, outcomes

from stages.common.radiographs.rejection import REASONS


def test_mutated_files_become_images_or_known_reasons():
    counts = Counter(outcomes(2000, seed=1, seconds_each=30.0))
    assert counts.total() == 2000
    assert not [name for name in counts if name.startswith(FINDINGS)]
    assert counts["image, as pydicom's"] > 20
    assert {name for name in counts if not name.startswith("image")} <= REASONS.keys()
