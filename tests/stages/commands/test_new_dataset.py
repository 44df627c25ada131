"""mlip new-dataset: what it reads off a table, and that a run takes what it writes."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
import yaml
from as_run import as_run

from stages.__main__ import main
from stages.commands.finding_prompts import finding_names, prompt_file
from stages.commands.label_guess import Boxes, listed_in
from stages.commands.table_guess import guess_table
from stages.common.data.prompts import read_prompts
from workflow.doctor.indexes import Indexes
from workflow.doctor.inputs import check_dataset
from workflow.doctor.labels import check_labels_of
from workflow.input_files import check_files

ROOT = Path(__file__).resolve().parents[3]
NUMBER = 200
Columns = dict[str, list[str]]


def columns(folder: str = "images/") -> Columns:
    """A table as hospitals export it; no column has the name that the settings give it."""
    odd = [bool(number % 2) for number in range(NUMBER)]
    return {
        "Row": [str(number) for number in range(NUMBER)],
        "Datei": [f"{folder}{number}.png" for number in range(NUMBER)],
        "PatientID": [f"p{number}" for number in range(NUMBER)],
        "PatientAge": ["60"] * NUMBER,
        "accession_number": [f"a{number}" for number in range(NUMBER)],
        "projection": ["AP SUPINE" if each else "PA" for each in odd],
        "Verlauf": ["x" * 5000] * NUMBER,  # no name of a file
        "Befund": ["FINDINGS: A large effusion, f\u00fcr Vergleich." if each else "FINDINGS: The lungs are clear."
                   for each in odd],
        "Pleural Effusion": ["Yes" if each else "No" for each in odd],
        "bbox": ["1 2 10 12; 20 20 5.5 6" if each else "" for each in odd],
    }  # fmt: skip


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """`written(columns, separator, encoding)`: images and a CSV of the table."""

    def write(table: Columns, name: str = "t.csv", separator: str = ",", encoding: str = "utf-8") -> Path:
        (tmp_path / "ours" / "images").mkdir(parents=True, exist_ok=True)
        for number in range(NUMBER):
            cv2.imwrite(str(tmp_path / "ours" / "images" / f"{number}.png"), np.full((40, 40), number, np.uint8))
        path = tmp_path / "ours" / name
        frame = pl.DataFrame(table)
        if name.endswith(".parquet"):
            frame.write_parquet(path)
        elif name.endswith(".jsonl"):
            frame.write_ndjson(path)
        else:
            path.write_bytes(frame.write_csv(separator=separator).encode(encoding))
        return path

    return write


@pytest.mark.parametrize(
    ("name", "separator", "encoding"),
    [
        ("t.csv", ",", "utf-8"),
        ("t.csv", ",", "utf-8-sig"),
        ("t.csv", ";", "cp1252"),
        ("t.csv", "\t", "utf-16"),
        ("t.csv", "|", "utf-8"),
        ("t.tsv", "\t", "cp1252"),
        ("t.parquet", "", ""),
        ("t.jsonl", "", ""),
    ],
)
def test_every_column_is_found_in_every_format(written, name: str, separator: str, encoding: str) -> None:
    path = written(columns(), name, separator or ",", encoding or "utf-8")
    found = guess_table(path, path.parent)
    assert (found.images.column, found.images.files, found.images.folder) == ("Datei", NUMBER, path.parent)
    assert (found.patient, found.study) == ("PatientID", "accession_number")
    assert (found.view, found.report, found.boxes, found.mask) == ("projection", "Befund", Boxes("bbox"), None)
    (finding,) = found.findings
    assert (finding.column, finding.present, finding.absent) == ("Pleural Effusion", ("Yes",), ("No",))
    assert finding.count(finding.present) == NUMBER // 2
    assert set(found.unused) == {"Row", "Verlauf"}
    assert found.attributes.age == "PatientAge"


def test_labels_that_parquet_holds_as_floats_are_those_that_a_run_reads(written, tmp_path: Path, capsys) -> None:
    """As pandas stores 0 and 1 beside blanks: what is guessed are the cells that label_images compares."""
    cells = [None if number % 7 == 0 else float(number % 2) for number in range(NUMBER)]
    path = written(columns() | {"Pleural Effusion": cells}, "t.parquet")
    (finding,) = guess_table(path, path.parent).findings
    assert (finding.present, finding.absent) == (("1",), ("0",))
    main(["new-dataset", str(path), "--output", str(tmp_path / "out")])
    block = yaml.safe_load((tmp_path / "out" / "ours.yaml").read_text())
    config = as_run(block, capsys.readouterr().out)
    assert check_labels_of(config, "ours", Indexes(config)).status in ("ok", "warning")


@pytest.mark.parametrize(
    ("folder", "separator", "encoding", "left_out"),
    [
        ("images/", ";", "cp1252", []),
        ("", ",", "utf-8", ["bbox"]),  # names of files alone, which lie in a folder below
        ("images/", ",", "utf-8", ["Befund"]),
        ("images/", ",", "utf-8", ["Pleural Effusion"]),
        ("images/", ",", "utf-8", ["PatientID"]),
        ("images/", ",", "utf-8", ["bbox", "projection", "accession_number"]),
    ],
)
def test_a_run_takes_what_is_written(
    written, folder: str, separator: str, encoding: str, left_out: list[str], tmp_path: Path, capsys
) -> None:
    table = {name: cells for name, cells in columns(folder).items() if name not in left_out}
    path = written(table, "t.csv", separator, encoding)
    main(["new-dataset", str(path), "--output", str(tmp_path / "out")])
    said = capsys.readouterr().out
    block = yaml.safe_load((tmp_path / "out" / "ours.yaml").read_text())
    config = as_run(block, said)
    has_reports = not {"Befund", "PatientID"} & set(left_out)
    assert config.pretrain_on == ("ours" if has_reports else "mimic_cxr")
    assert check_files(config) == []
    images = check_dataset(config, "ours", Indexes(config))
    assert (images.status, f"{NUMBER} images" in images.what) == ("ok", True), images
    assert config.evaluate_on == ([] if "Pleural Effusion" in left_out else ["ours"])
    for name in config.evaluate_on:
        assert check_labels_of(config, name, Indexes(config)).status in ("ok", "warning")
        without = {"phrase_grounding", "few_shot_segmentation"} & set(config.not_measured(name))
        assert bool(without) == ("bbox" in left_out)
        assert list(read_prompts(tmp_path / "out" / "ours_prompts.yaml", denying=True)) == ["pleural_effusion"]
        assert "finding      Pleural Effusion: present 100 (Yes); absent 100 (No)" in said


def test_nothing_is_overwritten(written, tmp_path: Path, capsys) -> None:
    path = written(columns())
    main(["new-dataset", str(path), "--output", str(tmp_path)])
    before = (tmp_path / "ours.yaml").read_bytes()
    with pytest.raises(SystemExit, match="2"):
        main(["new-dataset", str(path), "--output", str(tmp_path)])
    assert "ours.yaml: exists; give another --name or --output" in capsys.readouterr().err
    assert (tmp_path / "ours.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "more", "line"),
    [
        ({}, ["--finding", "Effusion"], "--finding Effusion: not a column of yes and no in"),
        ({"Datei": ["x.png"] * NUMBER}, [], "no column names images below"),
        ({"Datei": [f"images/{number}" for number in range(NUMBER)]}, [], "without their ending .png: add it"),
    ],
)
def test_what_cannot_be_guessed_is_asked_for(
    written, change: Columns, more: list[str], line: str, tmp_path, capsys
) -> None:
    path = written(columns() | change)
    with pytest.raises(SystemExit, match="2"):
        main(["new-dataset", str(path), "--output", str(tmp_path / "out"), *more])
    err = capsys.readouterr().err
    assert line in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("table", ["none.csv", "empty.csv", "header.csv", "folder"])
def test_a_table_that_is_none_is_one_line(table: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "header.csv").write_text("a,b\n")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SystemExit, match="2"):
        main(["new-dataset", str(tmp_path / table)])
    assert capsys.readouterr().err.count("\n") == 1


def test_uncertain_labels_are_named_and_blank_ones_counted(written, tmp_path: Path, capsys) -> None:
    table = columns() | {"Pleural Effusion": ["1.0", "0.0", "-1.0", ""] * 50}
    main(["new-dataset", str(written(table)), "--output", str(tmp_path)])
    labels = yaml.safe_load((tmp_path / "ours.yaml").read_text())["datasets"]["ours"]["label_images"]
    assert (labels["positive_values"], labels["negative_values"], labels["uncertain_values"]) == (
        ["1.0"],
        ["0.0"],
        ["-1.0"],
    )
    assert "present 50 (1.0); absent 50 (0.0); uncertain 50 (-1.0); blank 50" in capsys.readouterr().out


def test_a_name_becomes_a_finding() -> None:
    columns = [
        "Pleural Effusion (any)",
        "\u0152d\u00e8me/poumon",
        "\u6c17\u80f8",
        "pleural effusion any",
        "mass",
        "mass 2",
        "MASS",
    ]
    names = finding_names(columns)
    assert names == ["pleural_effusion_any", "deme_poumon", "finding_3", "pleural_effusion_any_2", "mass", "mass_2",
                     "mass_3"]  # fmt: skip
    prompts = prompt_file(columns)["findings"]
    assert list(prompts) == names
    assert prompts["finding_3"]["sets"]["there_is"]["positive"] == ["There is \u6c17\u80f8."]
    alone = prompt_file(["Pneumothorax"])
    assert alone["finding"] == "pneumothorax"
    assert alone["sets"]["there_is"]["negative"] == ["There is no pneumothorax."]


@pytest.mark.parametrize(
    ("word", "there_is", "seen"),
    [
        ("Pleural Effusion", "There is no pleural effusion.", "No pleural effusion is seen."),
        ("RibFractures", "There are no rib fractures.", "No rib fractures are seen."),
        ("Atelectasis", "There is no atelectasis.", "No atelectasis is seen."),
        ("Support Devices", "There are no support devices.", "No support devices are seen."),
        ("Abscess", "There is no abscess.", "No abscess is seen."),
        ("\u00b1", "There is no finding 1.", "No finding 1 is seen."),
    ],
)
def test_prompts_follow_the_number_of_the_name(word, there_is, seen):
    sets = prompt_file([word])["sets"]
    assert sets["there_is"]["negative"] == [there_is]
    assert seen in sets["phrasings"]["negative"]


def test_words_that_differ_in_case_are_one_finding():
    cells = ["Pneumonia|Edema", "pneumonia", "PNEUMONIA|edema", "Pneumonia", "No Finding", "no finding"] * 10
    found = listed_in(pl.Series("labels", cells))
    assert found is not None
    assert (dict(found.words), found.normal) == ({"Pneumonia": 40, "Edema": 20}, ("No Finding",))


def test_all_columns_of_labels_are_findings_unless_one_is_chosen(written, tmp_path: Path, capsys) -> None:
    more = {"Edema": ["1", "0", "-1", ""] * 50, "portable": ["1", "0"] * 100, "Mass": ["0", "1"] * 100}
    path = written(columns() | more)
    main(["new-dataset", str(path), "--output", str(tmp_path / "out")])
    said = capsys.readouterr().out
    block = yaml.safe_load((tmp_path / "out" / "ours.yaml").read_text())
    labels = block["datasets"]["ours"]["label_images"]
    assert labels["findings"] == {"pleural_effusion": "Pleural Effusion", "edema": "Edema", "mass": "Mass"}
    assert (labels["positive_values"], labels["uncertain_values"]) == (["1", "Yes"], ["-1"])
    syntax = "`pleural_effusion: {target: Pleural Effusion, boxes: bbox}`, or choose one with --finding"
    assert f"boxes: of which finding? Write it under label_images.findings, e.g. {syntax}" in said
    assert "finding      Edema: present 50 (1); absent 50 (0); uncertain 50 (-1); blank 50" in said
    config = as_run(block, said)
    assert check_files(config) == []
    assert check_labels_of(config, "ours", Indexes(config)).status in ("ok", "warning")
    assert list(read_prompts(tmp_path / "out" / "ours_prompts.yaml", denying=True)) == list(labels["findings"])
    main(["new-dataset", str(path), "--output", str(tmp_path / "one"), "--finding", "Edema"])
    labels = yaml.safe_load((tmp_path / "one" / "ours.yaml").read_text())["datasets"]["ours"]["label_images"]
    assert (labels["finding"], labels["columns"]["boxes"]) == ("edema", "bbox")


@pytest.mark.parametrize(
    ("words", "unlabelled"),
    [
        (["yes", "no"] * 99 + ["n/a", "nan"], ["n/a", "nan"]),
        (["s\u00ed", "no"] * 100, None),
        (["ja", "nein"] * 100, None),
    ],
)
def test_a_few_other_words_among_the_labels_are_unlabelled(written, words, unlabelled, tmp_path: Path) -> None:
    main(["new-dataset", str(written(columns() | {"Pleural Effusion": words})), "--output", str(tmp_path)])
    labels = yaml.safe_load((tmp_path / "ours.yaml").read_text())["datasets"]["ours"]["label_images"]
    assert labels.get("unlabelled_values") == unlabelled


def test_yes_and_no_about_something_else_are_no_findings(written) -> None:
    other = ["is_male", "Patient Sex_male", "Frontal", "is_test", "deceased", "TrainSplit", "in_ICU"]
    path = written(columns() | {name: ["0", "1"] * 100 for name in other})
    assert [each.column for each in guess_table(path, path.parent).findings] == ["Pleural Effusion"]


def test_a_column_that_lists_findings_is_no_report_and_is_read(written, tmp_path: Path, capsys) -> None:
    table = {name: cells for name, cells in columns().items() if name not in ("Befund", "Pleural Effusion", "Verlauf")}
    words = ["left pleural effusion seen|pulmonary edema seen", "no finding in the chest", "pulmonary edema seen"]
    path = written(table | {"labels": [words[number % 3] for number in range(NUMBER)]})
    found = guess_table(path, path.parent)
    assert found.report is None
    main(["new-dataset", str(path), "--output", str(tmp_path)])
    labels = yaml.safe_load((tmp_path / "ours.yaml").read_text())["datasets"]["ours"]["label_images"]
    assert labels["findings"] == {
        "pulmonary_edema_seen": "pulmonary edema seen",
        "left_pleural_effusion_seen": "left pleural effusion seen",
        "no_finding_in_the_chest": "no finding in the chest",
    }
    assert labels["columns"] == {"image": "Datei", "findings": "labels", "boxes": "bbox"}
    assert "findings     labels: pulmonary edema seen 133, " in capsys.readouterr().out


def test_degrees_of_a_finding_are_no_yes_and_no(written) -> None:
    path = written(columns() | {"severity": ["0", "1", "0", "1", "2"] * 40})
    assert [each.column for each in guess_table(path, path.parent).findings] == ["Pleural Effusion"]


def test_blank_patients_are_said_and_keep_the_reports(written, tmp_path: Path, capsys) -> None:
    table = columns()
    table["PatientID"][20] = ""
    main(["new-dataset", str(written(table)), "--output", str(tmp_path)])
    assert "PatientID is blank in 1 rows, which a run refuses" in capsys.readouterr().out
    assert yaml.safe_load((tmp_path / "ours.yaml").read_text())["pretrain_on"] == "ours"


def test_without_reports_the_commands_name_no_other_data_set(written, tmp_path: Path, capsys) -> None:
    table = {name: cells for name, cells in columns().items() if name != "Befund"}
    main(["new-dataset", str(written(table)), "--output", str(tmp_path)])
    said = capsys.readouterr().out
    assert "profiles/sample" not in said
    assert "Nothing to pre-train on (reports" in said


def test_headers_of_another_language_are_configured(written, tmp_path: Path, capsys) -> None:
    german = ["Klinische Angaben: Husten. Befund: Kein Erguss. Beurteilung: Normal."] * NUMBER
    path = written(columns() | {"Befund": german})
    main(["new-dataset", str(path), "--output", str(tmp_path / "out")])
    block = yaml.safe_load((tmp_path / "out" / "ours.yaml").read_text())
    assert block["datasets"]["ours"]["split_reports"] == {"language": "german"}
    said = capsys.readouterr().out
    assert "headers of german reports" in said
    config = as_run(block, said)
    assert config.settings("split_reports", "ours").language == "german"
    assert guess_table(written(columns()), path.parent).language is None


def test_the_size_of_published_segmentation_is_set_where_no_small_model_is_named(
    written, tmp_path: Path, capsys
) -> None:
    """Else it would override that of the small model's file without a word."""
    path = written(columns())
    main(["new-dataset", str(path), "--output", str(tmp_path / "small")])
    said = capsys.readouterr().out
    text = (tmp_path / "small" / "ours.yaml").read_text()
    assert "    # dicom_to_arrow: {size: 512}  # pixels, input of the published segmentation; not set, so " in text
    assert as_run(yaml.safe_load(text), said).settings("dicom_to_arrow", "ours").size == 128
    assert "measured     retrieval, zero_shot_classification, few_shot_classification, few_shot_segm" in said
    assert f"Wrote {tmp_path / 'small' / 'ours.yaml'} and ours_prompts.yaml." in said
    without = {name: cells for name, cells in columns().items() if name != "Befund"}
    main(["new-dataset", str(written(without)), "--output", str(tmp_path / "whole")])
    said = capsys.readouterr().out
    text = (tmp_path / "whole" / "ours.yaml").read_text()
    assert "      # size: 512  # pixels, input of the published segmentation; it overrides that of any" in text
    assert as_run(yaml.safe_load(text), said).settings("dicom_to_arrow", "ours").size == 512
    assert "not measured retrieval: no pairs here" in said
