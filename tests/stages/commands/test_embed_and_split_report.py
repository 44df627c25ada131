"""mlip embed and mlip split-report write what the Python API returns."""

import json

import numpy as np
import pyarrow.parquet
import pytest

from stages import load, split_report
from stages.__main__ import main
from stages.commands.embed import read_lines

REPORT = "EXAM: CHEST\nFINDINGS: No effusion.\nHeart normal.\nIMPRESSION: Clear.\n"


def test_embeddings_of_images_and_texts_are_those_of_the_api(exported, tmp_path) -> None:
    (tmp_path / "prompts.txt").write_text("opacity in the left lung .\n\nno opacity\n")
    given = {"image": ["--images", exported.radiograph, exported.radiograph], "text": ["--texts", "prompts.txt"]}
    model = load(exported.checkpoint, "cpu")
    expected = {"image": model.embed_images([exported.radiograph] * 2),
                "text": model.embed_texts(["opacity in the left lung .", "no opacity"])}  # fmt: skip
    for kind, options in given.items():
        options = [str(tmp_path / each) if each == "prompts.txt" else str(each) for each in options]
        output = tmp_path / f"{kind}.parquet"
        main(["embed", "--checkpoint", str(exported.checkpoint), *options, "--output", str(output), "--device", "cpu"])
        table = pyarrow.parquet.read_table(output)
        assert table.column_names == [kind, "embedding"]
        assert np.allclose(np.stack(table["embedding"].to_numpy()), expected[kind], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--texts", "nowhere.txt"], "nowhere.txt: cannot be read (No such file or directory)"),
        (["--images", "nowhere.dcm"], "nowhere.dcm: cannot be read (No such file or directory)"),
        (["--images", "x\udcff.dcm"], r"x\udcff.dcm: its name is not UTF-8; rename it"),
        (["--texts", "/dev/null"], "/dev/null: no text in it; write one text per line"),
        (["--texts", "a\0b"], r"a\x00b: cannot be read (embedded null byte)"),
    ],
)
def test_what_cannot_be_read_is_one_line(exported, tmp_path, capsys, options, words) -> None:
    output = tmp_path / "embeddings.parquet"
    with pytest.raises(SystemExit, match="2"):
        main(["embed", "--checkpoint", str(exported.checkpoint), *options, "--output", str(output)])
    [line] = capsys.readouterr().err.splitlines()
    assert words in line
    assert not output.exists()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("folder", "folder: is a folder; name a file"),
        ("/dev/null", "/dev/null: is a device, pipe or socket; name a file"),
        ("file/x", "file is no folder; name another path"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    exported, tmp_path, monkeypatch, capsys, output, words
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stages.api.models.load", lambda *_: pytest.fail("the model was loaded"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match="2"):
        main(["embed", "--checkpoint", "c", "--images", str(exported.radiograph), "--output", output])
    [line] = capsys.readouterr().err.splitlines()
    assert words in line


def test_lines_end_at_line_ends_alone_and_a_byte_order_mark_is_no_text(tmp_path) -> None:
    (tmp_path / "texts.txt").write_bytes(b"\xef\xbb\xbfno\x0copacity\r\n\r\n lung \n")
    assert read_lines(tmp_path / "texts.txt") == ["no\x0copacity", "lung"]


def test_sentences_come_as_json_lines(tmp_path, capsys) -> None:
    (tmp_path / "report.txt").write_text(REPORT)
    main(["split-report", str(tmp_path / "report.txt"), "--sections", "impression", "findings"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows == [vars(sentence) for sentence in split_report(REPORT, ("impression", "findings"))]
    assert [row["text"] for row in rows] == ["Clear.", "No effusion.", "Heart normal."]


def test_an_unknown_section_is_one_line(tmp_path, capsys) -> None:
    (tmp_path / "report.txt").write_text(REPORT)
    with pytest.raises(SystemExit, match="2"):
        main(["split-report", str(tmp_path / "report.txt"), "--sections", "finding"])
    assert capsys.readouterr().err.startswith("error: sections: unknown finding; known are ")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nan", "it has no text but a placeholder such as nan"),
        ("N/A.\n", "it has no text but a placeholder such as nan"),
        ("<p>null</p>", "it has no text but a placeholder such as nan"),
        ("", "it is empty"),
        ("\ufeff \r\n", "it is empty"),
        ("<p></p>", "it is empty"),
    ],
)
def test_a_text_that_is_no_report_is_one_line(tmp_path, capsys, text, why) -> None:
    (tmp_path / "report.txt").write_text(text, newline="")
    with pytest.raises(SystemExit, match="2"):
        main(["split-report", str(tmp_path / "report.txt")])
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"error: {tmp_path / 'report.txt'}: no report: {why}; give the text of a report\n"


@pytest.mark.parametrize("text", ["FINDINGS: nan", "123 456.", "\0\0"])
def test_a_report_without_a_sentence_is_said(tmp_path, capsys, text: str) -> None:
    (tmp_path / "report.txt").write_text(text)
    with pytest.raises(SystemExit, match="2"):
        main(["split-report", str(tmp_path / "report.txt")])
    assert "no" in (line := capsys.readouterr().err)
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("report", "options", "texts", "noted"),
    [
        ("Befund: Kein Erguss.\nBeurteilung: Unauff\u00e4llig.", [], ["Kein Erguss.", "Unauff\u00e4llig."], "german"),
        ("Befund: Kein Erguss.\nBeurteilung: Unauff\u00e4llig.", ["--language", "german"],
         ["Kein Erguss.", "Unauff\u00e4llig."], ""),
        (REPORT, [], ["No effusion.", "Heart normal.", "Clear."], ""),
    ],
)  # fmt: skip
def test_the_language_of_the_headers_is_found(tmp_path, capsys, report, options, texts, noted) -> None:
    (tmp_path / "report.txt").write_text(report, encoding="utf-8")
    main(["split-report", str(tmp_path / "report.txt"), *options])
    said = capsys.readouterr()
    assert [json.loads(line)["text"] for line in said.out.splitlines()] == texts
    assert said.err == (f"note: the headers are read as {noted} (--language)\n" if noted else "")
