"""The stage as a whole: counts reconcile, contracts hold, bytes repeat, text stays out of messages."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from stages.common.command_line import run_stage
from stages.common.data.patient_split import PatientSplit, split_of
from stages.common.errors import InputError
from stages.common.files.arrow_tables import read_table, write_rows
from stages.common.files.schemas import REJECTS, REPORTS, SENTENCES
from stages.pair_images_reports.pairing import pair
from stages.split_reports.__main__ import WORK
from stages.split_reports.contract import SplitReportsSettings
from stages.split_reports.reports import decode, split_all, training_sentences
from stages.split_reports.sentences import fold

REPOSITORY = Path(__file__).resolve().parents[3]
TRAINED = {"tokenizer": {"weights": None, "vocabulary_size": 400, "do_lower_case": True}}


def report(study_id, patient_id="p1", split=None, path=None, text=None):
    return {"study_id": study_id, "patient_id": patient_id, "distributed_split": split, "path": path, "text": text}


@pytest.fixture
def data(tmp_path):
    """A root with report files and a table of reports, good and bad; returns the folder."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "s1.txt").write_text(
        " FINAL REPORT\n INDICATION:  Cough.\n\n FINDINGS:\n A 1.5 cm nodule is in\n the left apex.Heart is normal.\n\n"
        " IMPRESSION:\n 1. Nodule.\n 2. No effusion.\n"
    )
    (root / "s2.txt").write_bytes("FINDINGS: Épanchement à gauche.".encode("latin-1"))
    (root / "s3.txt").write_text("IMPRESSION: No Effusion. FINDINGS: Lungs are clear.")
    (root / "nul.txt").write_bytes(b"Secret\0")
    rows = [report(f"s{number}", f"p{number}", path=f"s{number}.txt") for number in (1, 2, 3)]
    rows += [report("s4", "p4", text="No effusion. The heart is normal.")]
    rows += [report("bad1", path="absent.txt"), report("bad2", path="../Secret.txt"), report("bad3", path="nul.txt")]
    rows += [report("bad4", text="  "), report("bad5", text="FINDINGS: 1. ___. IMPRESSION:")]
    write_rows(tmp_path / "reports.arrow", REPORTS, rows)
    return tmp_path


def arguments_of(data, settings=TRAINED, out="out"):
    paths = {name: data / out / f"{name}.arrow" for name in ("sentences", "rejects")}
    return [
        *("--root", data / "root", "--reports", data / "reports.arrow", "--tokenizer", data / out / "tokenizer"),
        *("--quality", data / out / "quality.json"),
        *("--sentences", paths["sentences"], "--rejects", paths["rejects"], "--journal", data / out / "journal.json"),
        *("--name", "small", "--settings", json.dumps(settings)),
    ]


def run(data, settings=TRAINED, out="out", more=()):
    run_stage(WORK, [str(argument) for argument in (*arguments_of(data, settings, out), *more)])
    journal = json.loads((data / out / "journal.json").read_text())
    sentences = read_table(data / out / "sentences.arrow", SENTENCES).to_pylist()
    rejects = read_table(data / out / "rejects.arrow", REJECTS).to_pylist()
    return sentences, rejects, {metric["key"]: metric["value"] for metric in journal["metrics"]}


def test_every_report_ends_in_sentences_or_in_one_reject(data):
    sentences, rejects, metrics = run(data)
    assert [(row["source_id"], row["reason"]) for row in rejects] == [
        ("bad1", "report_file_missing"),
        ("bad2", "path_outside_root"),
        ("bad3", "undecodable_text"),
        ("bad4", "empty_report"),
        ("bad5", "no_sentence"),
    ]
    assert {row["dataset"] for row in rejects} == {"small"}
    assert {row["study_id"] for row in sentences} == {"s1", "s2", "s3", "s4"}
    assert metrics["reports"] == 9 == metrics["reports_split"] + metrics["rejects"]
    assert (metrics["sentences"], metrics["unique_sentences"], metrics["reports_as_cp1252"]) == (9, 8, 1)
    assert (metrics["reports_by_fallback"], metrics["unknown_share"]) == (1, 0)


def test_rows(data):
    sentences, _, _ = run(data)
    spoken = [(row["study_id"], row["section"], row["position"], row["text"]) for row in sentences]
    assert spoken == [
        ("s1", "findings", 0, "A 1.5 cm nodule is in the left apex."),
        ("s1", "findings", 1, "Heart is normal."),
        ("s1", "impression", 2, "Nodule."),
        ("s1", "impression", 3, "No effusion."),
        ("s2", "findings", 0, "Épanchement à gauche."),
        ("s3", "findings", 0, "Lungs are clear."),
        ("s3", "impression", 1, "No Effusion."),
        ("s4", "report", 0, "No effusion."),
        ("s4", "report", 1, "The heart is normal."),
    ]
    for row in sentences:
        path = data / "root" / f"{row['study_id']}.txt"
        text = decode(path.read_bytes()).text if path.exists() else "No effusion. The heart is normal."
        assert row["text"] == fold(text[row["start"] : row["end"]])
        assert row["token_ids"]
        assert not {0, 2, 3, 4} & set(row["token_ids"])


def test_same_bytes_again_in_other_processes_with_other_threads(data):
    run(data)
    for threads, seed in (("1", "1"), ("2", "2")):
        out = f"again{threads}"
        command = [sys.executable, "-m", "stages.split_reports", *map(str, arguments_of(data, out=out))]
        environment = os.environ | {"RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": seed}
        subprocess.run(command, cwd=REPOSITORY, env=environment, check=True)
        names = ["sentences.arrow", "rejects.arrow", "quality.json", "tokenizer/vocab.txt", "tokenizer/tokenizer.json"]
        for name in [*names, "tokenizer/tokenizer.json.sha256", "tokenizer/tokenizer_config.json"]:
            assert (data / out / name).read_bytes() == (data / "out" / name).read_bytes()


def test_reject_instead_of_the_whole_report(data):
    _, rejects, _ = run(data, TRAINED | {"sections_fallback": "reject"})
    reasons = {row["source_id"]: row["reason"] for row in rejects}
    assert (reasons["s4"], reasons["bad5"], len(reasons)) == ("no_configured_section", "no_sentence", 6)


def test_sections_in_the_order_of_the_settings(data):
    sentences, _, _ = run(data, TRAINED | {"sections": ["impression", "findings"]})
    assert [row["section"] for row in sentences if row["study_id"] == "s1"] == ["impression"] * 2 + ["findings"] * 2


def test_weights_of_a_folder(data):
    first, _, _ = run(data)
    weights = {"tokenizer": {"weights": "someone/bert", "do_lower_case": True}}
    second, _, _ = run(data, weights, out="second", more=("--tokenizer-weights", data / "out" / "tokenizer"))
    assert first == second
    journal = json.loads((data / "second" / "journal.json").read_text())
    assert set(journal["inputs"]) == {"reports", "tokenizer"}


def test_no_text_of_a_report_in_journal_rejects_or_output(data, capfd):
    rows = [report("s1", text="Zebrafish finding."), report("s2", text="Zebrafish\0")]
    write_rows(data / "reports.arrow", REPORTS, rows)
    _, rejects, _ = run(data)
    output = capfd.readouterr()
    said = [output.out, output.err, json.dumps(rejects), (data / "out" / "journal.json").read_text()]
    assert "ebrafish" not in "".join(said)


def test_unknown_headers_and_lost_text_are_told(data, capfd):
    german = [report(f"s{number}", text="Befund: Kein Erguss.\nBeurteilung: Normal.") for number in range(3)]
    lost = report("s4", text="Zebrafish seen.\nFINDINGS: Clear.")
    write_rows(data / "reports.arrow", REPORTS, [*german, lost])
    _, _, metrics = run(data)
    assert (metrics["reports_without_header"], metrics["reports_losing_unheaded"]) == (3, 1)
    headers, unheaded = capfd.readouterr().err.splitlines()[-2:]
    assert "3 of 4 reports have no header of english reports" in headers
    assert "`split_reports: {language: german}` would find headers in 3 of 3 of them" in headers
    assert "1 of 4 reports lose text under no header" in unheaded
    tags = json.loads((data / "out" / "journal.json").read_text())["tags"]
    assert [f"warning: {tags[key]}" for key in ("warning_headers", "warning_unheaded")] == [headers, unheaded]
    sentences, _, metrics = run(data, TRAINED | {"language": "german", "headers": {"FINDINGS": "findings"},
                                                 "keep_unheaded": True})  # fmt: skip
    assert (metrics["reports_without_header"], metrics["reports_losing_unheaded"]) == (0, 0)
    assert "warning" not in capfd.readouterr().err
    assert [row["text"] for row in sentences if row["study_id"] == "s4"] == ["Clear.", "Zebrafish seen."]


def test_headers_that_two_languages_share_do_not_hide_those_that_one_has(data, capfd):
    french = "INDICATION: Toux.\nRÉSULTATS: Pas d'épanchement.\nCONCLUSION: Normal."
    write_rows(data / "reports.arrow", REPORTS, [report(f"s{number}", text=french) for number in range(3)])
    sentences, _, _ = run(data)
    assert "Pas d'épanchement." not in [row["text"] for row in sentences]
    assert "set split_reports.language: french" in capfd.readouterr().err
    sentences, _, _ = run(data, TRAINED | {"language": "french"})
    assert "Pas d'épanchement." in [row["text"] for row in sentences]
    assert "warning" not in capfd.readouterr().err


def test_plain_text_is_of_no_language(data, capfd):
    write_rows(data / "reports.arrow", REPORTS, [report("s1", text="No effusion."), report("s2", text="Clear.")])
    run(data)
    assert "or split_reports.headers, unless they are plain text" in capfd.readouterr().err


def test_placeholders_and_rich_text_are_rejected(data):
    texts = ["nan", "None.", "N/A", "FINDINGS: nan", "Findings: NaN Impression: n/a", "<p>null</p>", r"\n"]
    rows = [report(f"s{number}", text=text) for number, text in enumerate([*texts, r"{\rtf1 Clear.}", "Clear."])]
    write_rows(data / "reports.arrow", REPORTS, rows)
    _, rejects, _ = run(data)
    assert [row["reason"] for row in rejects] == ["empty_report"] * len(texts) + ["marked_up_text"]


def error_of(data, capfd, settings=TRAINED):
    with pytest.raises(SystemExit) as caught:
        run(data, settings)
    assert caught.value.code == 2
    message = capfd.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    return message


def test_errors_in_one_line(data, capfd):
    assert "give exactly one" in error_of(data, capfd, {"tokenizer": {"vocabulary_size": 400}})
    assert "unknown findngs" in error_of(data, capfd, TRAINED | {"sections": ["findngs"]})
    assert "'findings' stands there twice" in error_of(data, capfd, TRAINED | {"sections": ["findings", "findings"]})
    assert "BEFUND: unknown section 'finding'" in error_of(data, capfd, TRAINED | {"headers": {"BEFUND": "finding"}})
    assert "is no name" in error_of(data, capfd, TRAINED | {"headers": {"12": "findings"}})
    write_rows(data / "reports.arrow", REPORTS, [report("s1", text="")])
    assert "no report has a sentence" in error_of(data, capfd)
    assert read_table(data / "out" / "rejects.arrow", REJECTS).num_rows == 1
    write_rows(data / "reports.arrow", REPORTS, [report("s1", split="test", text="Clear.")])
    assert "training patient" in error_of(data, capfd)
    (data / "reports.arrow").unlink()
    assert "no such file" in error_of(data, capfd)


@pytest.mark.parametrize(
    "rows", [[report("s1", text="a"), report("s1", text="b")], [report("s1")], [report("s1", path="a", text="b")]]
)
def test_broken_table_of_reports(tmp_path, rows):
    table = pa.Table.from_pylist(rows, schema=REPORTS)
    with pytest.raises(InputError, match="study_id s1"):
        split_all(table, tmp_path, "set", SplitReportsSettings.model_validate(TRAINED))


def test_vocabulary_comes_from_training_patients_alone(tmp_path):
    """Each patient says a word of their own: the words that train are those of the patients that split_of names."""
    settings = SplitReportsSettings.model_validate(
        TRAINED | {"patient_split": {"validation": 0.3, "test": 0.3, "seed": 4}}
    )
    patients = [f"patient{number}" for number in range(60)]
    rows = [report(f"s{patient}", patient, text=f"Word {patient}. Word {patient}.") for patient in patients]
    rows += [report("given", "patient0", split="validate", text="Distributed as validation.")]
    result = split_all(pa.Table.from_pylist(rows, schema=REPORTS), tmp_path, "set", settings)
    split = PatientSplit(validation=0.3, test=0.3, seed=4)
    expected = [(f"Word {patient}.", 2) for patient in patients if split_of(patient, split) == "train"]
    assert 10 < len(expected) < 50
    assert training_sentences(result) == expected


def test_vocabulary_is_of_the_same_patients_under_another_key(tmp_path):
    """Split by what keyed ids stand for: reports and pairs alike, whatever the key made of the ids."""
    split = PatientSplit(validation=0.3, test=0.3, seed=4)
    settings = SplitReportsSettings.model_validate(TRAINED | {"patient_split": split.model_dump()})
    people = [f"patient{number}" for number in range(40)]
    expected = [split_of(each, split) == "train" for each in people]
    for key in ("k", "j"):
        stands_for = {f"{key}{97 * number % 40}": each for number, each in enumerate(people)}
        rows = [report(f"s{keyed}", keyed, text=f"Word {each}.") for keyed, each in stands_for.items()]
        table = pa.Table.from_pylist(rows, schema=REPORTS)
        result = split_all(table, tmp_path, "set", settings, split_by=stands_for.__getitem__)
        words = {text for text, _ in training_sentences(result)}
        assert [f"Word {each}." in words for each in people] == expected
        images = pl.DataFrame({"image_id": list(stands_for), "study_id": list(stands_for), "dataset": "set",
                               "patient_id": list(stands_for), "distributed_split": None},
                              schema_overrides={"distributed_split": pl.String})  # fmt: skip
        pairs = pair(images, images.select("study_id"), split, stands_for.__getitem__).pairs
        assert [each == "train" for each in pairs["split"]] == expected


def test_defaults_are_the_paper_s_encoder():
    defaults = SplitReportsSettings()
    assert defaults.sections == ["findings", "impression"]
    assert defaults.tokenizer.weights == "emilyalsentzer/Bio_ClinicalBERT"
    assert defaults.tokenizer.do_lower_case is False


@pytest.mark.real_data
def test_real_reports_reconcile(test_data, tmp_path):
    with (test_data / "openi_reports" / "openi_reports.csv").open(encoding="utf-8", newline="") as file:
        rows = [
            report(row["uid"], row["uid"], text=f"FINDINGS: {row['findings']}\nIMPRESSION: {row['impression']}")
            for row in csv.DictReader(file)
        ]
    write_rows(tmp_path / "reports.arrow", REPORTS, rows)
    (tmp_path / "root").mkdir()
    sentences, rejects, metrics = run(tmp_path, {"tokenizer": TRAINED["tokenizer"] | {"vocabulary_size": 4000}})
    assert metrics["reports"] == 3955 == metrics["reports_split"] + len(rejects)
    assert {row["reason"] for row in rejects} == {"no_sentence"}
    assert 5.3 < len(sentences) / metrics["reports_split"] < 6.3
    assert metrics["unknown_share"] < 0.001
    assert 0.3 < metrics["unique_sentences"] / metrics["sentences"] < 0.45
