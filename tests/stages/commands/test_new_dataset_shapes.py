"""mlip new-dataset on tables in the shapes of public sets and of hospitals: the labels that a run reads from each."""

import pytest

NUMBER = 60
FILES = [f"images/{number}.png" for number in range(NUMBER)]


def test_one_row_per_box_with_corners_and_names_of_files(made):
    """As VinDr-CXR."""
    files, rows = [f"train/{number:04}a.png" for number in range(NUMBER)], []
    for number in range(NUMBER):
        name = f"{number:04}a"
        rows += {0: [[name, "Pleural effusion", 1, 2, 20, 30], [name, "Cardiomegaly", 3, 4, 20, 30.5]],
                 1: [[name, "Pleural effusion", 1, 2, 20, 30]],
                 2: [[name, "No finding", "", "", "", ""]]}[number % 3]  # fmt: skip
    written = made(["image_id", "class_name", "x_min", "y_min", "x_max", "y_max"], rows, files)
    assert written.data["index_inputs"]["find_images_in"] == "."
    assert written.labels["findings"] == {"pleural_effusion": "Pleural effusion", "cardiomegaly": "Cardiomegaly"}
    assert written.labels["boxes_form"] == "xyxy"
    assert written.labels["normal_values"] == ["No finding"]
    assert written.targets()["0000a"] == {"pleural_effusion": 1, "cardiomegaly": 1}
    assert written.targets()["0002a"] == {"pleural_effusion": 0, "cardiomegaly": 0}
    assert not {"few_shot_segmentation", "phrase_grounding"} & set(written.config.not_measured(written.name))


def test_boxes_with_the_size_of_their_image(made):
    """As MS-CXR."""
    rows = [[file, ["Pneumonia", "Edema"][number % 2], 5, 6, 10, 12, 320, 400] for number, file in enumerate(FILES)]
    written = made(["path", "category_name", "x", "y", "w", "h", "image_width", "image_height"], rows)
    assert written.labels["columns"] == {
        "image": "path", "findings": "category_name", "boxes": ["x", "y", "w", "h"],
        "boxes_size": ["image_width", "image_height"]}  # fmt: skip


@pytest.mark.parametrize("unit", [1, 10])
def test_several_boxes_of_one_finding_as_shares_or_pixels(made, unit):
    box = [0.1 * unit, 0.2 * unit, 0.3 * unit, 0.4 * unit]
    rows = [[file, 1 if number % 3 else 0, *(box if number % 3 else [""] * 4)] for number, file in enumerate(FILES)]
    rows += [[file, 1, *(number / 2 for number in box)] for number, file in enumerate(FILES) if number % 3]
    written = made(["img", "Mass", "bbox_x", "bbox_y", "bbox_width", "bbox_height"], rows)
    assert written.labels.get("boxes_size") == ([1, 1] if unit == 1 else None)
    assert written.labels["columns"]["boxes"] == ["bbox_x", "bbox_y", "bbox_width", "bbox_height"]


def test_patients_and_studies_within_paths_and_uncertain_labels(made):
    """As CheXpert, whose paths begin with the folder of the table."""
    files = [f"small/train/patient{number // 2:05}/study{number % 2 + 1}/view1.png" for number in range(NUMBER)]
    values = ["1.0", "0.0", "-1.0", ""]
    rows = [[file, "Frontal", "AP" if number % 2 else "PA", values[number % 4], values[number // 4 % 4], ""]
            for number, file in enumerate(files)]  # fmt: skip
    header = ["Path", "Frontal/Lateral", "AP/PA", "Edema", "Lung Opacity", "Fracture"]
    written = made(header, rows, files, place="small/train.csv")
    assert written.data["index_inputs"]["table"] == "small/train.csv"
    assert written.columns["view"] == ["Frontal/Lateral", "AP/PA"]
    index = written.index().files
    assert index["patient_id"].n_unique() == NUMBER // 2
    assert index["study_id"].to_list()[:2] == ["patient00000/study1", "patient00000/study2"]
    values = {key: each for key, each in written.labels.items() if key.endswith("_values")}
    assert values == {"positive_values": ["1.0"], "negative_values": ["0.0"], "uncertain_values": ["-1.0"]}
    assert "zeros, ones or ignore is your choice" in written.said
    assert 'if it means absent, add "" to negative_values' in written.said
    assert "not read     Fracture" in written.said


@pytest.mark.parametrize(
    ("form", "separator"),
    [("{0}|{1}", None), ("{0};{1}", ";"), ("{0}, {1}", ","), ("['{0}', '{1}']", None), ("[{0},{1}]", None)],
)
def test_a_column_that_lists_findings_in_any_form(made, form, separator):
    both, none = form.format("Pleural Effusion", "Mass"), "['normal']" if form.startswith("[") else "normal"
    rows = [[file, f"p{number}", both if number % 3 else none] for number, file in enumerate(FILES)]
    written = made(["image", "Patient ID", "Labels"], rows)
    assert written.labels["findings"] == {"pleural_effusion": "Pleural Effusion", "mass": "Mass"}
    assert written.labels["normal_values"] == ["normal"]
    assert written.labels.get("findings_separator") in (separator, "," if form.startswith("[") else separator)
    assert written.targets()[FILES[0]] == {"pleural_effusion": 0, "mass": 0}
    assert written.targets()[FILES[1]] == {"pleural_effusion": 1, "mass": 1}


def test_a_class_per_image(made):
    rows = [[file, ["Normal", "COVID-19", "Pneumonia", "Pneumonia"][number % 4]] for number, file in enumerate(FILES)]
    written = made(["file", "label"], rows)
    assert list(written.labels["findings"].items()) == [("pneumonia", "Pneumonia"), ("covid_19", "COVID-19")]
    assert written.targets()[FILES[0]] == {"pneumonia": 0, "covid_19": 0}


@pytest.mark.parametrize(
    ("columns", "language"), [(("findings", "impression"), None), (("Befund", "Beurteilung"), "german")]
)
def test_reports_in_two_columns(made, columns, language):
    rows = [[file, f"p{number}", f"Clear lungs, number {number}, no effusion.", "Normal."]
            for number, file in enumerate(FILES)]  # fmt: skip
    written = made(["file", "patient", *columns], rows)
    assert written.columns["report"] == {"findings": columns[0], "impression": columns[1]}
    assert written.data.get("split_reports", {}).get("language") == language
    assert written.index().reports["text"][0] == "FINDINGS: Clear lungs, number 0, no effusion.\n\nIMPRESSION: Normal."


@pytest.mark.parametrize(
    ("cells", "keys"),
    [
        (["MONOCHROME1", "MONOCHROME2"], {}),
        (["True", "False"], {}),
        (["ja", "nein"], {"inverted_values": ["ja"], "upright_values": ["nein"]}),
    ],
)
def test_inverted_images(made, cells, keys):
    name = "PhotometricInterpretation_DICOM" if cells[0].startswith("M") else "inverted"
    rows = [[file, cells[number % 2], number // 2 % 2] for number, file in enumerate(FILES)]
    written = made(["file", name, "mass"], rows)
    assert written.columns["inverted"] == name
    assert {key: each for key, each in written.data["index_inputs"].items() if key.endswith("_values")} == keys
    assert written.index().files["inverted"].to_list()[:2] == [True, False]
    assert written.labels["finding"] == "mass"


PARTS = ["train", "train", "train", "val", "test"]


@pytest.mark.parametrize("kind", ["reports", "labels", "two parts", "divided"])
def test_a_split_is_followed_where_it_can_be(made, kind):
    parts = ["train", "test"] if kind == "two parts" else PARTS
    rows = [[file, f"p{number // 5 if kind == 'divided' else number}", f"The lungs are clear, number {number}.",
             number // 5 % 2, parts[number % len(parts)]] for number, file in enumerate(FILES)]  # fmt: skip
    header = ["file", "patient", "report", "effusion", "split"]
    keep = [0, 1, 2, 3, 4] if kind in ("reports", "divided") else [0, 3, 4]
    written = made([header[place] for place in keep], [[row[place] for place in keep] for row in rows])
    assert ("split" in written.columns) == (kind == "reports")
    assert ("split_lists" in written.labels) == (kind == "labels")
    assert ("not used: rows 2 and 5 are one patient in two parts" in written.said) == (kind == "divided")
    assert ("a split of their own needs train, validation and test" in written.said) == (kind == "two parts")


def test_a_table_of_windows_with_odd_names(made):
    names = ["Pleuraerguss/\u00d6dem", "Rundherde \u00fc", "", "leer"]
    rows = [[file, "ja" if number % 3 else "nein", "ja" if number % 2 else "nein", number, ""]
            for number, file in enumerate(FILES)]  # fmt: skip
    written = made(["Datei", *names], rows, separator=";", encoding="utf-8-sig", end="\r\n")
    assert list(written.labels["findings"]) == ["pleuraerguss_odem", "rundherde_u"]
    assert "not read     a column without name, leer" in written.said


def test_two_columns_with_the_images_are_no_masks(made):
    rows = [[file, file, number % 2, "a", "b"] for number, file in enumerate(FILES)]
    written = made(["path", "file", "mass", "twice", "twice"], rows)
    assert written.labels["columns"] == {"image": "path", "target": "mass"}


@pytest.mark.parametrize("cells", [("0.0", "1.0"), ("False", "True"), ("no", "yes"), ("nein", "ja"), ("0", "1")])
def test_every_yes_and_no(made, cells):
    rows = [[file, cells[number % 2]] for number, file in enumerate(FILES)]
    written = made(["file", "mass"], rows)
    assert [written.targets()[file]["mass"] for file in FILES[:2]] == [0, 1]


def test_one_column(made):
    assert made(["image"], [[file] for file in FILES]).block["evaluate_on"] == []


@pytest.mark.parametrize(
    ("name", "about"),
    [
        ("visit", "studies"),
        ("followup_visit", "studies"),
        ("fold", "a split"),
        ("view", "views"),
        ("reviewed", "technique or checks"),
        ("qc_pass", "technique or checks"),
        ("QCPassed", "technique or checks"),
        ("contrast_given", "technique or checks"),
        ("age_group", "patients"),
    ],
)
def test_yes_and_no_about_something_else_is_told(made, name, about):
    rows = [[file, number % 2, number // 2 % 2] for number, file in enumerate(FILES)]
    written = made(["file", name, "mass"], rows)
    assert written.labels["finding"] == "mass"
    assert f"no finding   {name}: by name about {about}" in written.said
    assert "not read" not in written.said


@pytest.mark.parametrize("name", ["exam", "Study", "visit_number", "ExamNo"])
@pytest.mark.parametrize("least", [0, 1, 7])
def test_exams_numbered_by_patient_are_studies_with_it(made, name, least):
    """Two images of each exam, three exams of each patient: 0 and 1 are no finding either."""
    exams = 2 if least < 2 else 3
    rows = [[file, f"p{number // (2 * exams)}", number // 2 % exams + least, f"The lungs clear, {number // 2}.",
             number // 7 % 2] for number, file in enumerate(FILES)]  # fmt: skip
    written = made(["file", "patient", name, "report", "mass"], rows)
    assert written.columns["study"] == ["patient", name]
    assert f"studies      patient, {name}" in written.said
    assert "no finding" not in written.said
    assert written.labels["finding"] == "mass"
    assert written.index().files["study_id"].n_unique() == NUMBER // 2


def test_exams_that_tell_no_studies_apart_are_told(made):
    rows = [[file, f"p{number // 4}", number % 2, f"The lungs are clear, number {number}."]
            for number, file in enumerate(FILES)]  # fmt: skip
    written = made(["file", "patient", "exam", "report"], rows)
    assert "study" not in written.columns
    assert "no studies   row 2 and others have the same patient and exam, but different reports" in written.said
    assert written.index().files["study_id"].n_unique() == NUMBER


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize(
    ("name", "alone", "agree"),
    [("rad_id", False, 2), ("Reader", False, 2), ("annotatorID", True, 1), ("rater", False, 2)],
)
def test_readers_agree_by_vote(made, name, alone, agree, listed):
    """As VinDr-CXR: of three readers, two see the mass of every second image; `alone` leaves the last image one."""
    words = ["Mass", "No finding"] if listed else [1, 0]
    rows = [[file, f"R{reader}", words[number % 2 if reader < 2 else 1], *([2, 3, 10 + reader, 12] if reader < 2 and not
             number % 2 else [""] * 4)] for number, file in enumerate(FILES) for reader in range(3)]  # fmt: skip
    rows = rows[:-2] if alone else rows
    written = made(["image", name, "class_name" if listed else "mass", "x", "y", "w", "h"], rows)
    assert written.labels["readers"] == {"column": name, "agree": agree, "iou": 0.4}
    assert f"readers      {name}: present where {'one' if alone else 2} of an image's readers" in written.said
    assert [written.targets()[file]["mass"] for file in FILES[:2]] == [1, 0]
    assert "name an image again" not in written.said


def test_a_reader_of_one_row_each_is_not_read(made):
    written = made(["image", "rad_id", "mass"], [[file, number % 3, number % 2] for number, file in enumerate(FILES)])
    assert "readers" not in written.labels
    assert "not read     rad_id" in written.said


def test_readers_of_several_columns_agree_by_vote(made):
    rows = [[file, reader, number % 2, reader % 2] for number, file in enumerate(FILES) for reader in range(3)]
    written = made(["image", "radiologist", "mass", "edema"], rows)
    assert written.labels["readers"]["column"] == "radiologist"
    assert written.targets()[FILES[1]] == {"mass": 1, "edema": 0}


@pytest.mark.parametrize(("name", "again"), [("", ["mass"]), ("", ["mass", ""]), ("file", ["mass", "file"])])
def test_an_image_column_without_a_name_of_its_own_is_one_line(made, tmp_path, capsys, name, again):
    rows = [[file, number % 2, file][: 1 + len(again)] for number, file in enumerate(FILES)]
    with pytest.raises(SystemExit, match="2"):
        made([name, *again], rows)
    said = capsys.readouterr().err
    assert ("has no name in the header" if len(again) == 1 else "several columns are named") in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_named_image_column_goes_before_an_index_of_pandas(made):
    written = made(["", "file", "mass"], [[file, file, number % 2] for number, file in enumerate(FILES)])
    assert written.labels["columns"]["image"] == "file"
    assert "not read     a column without name" in written.said


def test_reports_without_a_name_are_not_read(made):
    rows = [[file, f"p{number}", f"The lungs are clear, number {number}."] for number, file in enumerate(FILES)]
    written = made(["file", "patient", ""], rows)
    assert "report" not in written.columns
    assert "not read     a column without name" in written.said


def test_names_of_several_columns_are_told(made):
    rows = [[file, number % 2, "a", "b", 1, 2] for number, file in enumerate(FILES)]
    written = made(["file", "mass", "age", "age ", "", ""], rows)
    assert "not read     2 columns named age: rename all but one" in written.said
    assert "not read     2 columns without name: rename all but one" in written.said


@pytest.mark.parametrize("blank", ["", "nan", "NaN", "None"])
@pytest.mark.parametrize(
    ("names", "form"),
    [("x y w h", None), ("x y x2 y2", "xyxy"), ("x1 y1 x2 y2", "xyxy"), ("bbox_x bbox_y bbox_x2 bbox_y2", "xyxy"),
     ("bbox", None)],
)  # fmt: skip
def test_boxes_beside_cells_without(made, names, form, blank):
    names = names.split()
    box = [2, 3, 12, 14] if len(names) == 4 else ["2 3 12 14"]
    rows = [[file, number % 2, *(box if number % 2 else [blank] * len(names))] for number, file in enumerate(FILES)]
    written = made(["file", "mass", *names], rows)
    assert written.labels["columns"]["boxes"] == (names if len(names) == 4 else "bbox")
    assert written.labels.get("boxes_form") == form
    assert "not read" not in written.said


@pytest.mark.parametrize(
    ("names", "empty"),
    [
        ("x y w h", "0 0 0 0"),
        ("x y x2 y2", "0 0 0 0"),
        ("x y w h", "-1 -1 -1 -1"),
        ("x_min y_min x_max y_max", "9 9 4 4"),
    ],
)
def test_boxes_that_a_run_refuses_are_told_and_not_written(made, names, empty):
    rows = [[file, number % 2, *([2, 3, 12, 14] if number % 2 else empty.split())] for number, file in enumerate(FILES)]
    written = made(["file", "mass", *names.split()], rows)
    assert written.labels["columns"] == {"image": "file", "target": "mass"}
    assert f"no boxes     {', '.join(names.split())}: row 2: box {empty} " in written.said
    assert "(30 such rows), which label_images refuses: clear the cells where there is no box" in written.said


@pytest.mark.parametrize("name", ["Hospital-acquired Pneumonia", "Patient has pneumonia", "Bilateral Edema"])
def test_findings_with_words_of_other_columns_stay_findings(made, name):
    written = made(["file", "patient", name], [[file, f"p{n}", n % 2] for n, file in enumerate(FILES)])
    assert written.labels["columns"]["target"] == name
    assert "no finding" not in written.said


def test_absolute_paths_are_refused_where_the_readers_would_refuse_them(made, tmp_path, capsys):
    rows = [[str(tmp_path / "ours" / file), number % 2] for number, file in enumerate(FILES)]
    with pytest.raises(SystemExit, match="2"):
        made(["image", "mass"], rows)
    assert "image holds absolute paths" in capsys.readouterr().err
