"""mlip rejects: the file behind each reject of a run, of which results name a keyed id only."""

import json
from pathlib import Path

import pytest

from stages.__main__ import main
from stages.common.command_line import run_stage
from stages.common.data.private_sources import how_to_name
from stages.common.files import schemas
from stages.common.files.arrow_tables import read_table, write_rows
from stages.index_inputs.__main__ import WORK


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A data set of three images, one of which is rejected, as is its report."""
    root, found = tmp_path / "data", tmp_path / "runs" / "main"
    root.mkdir()
    for number in range(3):
        (root / f"{number}.png").touch()
    rows = [f"{number}.png,P{number},S{number},FINDINGS: clear." for number in range(3)]
    (root / "t.csv").write_text("\n".join(["img,who,exam,text", *rows]))
    columns = {"image": "img", "patient": "who", "study": "exam", "report": "text"}
    out = found / "results" / "index_inputs" / "ours"
    run_stage(WORK, ["--root", str(root), "--dataset", "ours", "--private", str(found / "private"),
                     "--settings", json.dumps({"layout": "folder", "table": "t.csv", "columns": columns}),
                     "--files", str(out / "files.arrow"), "--reports", str(out / "reports.arrow"),
                     "--journal", str(out / "journal.json")])  # fmt: skip
    image = read_table(out / "files.arrow", schemas.FILES).to_pylist()[1]
    for stage, key, reason in (("dicom_to_arrow", "image_id", "decode_failed"),
                               ("split_reports", "study_id", "empty_report")):  # fmt: skip
        reject = {"dataset": "ours", "source_id": image[key], "reason": reason, "message": "it is broken"}
        write_rows(found / "results" / stage / "ours" / "rejects.arrow", schemas.REJECTS, [reject])
    return found


def test_each_reject_is_named_by_its_file_or_as_in_the_table(workspace, capsys):
    main(["rejects", "--workspace", str(workspace)])
    assert capsys.readouterr().out.splitlines() == [
        "ours\tdecode_failed\t1.png\tit is broken", "ours\tempty_report\tS1\tit is broken"]  # fmt: skip
    for path in (workspace / "results").rglob("*"):
        assert path.is_dir() or b"1.png" not in path.read_bytes(), f"{path} names a file"


def test_an_id_is_named(workspace, capsys):
    path = workspace / "results" / "index_inputs" / "ours" / "files.arrow"
    ids = read_table(path, schemas.FILES)["patient_id"].to_pylist()
    main(["rejects", "--workspace", str(workspace), ids[2]])
    assert capsys.readouterr().out == f"ours\t{ids[2]}\tP2\n"
    with pytest.raises(SystemExit):
        main(["rejects", "--workspace", str(workspace), "image-00", ids[2], "image-01"])
    printed = capsys.readouterr()
    assert printed.out == f"ours\t{ids[2]}\tP2\n"
    for wrong in ("image-00", "image-01"):
        assert f"{wrong}: no id of ours; copy it whole\n" in printed.err


@pytest.mark.parametrize(("damage", "says"), [(None, "missing"), (b"kind;distributed_id;keyed_id\n", "damaged")])
def test_images_are_named_without_the_map_which_is_said(workspace, capsys, damage, says):
    path = workspace / "private" / "ours.csv"
    path.unlink() if damage is None else path.write_bytes(damage)
    main(["rejects", "--workspace", str(workspace)])
    printed = capsys.readouterr()
    assert "ours\tdecode_failed\t1.png\tit is broken" in printed.out
    assert f"warning: {path}: the map of keyed ids is {says}" in printed.err
    assert printed.err.count("\n") == 1


def test_rejects_of_shards_are_named_where_nothing_is_gathered(workspace, capsys):
    folder = workspace / "results" / "dicom_to_arrow" / "ours"
    (folder / "shards").mkdir()
    for name in ("rejects.arrow", "rejects.arrow.sha256"):
        (folder / name).rename(folder / "shards" / f"0_{name}")
    main(["rejects", "--workspace", str(workspace)])
    assert "ours\tdecode_failed\t1.png\tit is broken" in capsys.readouterr().out


def test_another_folder_is_refused_with_the_remedy(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["rejects", "--workspace", str(tmp_path)])
    assert "no such folder; name the workspace of a run with --workspace FOLDER" in capsys.readouterr().err


def test_warnings_name_the_command_of_their_workspace():
    path = Path("runs/a b/results/dicom_to_arrow/ours/rejects.arrow")
    assert how_to_name(path) == "mlip rejects --workspace 'runs/a b'"
    assert how_to_name(Path("elsewhere/rejects.arrow")) == ""
