"""mlip new-dataset on labels by row, lists of findings, words for none, and boxes: a run reads what was meant."""

import pytest

from stages.commands.label_guess import is_normal
from stages.commands.said_of_table import Labels, said
from stages.commands.table_guess import guess_table
from stages.label_images.label_tables import read_labels

NUMBER = 60
FILES = [f"images/{number}.png" for number in range(NUMBER)]
WORDS = ["Edema", "Pleural Effusion", "Mass"]


def boxes_of(written) -> dict[str, int]:
    table = read_labels(written.root, written.config.settings("label_images", written.name))
    return {image: sum(len(each.boxes) for each in label.findings.values()) for image, label in table.labels.items()}


def by_row(cells: tuple[str, str], every: int = 1) -> list[list[str]]:
    """Rows of image, finding, yes or no: image 1 has an edema, image 2 an effusion; only `every` such row is there."""
    return [[file, word, cells[number % 3 == place]] for number, file in enumerate(FILES)
            for place, word in enumerate(WORDS) if (number + place) % every == 0]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "cells"),
    [
        (("finding", "present"), ("no", "yes")),
        (("pathology", "label"), ("0", "1")),
        (("observation", "Is_Positive"), ("False", "True")),
        (("class_name", "pneumo_expert"), ("absent", "present")),
    ],
)
@pytest.mark.parametrize("every", [1, 2])
def test_a_row_per_image_and_finding(made, names, cells, every):
    rows = by_row(cells, every)
    written = made(["image", *names], rows)
    assert written.labels["columns"] == {"image": "image", "findings": names[0], "target": names[1]}
    assert set(written.labels["findings"].values()) == set(WORDS)
    given = {(file, word): int(cell == cells[1]) for file, word, cell in rows}
    read = written.targets()
    assert given == {(file, written.labels["findings"][name]): target
                    for file, each in read.items() for name, target in each.items()}  # fmt: skip
    assert f"labelled row by row in {names[1]}: present " in written.said
    assert "name an image again" not in written.said
    assert "not read" not in written.said


def test_rows_by_finding_with_uncertain_blank_boxes_and_readers(made):
    rows = []
    for number, file in enumerate(FILES):
        for place, word in enumerate(WORDS):
            cell = "1" if number % 3 == place else ["0", "-1", ""][number // 3 % 3]
            box = [2, 3, 10 + place, 12] if cell == "1" else [""] * 4
            rows += [[file, reader, word, cell, *box] for reader in "ab"]
    written = made(["image", "reader", "finding", "present", "x", "y", "w", "h"], rows)
    assert written.labels["uncertain_values"] == ["-1"]
    assert written.labels["readers"]["column"] == "reader"
    assert written.targets()[FILES[0]] == {"edema": 1, "pleural_effusion": 0, "mass": 0}
    assert set(boxes_of(written).values()) == {1}
    assert "zeros, ones or ignore is your choice" in written.said


def test_no_finding_beside_a_finding_in_rows_is_no_word_for_none(made):
    """Write labels as CheXpert's columns become rows: `No Finding` leaves support devices out."""
    rows = [[file, word, cell] for number, file in enumerate(FILES)
            for word, cell in (("No Finding", int(number % 2)), ("Edema", int(not number % 2)), ("Fracture", ""),
                               ("Support Devices", int(not number % 3)))]  # fmt: skip
    written = made(["image", "finding", "value"], rows)
    assert written.labels["normal_values"] == []
    assert list(written.labels["findings"]) == ["edema", "support_devices"]
    assert written.targets()[FILES[3]] == {"edema": 0, "support_devices": 1}
    assert "No Finding: beside findings, too" in written.said


def test_rows_that_contradict_each_other_are_counted(made, tmp_path):
    with pytest.raises(AssertionError, match="mass is present, but absent in a row before"):
        made(["image", "finding", "present"], [*by_row(("0", "1")), [FILES[0], "Mass", "1"]])
    guess = guess_table(tmp_path / "ours" / "t.csv", tmp_path / "ours")
    assert guess.listed is not None
    assert guess.listed.clashes == 1
    said_of = said(guess, Labels(listed=guess.listed, words=tuple(guess.listed.words)), tmp_path / "ours")
    assert any("1 findings are affirmed and denied in one image, which a run refuses" in line for line in said_of)


@pytest.mark.parametrize(
    ("names", "row", "target"),
    [
        (("class", "Target"), lambda number: ["Opacity" if number % 2 else "Normal", number % 2], "Target"),
        (("side", "mass"), lambda number: ["left" if number % 2 else "right", number % 2], "mass"),
    ],
)
def test_yes_and_no_of_an_image_stays_its_label(made, names, row, target):
    """Write labels as RSNA, and with a column of words that are no findings."""
    written = made(["file", *names], [[file, *row(number)] for number, file in enumerate(FILES)])
    assert written.labels["columns"]["target"] == target
    assert "findings" not in written.labels


def test_how_a_finding_looks_is_no_label(made):
    rows = [[file, word, (number + place) % 2] for number, file in enumerate(FILES)
            for place, word in enumerate(WORDS) if (number + place) % 3]  # fmt: skip
    written = made(["image", "finding", "severe"], rows)
    assert written.labels["columns"] == {"image": "image", "findings": "finding"}
    assert "no finding   severe: by name about how a finding looks" in written.said


@pytest.mark.parametrize("none", ["[]", "", "nan", "[[]]"])
@pytest.mark.parametrize(
    ("cell", "count"),
    [
        ("[[3, 4, 20, 30]]", 1),
        ("[3, 4, 20, 30]", 1),
        ("[(3.5, 4.0, 20.0, 30.0), (5, 6, 7, 8)]", 2),
        ("[[1, 2, 3, 4],[5, 6, 7, 8]]", 2),
        ("[[ 1.  2. 13. 14.]\n [ 5.  6.  7.  8.]]", 2),
        ("[[0.1, 0.2, 1e-01, 0.25]]", 1),
    ],
)
def test_boxes_as_python_and_numpy_write_them(made, cell, count, none):
    rows = [[file, number % 2, cell if number % 2 else none] for number, file in enumerate(FILES)]
    written = made(["file", "mass", "boxes"], rows)
    assert written.labels["columns"] == {"image": "file", "target": "mass", "boxes": "boxes"}
    assert written.labels.get("boxes_size") == ([1, 1] if "0.1" in cell else None)
    assert [boxes_of(written)[file] for file in FILES[:2]] == [0, count]
    assert "boxes        boxes (x y width height" in written.said
    assert "lists findings, too" not in written.said
    assert "not read" not in written.said


def test_lists_of_boxes_that_outline_no_finding_are_no_findings(made):
    cells = ["[[3, 4, 20, 30]]", "[]"]
    written = made(["file", "mass", "lung_boxes"], [[file, n % 2, cells[n % 2]] for n, file in enumerate(FILES)])
    assert "not read     lung_boxes" in written.said
    assert "lists findings, too" not in written.said


@pytest.mark.parametrize(
    "both", ["['Edema' 'Pleural Effusion']", "['Edema'\n 'Pleural Effusion']", "['Edema', 'Pleural Effusion']"]
)
@pytest.mark.parametrize("none", ["[]", "['No Finding']", "['none']"])
def test_lists_as_numpy_and_python_write_them(made, both, none):
    rows = [[file, [none, both, "['Edema']"][number % 3]] for number, file in enumerate(FILES)]
    written = made(["file", "tags"], rows)
    assert written.labels["findings"] == {"edema": "Edema", "pleural_effusion": "Pleural Effusion"}
    assert [tuple(written.targets()[file].values()) for file in FILES[:3]] == [(0, 0), (1, 1), (1, 0)]


NORMAL = ["none", "None", "-", "normal", "No Finding", "no_findings", "NoFinding", "Healthy", "negative", "NORMAL CXR"]


@pytest.mark.parametrize("none", NORMAL)
@pytest.mark.parametrize("both", ["Edema|Effusion", "Edema;Effusion", "Edema, Effusion"])
def test_words_for_none_are_no_findings(made, none, both):
    rows = [[file, [none, both, "Edema"][number % 3]] for number, file in enumerate(FILES)]
    written = made(["file", "labels"], rows)
    assert written.labels["findings"] == {"edema": "Edema", "effusion": "Effusion"}
    assert written.labels["normal_values"] == [none]
    assert [tuple(written.targets()[file].values()) for file in FILES[:3]] == [(0, 0), (1, 1), (1, 0)]
    assert f"; for none: {none}" in written.said


def test_words_for_none_beside_findings_are_read_where_they_stand_alone(made):
    cells = ["none|none", "Edema|none", "Edema|Effusion"]
    written = made(["file", "labels"], [[file, cells[number % 3]] for number, file in enumerate(FILES)])
    assert written.labels["findings"] == {"edema": "Edema", "effusion": "Effusion"}
    assert (written.labels["normal_values"], written.labels["negative_values"]) == ([], ["none|none"])
    assert [tuple(written.targets()[file].values()) for file in FILES[:3]] == [(0, 0), (1, 0), (1, 1)]


def test_missing_cells_are_neither_findings_nor_none(made):
    cells = ["nan", "Edema", "Effusion", "n/a", "normal"]
    written = made(["file", "label"], [[file, cells[number % 5]] for number, file in enumerate(FILES)])
    assert list(written.labels["findings"]) == ["edema", "effusion"]
    assert written.labels["normal_values"] == ["normal"]
    assert FILES[0] not in written.targets()


@pytest.mark.parametrize("word", ["No Lung Opacity", "abnormal", "Normal pressure hydrocephalus", "nan", "Nodule"])
def test_other_words_are_not_for_none(word):
    assert not is_normal(word)


@pytest.mark.parametrize("form", ["columns", "corners", "text", "lists"])
def test_the_finding_with_the_most_boxes_is_segmented(made, form):
    """Edema has most rows, mass most boxes."""
    box = {"columns": [2, 3, 10, 12], "corners": [2, 3, 12, 15], "text": ["2 3 10 12"], "lists": ["[[2, 3, 10, 12]]"]}
    two = {"text": ["2 3 10 12; 5 5 6 6"], "lists": ["[[2, 3, 10, 12], [5, 5, 6, 6]]"]}
    names = {"columns": ["x", "y", "w", "h"], "corners": ["x1", "y1", "x2", "y2"]}.get(form, ["boxes"])
    rows = []
    for number, file in enumerate(FILES):
        if number % 5 < 2:
            rows.append([file, "Lung Mass", *two.get(form, box[form])])
            rows += [[file, "Lung Mass", *(5, 5, 16, 16)]] if form not in two else []
        elif number % 5 == 2:
            rows.append([file, "normal", *["" for _ in names]])
        else:
            rows += [[file, "Edema", *box[form]], [file, "Fracture", *["" for _ in names]]]
    written = made(["file", "label", *names], rows)
    assert written.data["few_shot_segmentation"] == {"finding": "lung_mass"}
    assert written.config.settings("few_shot_segmentation", written.name).finding == "lung_mass"
    assert "few_shot_segmentation" not in written.config.not_measured(written.name)
    line = "segmented    Lung Mass, which has the most boxes or masks (48): to change it, set `few_shot_segmentation."
    assert line in written.said


def test_one_finding_with_boxes_needs_no_choice(made):
    rows = [[file, *([["normal", ""], ["Mass", "2 3 10 12"], ["Edema", ""]][number % 3])]
            for number, file in enumerate(FILES)]  # fmt: skip
    written = made(["file", "label", "boxes"], rows)
    assert "few_shot_segmentation" not in written.data
    assert "segmented" not in written.said
