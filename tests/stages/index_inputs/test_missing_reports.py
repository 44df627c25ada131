"""A report file that is missing is named by the row of the user's table; by its path only if identifiers are shown."""

import pytest


@pytest.mark.parametrize(("identifiers", "shows_path"), [("keyed", False), ("distributed", True)])
def test_the_row_of_a_missing_report_file_is_named(index, tmp_path, capsys, identifiers: str, shows_path: bool) -> None:
    root = tmp_path / "data"
    root.mkdir()
    lines = ["file,person,study,text"]
    for number in range(4):
        (root / f"{number}.png").touch()
        lines.append(f"{number}.png,P{number},S{number},report{number}.txt")
        if number != 2:
            (root / f"report{number}.txt").write_text("Clear.")
    (root / "t.csv").write_text("\n".join(lines))
    columns = {"image": "file", "patient": "person", "study": "study", "report_file": "text"}
    settings = {"layout": "folder", "table": "t.csv", "columns": columns, "identifiers": identifiers}
    indexed = index(root, settings)
    assert indexed.metric("report_files_missing") == 1
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "report files" in each]
    assert "1 of 4 report files checked cannot be read" in line
    assert ("report2.txt" in line) == shows_path
    assert ("(row 4)" in line) != shows_path
