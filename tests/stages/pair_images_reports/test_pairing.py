"""Planted partners, orphans, duplicates and leaks are found, counted and reconciled."""

from collections import Counter

import pytest

from stages.common.data.patient_split import PatientSplit, split_of


def patients_of(split: str, count: int, validation: float = 0.3, test: float = 0.3) -> list[str]:
    """The first `count` patients whom the patient-level split puts into `split`."""
    settings = PatientSplit(validation=validation, test=test)
    names = (f"p{number}" for number in range(1000))
    return [name for name in names if split_of(name, settings) == split][:count]


THIRDS = {"validation": 0.3, "test": 0.3}


def test_one_row_an_image_with_the_split_of_its_patient(paired, image):
    images = [image(f"i{n}{view}", f"s{n}", f"p{n % 20}") for n in range(40) for view in "ab"]
    reports = {f"s{n}": [f"Report {n}.", "No effusion."] for n in range(40)}
    pairs, rejects, audit = paired(images, reports, **THIRDS)
    # store order is the order of the shards: every second image
    assert [pair["image_id"] for pair in pairs] == [given["image_id"] for given in images[::2] + images[1::2]]
    assert rejects == []
    study_of = {given["image_id"]: given["study_id"] for given in images}
    settings = PatientSplit.model_validate(THIRDS)
    for pair in pairs:
        assert pair["study_id"] == study_of[pair["image_id"]]
        assert pair["split"] == split_of(pair["patient_id"], settings)
    counts = Counter(pair["split"] for pair in pairs)
    assert {part: values["pairs"] for part, values in audit["splits"].items()} == counts
    assert sum(values["patients"] for values in audit["splits"].values()) == 20
    assert audit["studies_with_several_images"] == {"count": 40, "share": 1.0, "most_images": 2}


def test_what_has_no_partner_is_rejected_with_a_reason(paired, image):
    images = [image("i1", "s1", "p1"), image("i2", "s2", "p2"), image("i3", "s2", "p2")]
    pairs, rejects, audit = paired(images, {"s1": ["Clear."], "s8": ["Alone."], "s9": ["Alone too."]}, **NONE)
    assert [pair["image_id"] for pair in pairs] == ["i1"]
    assert {(reject["source_id"], reject["reason"]) for reject in rejects} == {
        ("i2", "image_without_report"), ("i3", "image_without_report"),
        ("s8", "report_without_image"), ("s9", "report_without_image")}  # fmt: skip
    assert audit["images"] == audit["pairs"] + audit["rejects"]["image_without_report"]
    assert audit["reports"] == 3
    assert {reject["dataset"] for reject in rejects} == {"set"}


NONE = {"validation": 0.0, "test": 0.0}


def test_distributed_split_is_followed_unless_told_otherwise(paired, image):
    names = {"p1": "train", "p2": "validate", "p3": "test"}
    images = [image(f"i{patient}", f"s{patient}", patient, split=split) for patient, split in names.items()]
    reports = {f"s{patient}": [f"Report of {patient}."] for patient in names}
    pairs, _, audit = paired(images, reports, **NONE)
    assert {pair["patient_id"]: pair["split"] for pair in pairs} == {"p1": "train", "p2": "validation", "p3": "test"}
    assert audit["images_with_distributed_split"] == 3
    assert audit["split_by"] == "patient, as distributed"
    pairs, _, audit = paired(images, reports, **NONE, use_distributed=False)
    assert {pair["split"] for pair in pairs} == {"train"}
    assert audit["split_by"] == "patient"
    more = [*images, image("i4", "s4", "p4")]  # of whom the distributed split says nothing
    pairs, _, audit = paired(more, reports | {"s4": ["More."]}, **NONE)
    assert pairs[[pair["image_id"] for pair in pairs].index("i4")]["split"] == "train"
    assert audit["split_by"] == "patient, as distributed where it says"


def test_of_a_study_one_image_is_kept_by_view_then_size_then_id(paired, image):
    images = [
        image("a1", "view", "p1", view="LATERAL", rows=9), image("a2", "view", "p1", view="AP SUPINE", rows=8),
        image("a3", "view", "p1", view="pa", rows=4),
        image("b1", "size", "p2", view="AP", rows=4), image("b2", "size", "p2", view="AP", rows=5),
        image("c2", "same", "p3"), image("c1", "same", "p3"),
        image("d1", "alone", "p4", view=None),
    ]  # fmt: skip
    reports = {study: [f"Report {study}."] for study in ("view", "size", "same", "alone")}
    pairs, rejects, audit = paired(images, reports, {"images_per_study": "one"}, **NONE)
    assert {pair["image_id"] for pair in pairs} == {"a3", "b2", "c1", "d1"}
    assert {reject["source_id"] for reject in rejects} == {"a1", "a2", "b1", "c2"}
    assert audit["rejects"]["another_image_of_the_study"] == 4
    assert audit["studies_with_several_images"] == {"count": 0, "share": 0.0, "most_images": 1}
    assert len(paired(images, reports, **NONE)[0]) == 8


def test_a_study_keeps_an_image_when_its_first_one_is_a_duplicate(paired, image):
    train, test = patients_of("train", 1)[0], patients_of("test", 1)[0]
    images = [image("i1", "s1", train, "same"), image("i2", "s2", test, "same", view="PA"), image("i3", "s2", test)]
    reports = {"s1": ["A."], "s2": ["B."]}
    pairs, _, audit = paired(images, reports, {"images_per_study": "one"}, **THIRDS)
    assert {pair["image_id"] for pair in pairs} == {"i1", "i3"}
    assert audit["pixels_of_several_patients"] == 1


@pytest.mark.parametrize(("first", "second", "kept"), [("train", "test", 0), ("test", "validation", 1)])
def test_equal_pixels_across_splits_stay_in_the_earlier_split(paired, image, first, second, kept):
    one, two, other = patients_of(first, 1)[0], patients_of(second, 1)[0], patients_of("train", 2)[1]
    images = [image("i1", "s1", one, "same"), image("i2", "s2", two, "same"), image("i3", "s3", other)]
    pairs, rejects, audit = paired(images, {"s1": ["A."], "s2": ["B."], "s3": ["C."]}, **THIRDS)
    assert {pair["image_id"] for pair in pairs} == {"i3", ["i1", "i2"][kept]}
    assert [(reject["source_id"], reject["reason"]) for reject in rejects] == [
        (["i2", "i1"][kept], "duplicate_pixels_across_splits")]  # fmt: skip
    assert audit["pixels_in_several_splits"] == 1
    assert audit["rejects"]["duplicate_pixels_across_splits"] == 1


def test_equal_pixels_within_a_split_stay_and_are_counted(paired, image):
    images = [image("i1", "s1", "p1", "same"), image("i2", "s2", "p2", "same")]
    pairs, rejects, audit = paired(images, {"s1": ["A."], "s2": ["B."]}, **NONE)
    assert (len(pairs), rejects) == (2, [])
    assert audit["splits"]["train"]["copies_of_pixels"] == 1
    assert audit["pixels_in_several_splits"] == 0
    assert audit["pixels_of_several_patients"] == 1  # a picture belongs to one person: an id is wrong


def test_equal_report_texts_across_splits_are_counted_and_stay(paired, image):
    train, test = patients_of("train", 2), patients_of("test", 3)
    images = [image(f"i{patient}", f"s{patient}", patient) for patient in train + test]
    normal = ["Clear lungs.", "No effusion."]
    reports = {f"s{train[0]}": normal, f"s{train[1]}": ["Nodule."], f"s{test[0]}": normal, f"s{test[1]}": normal,
               f"s{test[2]}": ["Clear lungs."]}  # fmt: skip
    pairs, _, audit = paired(images, reports, **THIRDS)
    assert len(pairs) == 5
    assert audit["report_texts_in_several_splits"] == {
        "texts": 1, "reports_also_in_train": {"validation": 0, "test": 2}}  # fmt: skip
    assert {split: counts["copies_of_text"] for split, counts in audit["splits"].items()} == {
        "train": 0, "validation": 0, "test": 1}  # fmt: skip


def test_the_digest_is_a_function_of_the_pairs(paired, image):
    images = [image(f"i{n}", f"s{n}", f"p{n}") for n in range(6)]
    reports = {f"s{n}": [f"Report {n}."] for n in range(6)}
    digest = paired(images, reports, **NONE)[2]["pairs_digest"]
    assert paired(images, reports, **NONE)[2]["pairs_digest"] == digest
    other_texts = {study: ["Other."] for study in reports}
    assert paired(images, other_texts, **NONE)[2]["pairs_digest"] == digest
    assert paired(images[:5], reports, **NONE)[2]["pairs_digest"] != digest


def refusal_of(capsys, run) -> str:
    with pytest.raises(SystemExit) as stop:
        run()
    assert stop.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_patient_whom_the_distributed_split_divides_is_refused(paired, image, capsys):
    images = [image("i1", "s1", "p1", split="train"), image("i2", "s2", "p1", split="test")]
    line = refusal_of(capsys, lambda: paired(images, {"s1": ["A."], "s2": ["B."]}))
    assert "patient_id p1 is in test and train" in line
    assert "use_distributed" in line


def test_study_shared_by_patients_in_two_splits_is_refused(paired, image, capsys):
    images = [image("i1", "s1", patients_of("train", 1)[0]), image("i2", "s1", patients_of("test", 1)[0])]
    assert "study_id s1 is in test and train" in refusal_of(capsys, lambda: paired(images, {"s1": ["A."]}, **THIRDS))


def test_no_pair_for_training_is_refused(paired, image, capsys):
    images = [image("i1", "s1", patients_of("test", 1)[0])]
    assert "no pair is left for training" in refusal_of(capsys, lambda: paired(images, {"s1": ["A."]}, **THIRDS))
    assert "no pair is left for training" in refusal_of(capsys, lambda: paired(images, {"s2": ["A."]}, **THIRDS))


def test_unknown_patient_is_refused(paired, image, capsys):
    line = refusal_of(capsys, lambda: paired([image("i1", "s1", None)], {"s1": ["A."]}))
    assert "image i1 has no patient_id" in line


def test_no_images_are_refused(paired, capsys):
    assert "no image was converted" in refusal_of(capsys, lambda: paired([], {"s1": ["A."]}))


def test_unknown_name_of_a_distributed_split(paired, image, capsys):
    images = [image("i1", "s1", "p1", split="holdout")]
    assert "split 'holdout'" in refusal_of(capsys, lambda: paired(images, {"s1": ["A."]}))
