"""Each index is read once, under one key, and images that will be rejected for their view are counted beforehand."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml

from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows
from stages.common.journal.tracking import track
from stages.config import check
from stages.configuration import Config
from workflow.doctor import indexes as module
from workflow.doctor.indexes import Indexes, check_views
from workflow.doctor.inputs import check_datasets
from workflow.doctor.labels import check_labels_of
from workflow.doctor.training_studies import check_training_studies

ROOT = Path(__file__).parents[3]
Make = Callable[..., Config]


@pytest.fixture
def ours(tmp_path: Path) -> Make:
    """`ours(seen, suffix, **dicom_to_arrow)`: a data set in which every second image has the finding."""

    def make(seen: list[str], suffix: str = "png", **dicom_to_arrow: object) -> Config:
        names = [f"{number}.{suffix}" for number in range(len(seen))]
        targets = ["yes" if number % 2 else "no" for number in range(len(seen))]
        table = {"file": names, "who": names, "text": ["No."] * len(names), "view": seen, "sick": targets}
        pl.DataFrame(table).write_csv(tmp_path / "t.csv")
        raw = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"workspace": str(tmp_path / "runs")}
        raw |= {"pretrain_on": "ours", "evaluate_on": ["ours"], "patient_split": {"validation": 0.3, "test": 0.3}}
        raw["datasets"]["ours"] = {
            "root": str(tmp_path),
            "index_inputs": {"layout": "folder", "table": "t.csv", "identifiers": "distributed", "columns":
                             {"image": "file", "patient": "who", "report": "text", "view": "view"}},
            "dicom_to_arrow": dicom_to_arrow,
            "label_images": {"layout": "folder", "finding": "sick", "table": "t.csv", "identifiers": "distributed",
                             "columns": {"image": "file", "target": "sick"},
                             "positive_values": ["yes"], "negative_values": ["no"]},
        }  # fmt: skip
        return check(raw)

    return make


def test_each_index_is_read_once_and_its_key_is_drawn_once(ours: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ours(["PA"] * 60)
    read = []
    monkeypatch.setattr(module, "build_index", lambda *given, build=module.build_index: read.append(1) or build(*given))
    indexes = Indexes(config)
    list(check_datasets(config, indexes))
    check_labels_of(config, "ours", indexes)
    list(check_training_studies(config, indexes))
    assert len(read) == 1
    with indexes.private() as one, indexes.private() as other:
        keys = {(folder / "identifiers.key").read_text() for folder in (one, other)}
        assert {oct((folder / "identifiers.key").stat().st_mode & 0o777) for folder in (one, other)} == {"0o600"}
    assert len(keys) == 1
    assert not one.exists(), "the key is not kept"
    assert not Path(config.workspace).exists()


@pytest.mark.parametrize(
    ("views", "settings", "status", "words"),
    [
        (["PA", "AP"] * 30, {}, None, ()),
        (["PA"] * 55 + ["LL"] * 5, {}, "ok", ("5 of 60 images are not of the views PA, AP: LATERAL 5",)),
        (["PA", "LL"] * 30, {}, "warning", ("30 of 60 images are not of the views PA, AP: ", "in {key}.views")),
        ([""] * 60, {}, None, ()),
        (["PA", *[""] * 59], {}, "warning", ("59 of 60 images have no view", "set {key}.views_missing: accept")),
        (["PA", *[""] * 59], {"views_missing": "accept"}, None, ()),
        ([""] * 60, {"views_missing": "reject"}, "error", ("60 of 60 images have no view",)),
        (["L"] * 60, {}, "error", ("60 of 60 images are not of the views PA, AP",)),
        (["L"] * 60, {"views": []}, None, ()),
    ],
)
def test_images_that_are_rejected_for_their_view_are_told(
    ours: Make, views: list[str], settings: dict, status: str | None, words: tuple[str, ...]
) -> None:
    config = ours(views, **settings)
    findings = check_views(config, "ours", Indexes(config))
    assert [each.status for each in findings] == ([status] if status else [])
    for word in words:
        assert word.format(key="datasets.ours.dicom_to_arrow") in f"{findings[0].what} {findings[0].remedy}"


def test_a_header_may_name_the_view_that_the_index_lacks(ours: Make) -> None:
    config = ours(["PA", *[""] * 59], suffix="dcm")
    indexes = Indexes(config)
    assert indexes.views("ours").missing == 59
    assert not indexes.views("ours").certain
    assert "at most 60 labelled images" in check_labels_of(config, "ours", indexes).what


def test_labels_and_training_studies_count_images_that_can_remain(ours: Make) -> None:
    config = ours([*["PA"] * 40, *["L"] * 60])
    indexes = Indexes(config)
    found = check_labels_of(config, "ours", indexes)
    assert "at most 40 labelled images" in found.what
    (finding,) = check_training_studies(config, indexes)
    assert "exceeds at most " in finding.what
    assert int(finding.what.split("at most ")[1].split()[0]) <= 40


def test_what_a_run_has_left_is_counted_until_settings_or_index_change(ours: Make, tmp_path: Path) -> None:
    config = ours(["PA"] * 60)
    rejects = [{"dataset": "ours", "source_id": f"{n}.png", "reason": "file_missing", "message": "m"} for n in range(5)]
    pairs = [{"image_id": f"{n}", "study_id": f"{n // 2}", "patient_id": "p", "split": "train"} for n in range(14)]
    for stage, file, schema, rows in (
        ("dicom_to_arrow", "rejects.arrow", schemas.REJECTS, rejects),
        ("pair_images_reports", "pairs.arrow", schemas.PAIRS, pairs),
    ):
        folder = tmp_path / "runs" / "results" / stage / "ours"
        settings = config.settings(stage, "ours")
        with track(stage, "ours", journal=folder / "journal.json", settings=settings, inputs={}, image="none"):
            write_rows(folder / file, schema, rows)
    indexes = Indexes(config)
    assert check_labels_of(config, "ours", indexes).what.startswith("55 labelled images")
    (finding,) = check_training_studies(config, indexes)
    assert finding.status == "error"
    assert "exceeds 7 training studies" in finding.what
    other = ours(["PA"] * 60, views_missing="accept")  # writes the index anew, and has other settings
    assert Indexes(other).training_studies("ours") is None
    assert "at most 60 labelled images" in check_labels_of(other, "ours", Indexes(other)).what
