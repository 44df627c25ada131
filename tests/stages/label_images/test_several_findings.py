"""Several findings a data set: a column each, a column that lists them, one row a finding; and their splits."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.common.errors import InputError
from stages.common.settings import validating
from stages.label_images.contract import LabelImagesSettings, SplitShares
from stages.label_images.label_split import assign_splits, assign_subsets
from stages.label_images.listed_labels import words_in

NAMES = [f"x{number}.png" for number in range(12)]
BASE = {"layout": "folder", "table": "t.csv", "identifiers": "distributed", "split": {"train": 0.5, "validation": 0.25,
        "test": 0.25}, "subsets": [100]}  # fmt: skip


def wide(**more) -> dict:
    found = {"effusion": "Pleural Effusion", "edema": {"target": "Edema"}}
    return BASE | {"columns": {"image": "file"}, "findings": found} | more


def listed(columns: dict | None = None, **more) -> dict:
    found = {"effusion": "Effusion", "edema": "Edema"}
    return BASE | {"columns": {"image": "file", "findings": "labels"} | (columns or {}), "findings": found} | more


def targets(result) -> dict[str, dict[str, int]]:
    found = defaultdict(dict)
    for row in result.rows:
        found[row["image_id"]][row["finding"]] = row["target"]
    return dict(found)


def cells(*values: tuple[str, str]) -> list[list[str]]:
    """Give the first images these cells, and the others none of the findings."""
    rest = [("0", "0")] * (len(NAMES) - len(values))
    return [["file", "Pleural Effusion", "Edema"], *([name, *both] for name, both in zip(NAMES, [*values, *rest]))]  # noqa: B905


def test_a_finding_whose_boxes_are_all_blank_is_named(labelled, tmp_path, write_csv, capsys):
    header, *rows = cells(("1", "0"), ("1", "1"), ("1", "1"), ("1", "0"))
    table = [[*header, "a", "b"], *([*row, "1 1 2 2" if row[1] == "1" else "", ""] for row in rows)]
    write_csv(tmp_path / "t.csv", table)
    found = {"effusion": {"target": "Pleural Effusion", "boxes": "a"}, "edema": {"target": "Edema", "boxes": "b"}}
    labelled(tmp_path, wide(findings=found), dict.fromkeys(NAMES))
    said = capsys.readouterr().err
    assert "`b` (findings.edema.boxes) has no value in any labelled image, so nothing of edema can be segmented" in said
    assert "findings.effusion.boxes" not in said


def test_a_column_per_finding_with_yes_no_and_unknown(labelled, tmp_path, write_csv):
    write_csv(tmp_path / "t.csv", cells(("1", "0"), ("1", "1"), ("", "1"), ("0", ""), ("", "")))
    result = labelled(tmp_path, wide(), dict.fromkeys(NAMES))
    found = targets(result)
    assert found["x0.png"] == {"effusion": 1, "edema": 0}
    assert found["x1.png"] == {"effusion": 1, "edema": 1}
    assert found["x2.png"] == {"edema": 1}
    assert found["x3.png"] == {"effusion": 0}
    assert "x4.png" not in found
    card = result.card
    assert (card["images"], card["labelled"], card["positives"]) == (12, 11, 3)
    assert card["rejects"]["blank_label"] == {"count": 1, "first": ["x4.png"], "reasons": {}}
    assert {name: (each["labelled"], each["positives"]) for name, each in card["findings"].items()} == {
        "effusion": (10, 2), "edema": (10, 2)}  # fmt: skip
    parts = {row["image_id"]: (row["split"], row["subset"]) for row in result.rows}
    assert all((row["split"], row["subset"]) == parts[row["image_id"]] for row in result.rows)
    for part in ("train", "validation", "test"):
        images = {row["image_id"] for row in result.rows if row["split"] == part}
        assert card["splits"][part]["images"] == len(images)
        for finding, each in card["findings"].items():
            own = [row["target"] for row in result.rows if (row["split"], row["finding"]) == (part, finding)]
            assert each["splits"][part] == {"images": len(own), "positives": sum(own)}


@pytest.mark.parametrize(
    ("policy", "effusion", "edema"),
    [({}, None, None), ({"uncertain": "zeros"}, 0, 0), ({"uncertain": "ones"}, 1, 1),
     ({"uncertain": "ones", "findings": {"effusion": "Pleural Effusion",
                                         "edema": {"target": "Edema", "uncertain": "zeros"}}}, 1, 0)],
)  # fmt: skip
def test_uncertain_labels_follow_the_policy_and_are_counted(labelled, tmp_path, write_csv, policy, effusion, edema):
    write_csv(tmp_path / "t.csv", cells(("-1", "-1"), ("1", "0"), ("1", "1"), ("0", "1")))
    result = labelled(tmp_path, wide(uncertain_values=["-1"], **policy), dict.fromkeys(NAMES))
    known = {"effusion": effusion, "edema": edema}
    assert targets(result).get("x0.png", {}) == {name: each for name, each in known.items() if each is not None}
    for name, each in result.card["findings"].items():
        assert each["uncertain"] == 1
        assert each["uncertain_as"] == policy.get("uncertain", "ignore") or name == "edema"
    assert result.card["rejects"]["unlabelled"]["count"] == (0 if policy else 1)


@pytest.mark.parametrize(
    "form", ["{0}|{1}", "['{0}', '{1}']", '["{0}", "{1}"]', "[{0}, {1}]", "[ '{0}',{1} ]", " {0} | {1} ", "{1}|{0}|{0}"]
)
def test_a_column_that_lists_the_findings(labelled, tmp_path, write_csv, form):
    both = form.format("Effusion", "Edema")
    words = [both, "Edema", "Effusion|Hernia", "No Finding", ""]
    rows = [[name, word] for name, word in zip(NAMES, [*words, *["No Finding"] * 7], strict=True)]
    write_csv(tmp_path / "t.csv", [["file", "labels"], *rows])
    found = targets(labelled(tmp_path, listed(), dict.fromkeys(NAMES)))
    assert found["x0.png"] == {"effusion": 1, "edema": 1}
    assert found["x1.png"] == {"effusion": 0, "edema": 1}
    assert found["x2.png"] == {"effusion": 1, "edema": 0}
    assert found["x3.png"] == {"effusion": 0, "edema": 0}
    assert "x4.png" not in found


def test_one_row_a_finding_with_its_boxes(labelled, tmp_path, write_csv):
    rows = [["x0.png", "Effusion", "1 2 3 4"], ["x0.png", "Edema", "5 6 7 8"], ["x0.png", "Effusion", "9 9 1 1"],
            ["x1.png", "Edema", ""], ["x2.png", "Effusion", ""], ["x2.png", "Hernia", "1 1 1 1"]]  # fmt: skip
    rows += [[name, "No Finding", ""] for name in NAMES[3:]]
    write_csv(tmp_path / "t.csv", [["file", "labels", "boxes"], *rows])
    result = labelled(tmp_path, listed({"boxes": "boxes"}), dict.fromkeys(NAMES))
    boxes = {(row["image_id"], row["finding"]): row["boxes"] for row in result.rows if row["boxes"]}
    assert boxes == {("x0.png", "effusion"): [[1, 2, 3, 4], [9, 9, 1, 1]], ("x0.png", "edema"): [[5, 6, 7, 8]]}
    assert targets(result)["x2.png"] == {"effusion": 1, "edema": 0}
    assert result.card["findings"]["effusion"]["boxes"] == 2


def test_one_row_a_finding_with_a_value_leaves_the_others_unknown(labelled, tmp_path, write_csv):
    rows = [["x0.png", "Effusion", "1"], ["x0.png", "Edema", "0"], ["x1.png", "Effusion", "0"]]
    rows += [[name, word, "0"] for name in NAMES[2:] for word in ("Effusion",)] + [["x5.png", "Edema", "1"]]
    write_csv(tmp_path / "t.csv", [["file", "labels", "value"], *rows])
    found = targets(labelled(tmp_path, listed({"target": "value"}), dict.fromkeys(NAMES)))
    assert found["x0.png"] == {"effusion": 1, "edema": 0}
    assert found["x1.png"] == {"effusion": 0}
    assert found["x5.png"] == {"effusion": 0, "edema": 1}


REFUSED = [
    (["x0.png,Effusion,1", "x0.png,Effusion,0"], {"target": "value"}, "row 3: image x0.png: effusion is absent, but"),
    (["x0.png,Effusion|No Finding,"], {}, "row 2: image x0.png: effusion is present, but the image is said"),
    (["x0.png,No Finding,", "x0.png,Edema,"], {}, "row 3: image x0.png: edema is present, but"),
    (["x0.png,Effusion|Edema,1 1 1 1"], {"boxes": "value"}, "belongs to one finding, but the row has effusion, edema"),
    (["x0.png,Hernia|Mass,"], {}, "no row of labels has the word 'Effusion' of `findings.effusion`"),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "columns", "said"), REFUSED)
def test_contradictions_and_unknown_words_are_refused(refusal, tmp_path, rows, columns, said):
    (tmp_path / "t.csv").write_text("\n".join(["file,labels,value", *rows]))
    assert said in refusal(tmp_path, listed(columns), dict.fromkeys(NAMES))


def test_an_empty_column_is_refused_and_one_without_positives_warned_about(
    refusal, labelled, tmp_path, write_csv, capsys
):
    def write(edema: str) -> None:
        rows = [[name, str(number % 2), edema] for number, name in enumerate(NAMES)]
        write_csv(tmp_path / "t.csv", [["file", "Pleural Effusion", "Edema"], *rows])

    write("")
    line = refusal(tmp_path, wide(), dict.fromkeys(NAMES))
    assert "t.csv: Edema: no row has a label of it; correct `findings.edema`, or remove it" in line
    write("0")
    labelled(tmp_path, wide(), dict.fromkeys(NAMES))
    assert "edema is absent from every labelled image: nothing is measured on it" in capsys.readouterr().err


@pytest.mark.parametrize("cell", ["nan", "None", "N/A", ""])
def test_a_missing_list_is_no_label(labelled, tmp_path, write_csv, cell) -> None:
    words = [cell, "Effusion", "Edema", *["No Finding"] * 9]
    write_csv(tmp_path / "t.csv", [["file", "labels"], *map(list, zip(NAMES, words, strict=True))])
    result = labelled(tmp_path, listed(), dict.fromkeys(NAMES))
    assert "x0.png" not in targets(result)
    assert result.card["rejects"]["blank_label"]["count"] == 1


def test_a_list_may_be_uncertain_or_unlabelled_as_a_whole(labelled, tmp_path, write_csv) -> None:
    words = ["?", "bad", "Effusion", "Edema", *["No Finding"] * 8]
    write_csv(tmp_path / "t.csv", [["file", "labels"], *map(list, zip(NAMES, words, strict=True))])
    result = labelled(tmp_path, listed(uncertain_values=["?"], unlabelled_values=["bad"]), dict.fromkeys(NAMES))
    assert targets(result).keys() == set(NAMES[2:])
    assert result.card["rejects"]["unlabelled"]["count"] == 2
    assert [each["uncertain"] for each in result.card["findings"].values()] == [1, 1]


@pytest.mark.parametrize(("word", "more"), [("Effusion,Edema", {}), ("Effusion; Hernia", {}), ("Effusion|Edema",
                         {"findings_separator": ", "})])  # fmt: skip
def test_another_separator_is_refused(refusal, tmp_path, write_csv, word, more) -> None:
    rows = [["x0.png", "Effusion"], ["x1.png", "Edema"], ["x2.png", word]]
    write_csv(tmp_path / "t.csv", [["file", "labels"], *rows])
    line = refusal(tmp_path, listed(**more), dict.fromkeys(NAMES))
    assert f"row 4: image x2.png: {word!r} in labels is one word with the separator" in line


def test_rows_of_an_image_that_differ_in_licence_or_lungs_are_refused_and_blanks_filled(
    refusal, labelled, tmp_path, write_csv
) -> None:
    def write(*terms: str) -> None:
        rows = [["x0.png", "Effusion", terms[0]], ["x0.png", "Edema", terms[1]]]
        write_csv(
            tmp_path / "t.csv", [["file", "labels", "terms"], *rows, *([name, "No Finding", ""] for name in NAMES[1:])]
        )

    write("", "CC-BY")
    result = labelled(tmp_path, listed({"license": "terms"}), dict.fromkeys(NAMES))
    assert result.card["license"] == "by image: not stated: 11; CC-BY: 1"
    write("CC0", "CC-BY")
    assert "row 3: image x0.png: another licence than in a row before" in refusal(
        tmp_path, listed({"license": "terms"}), dict.fromkeys(NAMES))  # fmt: skip


def test_boxes_of_what_has_no_label_are_warned_about_and_repeated_ones_count_once(labelled, tmp_path, capsys) -> None:
    rows = ["x0.png,Effusion,1 2 3 4,1", "x0.png,Effusion,1 2 3 4,1", "x1.png,Edema,5 5 5 5,?", "x2.png,Edema,,1"]
    rows += [f"{name},Effusion|Edema,,0" for name in NAMES[3:]]
    (tmp_path / "t.csv").write_text("\n".join(["file,labels,boxes,value", *rows]))
    found = listed({"boxes": "boxes", "target": "value"}, uncertain_values=["?"])
    result = labelled(tmp_path, found, dict.fromkeys(NAMES))
    assert result.card["findings"]["effusion"]["boxes"] == 1
    assert "row 4: image x1.png: a box or mask of edema, which has no label there (1 such)" in capsys.readouterr().err


def test_a_finding_that_is_uncertain_everywhere_is_refused_unless_the_policy_labels_it(
    refusal, labelled, tmp_path, write_csv
):
    write_csv(tmp_path / "t.csv", [["file", "Pleural Effusion", "Edema"],
                                   *([name, str(number % 2), "-1"] for number, name in enumerate(NAMES))])  # fmt: skip
    line = refusal(tmp_path, wide(uncertain_values=["-1"]), dict.fromkeys(NAMES))
    assert "no image has a label of edema; it is uncertain in 12, which `uncertain: ignore` leaves out" in line
    zeros = {"effusion": "Pleural Effusion", "edema": {"target": "Edema", "uncertain": "zeros"}}
    labelled(tmp_path, wide(uncertain_values=["-1"], findings=zeros), dict.fromkeys(NAMES))


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        (wide(finding="edema"), "name either `finding`, or several `findings`"),
        (wide(findings=None), "name either `finding`, or several `findings`"),
        (wide(findings={"a b": "Edema"}), "'a b' is no name"),
        (wide(findings={"œdème": "Edema"}), "is no name"),
        (wide(findings={"a/b": "Edema"}), "is no name"),
        (wide(findings={"a": "Edema", "b": "Edema"}), "'Edema' is the target of two findings"),
        (wide(findings={name: {"target": name, "boxes": "z"} for name in "ab"}), "'z' is the boxes of two findings"),
        (listed(findings={"a": "No Finding"}), "'No Finding' stands in findings and in normal_values"),
        (wide(columns={"image": "file", "boxes": "boxes"}), "give target, boxes and mask there, not under `columns`"),
        (listed(findings={"a": {"target": "Edema", "mask": "mask"}}), "boxes and masks are those of a row"),
        ({"layout": "rsna", "findings": {"a": "b"}}, "layout `rsna` has one finding"),
        (listed(finding="a", findings=None), "`columns.findings` needs `findings`"),
        (wide(uncertain_values=["1"]), "'1' stands in positive_values and in uncertain_values"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_together(settings_, said):
    with pytest.raises(InputError) as error, validating("settings", LabelImagesSettings):
        LabelImagesSettings.model_validate(settings_)
    assert said in str(error.value)


@given(
    st.lists(st.text("abc déf'", min_size=1).map(str.strip).filter(lambda word: word and "'" not in word), max_size=5)
)
def test_words_of_a_cell_return_whatever_its_form(words):
    unique = list(dict.fromkeys(words))
    assert words_in("|".join(words), "|") == unique
    assert words_in(str(words), "|") == unique


@st.composite
def tables(draw) -> list[dict]:
    seed, images = draw(st.integers(0, 9999)), draw(st.integers(30, 150))
    generator = np.random.default_rng(seed)
    shares = draw(st.lists(st.sampled_from([0.02, 0.1, 0.3, 0.6]), min_size=1, max_size=6))
    found = generator.random((images, len(shares))) < shares
    found[0], found[1] = True, False
    patients = generator.integers(0, images // 2 + 1, images)
    return [
        {"image_id": f"i{image}", "patient_id": f"p{patients[image]}", "finding": f"f{number}",
         "target": int(found[image, number])}
        for image in range(images) for number in range(len(shares))
    ]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(tables())
def test_splits_keep_patients_whole_and_every_finding_in_every_part(rows):
    try:
        parts = assign_splits(rows, SplitShares(), seed=0)
    except InputError:  # every patient has a finding, or none
        return
    of_patient, positive = defaultdict(set), defaultdict(set)
    for row, part in zip(rows, parts, strict=True):
        of_patient[row["patient_id"]].add(part)
        if row["target"]:
            positive[row["finding"]].add(row["patient_id"])
    assert all(len(each) == 1 for each in of_patient.values())
    rarest = min(positive, key=lambda name: (len(positive[name]), name))
    own = Counter(next(iter(of_patient[patient])) for patient in positive[rarest])
    assert len(own) == min(3, len(positive[rarest]))
    subsets = assign_subsets(rows, parts, [1, 10, 100], seed=0)
    of_image = defaultdict(set)
    for row, subset in zip(rows, subsets, strict=True):
        of_image[row["image_id"]].add(subset)
    assert all(len(each) == 1 for each in of_image.values())
    trained = [(row, subset) for row, part, subset in zip(rows, parts, subsets, strict=True) if part == "train"]
    for finding in {row["finding"] for row, _ in trained if row["target"]}:
        assert any(row["target"] and subset == 1 for row, subset in trained if row["finding"] == finding)
