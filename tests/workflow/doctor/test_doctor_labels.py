"""Labels and training studies as the doctor counts them, before anything has run."""

import gzip
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import yaml

from stages.common.data.identifiers import keyed, read_or_create_key
from stages.common.data.patient_split import PatientSplit, split_of
from stages.config import check
from stages.config_layers import merged
from stages.configuration import Config
from workflow.doctor import labels
from workflow.doctor.findings import Finding
from workflow.doctor.indexes import Indexes
from workflow.doctor.labels import check_labels_of
from workflow.doctor.training_studies import check_training_studies

ROOT = Path(__file__).parents[3]
PEOPLE = 200
SPLIT = {"validation": 0.2, "test": 0.3}
Make = Callable[..., Config]


def labels_of(config: Config, name: str) -> Finding:
    return check_labels_of(config, name, Indexes(config))


@pytest.fixture
def ours(tmp_path: Path) -> Make:
    """`ours(**label_images)`: a data set with reports and labels; every second patient has the finding."""
    names = [f"images/{number}.png" for number in range(PEOPLE)]
    people = [f"Smith{number}" for number in range(PEOPLE)]
    pl.DataFrame({"file": names, "who": people, "text": ["No."] * PEOPLE}).write_csv(tmp_path / "t.csv")
    targets = ["yes" if number % 2 else "no" for number in range(PEOPLE)]
    boxes = ["1 1 5 5" if number % 2 else "" for number in range(PEOPLE)]
    pl.DataFrame({"file": names, "opacity": targets, "box": boxes}).write_csv(tmp_path / "l.csv")

    def make(overlay: dict | None = None, **label_images: object) -> Config:
        block = {
            "root": str(tmp_path),
            "index_inputs": {"layout": "folder", "table": "t.csv",
                             "columns": {"image": "file", "patient": "who", "report": "text"}},
            "label_images": {"layout": "folder", "finding": "lung_opacity", "table": "l.csv",
                             "columns": {"image": "file", "target": "opacity", "boxes": "box"},
                             "positive_values": ["yes"], "negative_values": ["no"]} | label_images,
            "zero_shot_classification": {"prompts": "stages/zero_shot_classification/prompts/rsna.yaml"},
            "phrase_grounding": {"prompts": "stages/phrase_grounding/prompts/rsna.yaml"},
        }  # fmt: skip
        raw = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"workspace": str(tmp_path / "runs")}
        raw |= {"pretrain_on": "ours", "evaluate_on": ["ours"], "patient_split": SPLIT}
        raw["datasets"]["ours"] = block
        return check(merged(raw, overlay or {}))

    return make


def test_several_findings_are_counted_one_by_one(ours: Make, tmp_path: Path) -> None:
    columns = {"image": "file"}
    rows = pl.read_csv(tmp_path / "l.csv").with_columns(
        edema=pl.when(pl.int_range(PEOPLE) % 3 == 0).then(pl.lit("yes")).otherwise(pl.lit("no")),
        rare=pl.when(pl.int_range(PEOPLE) == 0).then(pl.lit("yes")).otherwise(pl.lit("no")),
    )
    rows.write_csv(tmp_path / "l.csv")
    read_or_create_key(tmp_path / "runs" / "private")
    both = ours(finding=None, findings={"lung_opacity": "opacity", "edema": "edema"}, columns=columns)
    found = labels_of(both, "ours")
    assert found.status == "ok"
    assert (
        "200 labelled images, 2 findings; positives/negatives in train, validation, test: lung_opacity " in found.what
    )
    total = [int(word.partition("/")[0]) for word in found.what.split("edema ")[1].split()]
    assert sum(total) == len(range(0, PEOPLE, 3))
    with_rare = ours(finding=None, findings={"lung_opacity": "opacity", "rare": "rare"}, columns=columns)
    found = labels_of(with_rare, "ours")
    assert found.status == "warning"
    assert "nothing will be said on rare: 5 positives and negatives are needed in test" in found.remedy
    parts = {part: [n for n in range(PEOPLE) if split_of(f"Smith{n}", PatientSplit(**SPLIT)) == part]
             for part in ("train", "validation", "test")}  # fmt: skip
    positives = [*parts["train"][:9], parts["validation"][0], *parts["test"][:9]]
    rows.with_columns(
        seldom=pl.when(pl.int_range(PEOPLE).is_in(positives)).then(pl.lit("yes")).otherwise(pl.lit("no"))
    ).write_csv(tmp_path / "l.csv")
    with_seldom = ours(finding=None, findings={"lung_opacity": "opacity", "seldom": "seldom"}, columns=columns)
    found = labels_of(with_seldom, "ours")
    assert found.status == "warning"
    assert "seldom: fewer than 5 positives or negatives in train or validation, so that thresholds" in found.remedy


def test_positives_of_every_part_are_those_of_the_run_once_its_key_is_drawn(ours: Make, tmp_path: Path) -> None:
    before = labels_of(ours(), "ours")
    assert before.status == "ok"
    assert "200 labelled images" in before.what
    assert not (tmp_path / "runs").exists(), "nothing is written"
    key = read_or_create_key(tmp_path / "runs" / "private")
    assert keyed("Smith1", "patient", key) != "Smith1"
    parts = [split_of(f"Smith{number}", PatientSplit(**SPLIT)) for number in range(PEOPLE)]  # as with any other key
    found = labels_of(ours(), "ours").what
    for part in ("train", "validation", "test"):
        positives = sum(each == part for each in parts[1::2])
        assert f"{part} {positives} of {parts.count(part)}" in found
    assert found == before.what
    left = {path.name for path in (tmp_path / "runs" / "private").iterdir()}
    assert left == {"identifiers.key", "splits_by_distributed_ids"}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"positive_values": ["1"]}, "row 3: opacity is 'yes', not one of"),
        ({"table": "none.csv"}, "datasets.ours.label_images: no file"),
        ({"columns": {"image": "file", "target": "opacty", "boxes": "box"}}, "no column opacty"),
        ({"columns": {"image": "opacity", "target": "opacity", "boxes": "box"}}, "opacity"),
        ({"unlabelled_values": ["yes"], "positive_values": ["1"]}, "no positive image is in the train part"),
        ({"split_lists": {"table": "lists.csv"}}, "no file"),
    ],
)
def test_what_label_images_would_refuse_is_an_error_now(ours: Make, settings: dict, complaint: str) -> None:
    finding = labels_of(ours(**settings), "ours")
    assert finding.status == "error", finding
    assert complaint in finding.what
    assert finding.remedy
    assert "Smith" not in str(finding), "names of people"


def test_labels_of_other_images_are_an_error(ours: Make, tmp_path: Path) -> None:
    config = ours()
    (tmp_path / "l.csv").write_text("file,opacity,box\nother/1.png,yes,\nother/2.png,no,\n")
    assert "none of the 2 labelled images is among the 200" in labels_of(config, "ours").what


def test_few_positives_are_a_warning_that_names_the_key(ours: Make, tmp_path: Path) -> None:
    targets = ["yes" if number < 6 else "no" for number in range(PEOPLE)]
    boxes = ["1 1 5 5" if number < 6 else "" for number in range(PEOPLE)]
    table = pl.read_csv(tmp_path / "l.csv").with_columns(pl.Series("opacity", targets), pl.Series("box", boxes))
    table.write_csv(tmp_path / "l.csv")
    other = {"pretrain_on": "mimic_cxr", "patient_split": {"validation": 0.02, "test": 0.02}}
    finding = labels_of(ours(other), "ours")
    assert finding.status == "warning"
    assert "positives: train 4 of 140, validation 1 of 30, test 1 of 30" in finding.what
    assert "in the training subsets 1 %: 1, 10 %: 1, 100 %: 4" in finding.what
    assert "enlarge them in `datasets.ours.label_images.split`" in finding.remedy


def test_a_column_of_boxes_without_any_is_an_error_where_they_are_needed(ours: Make, tmp_path: Path) -> None:
    pl.read_csv(tmp_path / "l.csv").with_columns(box=pl.lit("")).write_csv(tmp_path / "l.csv")
    finding = labels_of(ours(), "ours")
    assert finding.status == "error"
    assert finding.what == (
        "no box or mask in the train and validation and test part, which few_shot_segmentation and phrase_grounding "
        "cannot do without"
    )
    labels_alone = {"datasets": {"ours": {"evaluations": ["zero_shot_classification", "few_shot_classification"]}}}
    assert labels_of(ours(labels_alone), "ours").status == "ok"


def test_a_mask_that_is_not_there_is_an_error_and_keyed_files_are_not_named(ours: Make, tmp_path: Path) -> None:
    """Rows 5 and 3 name masks that are missing or lie outside; row 7 names one that is there."""
    masks = {1: "Smith_gone.png", 3: "Smith_out.png", 5: "there.png"}
    named = [masks.get(number, "") for number in range(PEOPLE)]
    pl.read_csv(tmp_path / "l.csv").with_columns(mask=pl.Series(named)).write_csv(tmp_path / "l.csv")
    (tmp_path / "there.png").touch()
    (tmp_path / "Smith_out.png").symlink_to("/etc/hostname")
    columns = {"image": "file", "target": "opacity", "boxes": "box", "mask": "mask"}
    finding = labels_of(ours(columns=columns), "ours")
    assert finding.status == "error"
    assert "l.csv: row 3: mask: the file cannot be read: missing (2 such)" in finding.what
    assert "Smith" not in str(finding)
    (tmp_path / "Smith_gone.png").touch()
    finding = labels_of(ours(columns=columns), "ours")
    assert "l.csv: row 5: mask: the file cannot be read: link leads out (1 such)" in finding.what
    assert "relative to the data set's root" in finding.remedy
    shown = {"datasets": {"ours": {"index_inputs": {"identifiers": "distributed"}}}}
    finding = labels_of(ours(shown, columns=columns, identifiers="distributed"), "ours")
    assert "row 5: mask: the file Smith_out.png cannot be read: link leads out" in finding.what
    (tmp_path / "Smith_out.png").unlink()
    (tmp_path / "Smith_out.png").touch()
    assert labels_of(ours(columns=columns), "ours").status == "ok"


def test_a_challenge_whose_table_is_still_packed_is_read(tmp_path: Path) -> None:
    rows = [f"{number},{'5 2' if number % 2 else '-1'}" for number in range(PEOPLE)]
    table = "\n".join(["ImageId,EncodedPixels", *rows])
    (tmp_path / "train-rle.csv.gz").write_bytes(gzip.compress(table.encode()))
    (tmp_path / "dicom-images-train").mkdir()
    for number in range(PEOPLE):
        (tmp_path / "dicom-images-train" / f"{number}.dcm").touch()
    overlay = {"workspace": str(tmp_path / "runs"), "datasets": {"siim": {"root": str(tmp_path)}}}
    config = check(merged(yaml.safe_load((ROOT / "config.yaml").read_text()), overlay))
    finding = labels_of(config, "siim")
    assert (finding.status, "200 labelled images" in finding.what) == ("ok", True), finding


def test_large_tables_and_small_environments_are_not_checked(ours: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as small:
        for name in ("stages.label_images.image_labels", "stages.label_images.labels"):
            small.delitem(sys.modules, name, raising=False)
        small.setitem(sys.modules, "jaxtyping", None)  # what an environment without it says
        finding = labels_of(ours(), "ours")
    assert (finding.status, "lacks jaxtyping" in finding.what) == ("not checked", True)
    monkeypatch.setattr(labels, "LARGEST", 10)
    assert labels_of(ours(), "ours").status == "not checked"


def test_a_batch_is_compared_with_the_training_studies_and_shared_by_the_gpus(ours: Make, tmp_path: Path) -> None:
    read_or_create_key(tmp_path / "runs" / "private")
    split = PatientSplit(**SPLIT)
    studies = sum(split_of(f"Smith{number}", split) == "train" for number in range(PEOPLE))

    def findings(batch: int, gpus: int = 1) -> list[tuple[str, str]]:
        config = ours({"pretrain": {"optimisation": {"batch_size": batch}}})
        return [(each.status, each.what) for each in check_training_studies(config, Indexes(config), gpus)]

    assert findings(studies) == [("ok", f"{studies}, of at most {studies} training studies of ours")]
    assert findings(studies + 1) == [
        (
            "error",
            f"pretrain.optimisation.batch_size {studies + 1} of mlip exceeds at most {studies} training studies of "
            "ours",
        )
    ]
    assert findings(30, gpus=4)[0] == (
        "error", "pretrain.optimisation.batch_size 30 of mlip is not divisible by the 4 GPUs of a training"
    )  # fmt: skip
    most = 4 * (studies // 4)
    assert [status for status, _ in findings(most, gpus=4)] == ["ok"]
    batch = studies // 2 + 1  # almost half of the studies would stay outside of every epoch
    assert findings(batch) == [("warning", f"{batch}, of at most {studies} training studies of ours: each epoch has 1 "
                                           f"steps and leaves out {studies - batch}")]  # fmt: skip
    config = ours({"pretrain": {"optimisation": {"batch_size": batch}}})
    [finding] = check_training_studies(config, Indexes(config))
    best = min(range(batch // 2 + 1, batch + 1), key=lambda size: (studies % size, -size))
    assert finding.remedy == f"pretrain.optimisation.batch_size {best} would leave out {studies % best}"


def test_the_training_studies_are_those_of_the_run_before_there_is_a_key(ours: Make, tmp_path: Path) -> None:
    config = ours({"pretrain": {"optimisation": {"batch_size": PEOPLE}}})
    before = list(check_training_studies(config, Indexes(config)))
    assert [(each.status, "exceeds at most" in each.what) for each in before] == [("error", True)]
    read_or_create_key(tmp_path / "runs" / "private")
    assert list(check_training_studies(config, Indexes(config))) == before


def test_images_of_one_class_are_counted_before_the_run(ours: Make, tmp_path: Path) -> None:
    """Half of the patients have an opacity; every fifth has edema, half of those without an opacity: 20."""
    table = pl.read_csv(tmp_path / "l.csv").with_columns(edema=pl.int_range(pl.len()) % 5 == 0)
    table = table.with_columns(pl.when("edema").then(pl.lit("yes")).otherwise(pl.lit("no")).alias("edema"))
    table.write_csv(tmp_path / "l.csv")
    sets = {name: {"sets": {"a": {"positive": [f"There is {name}."]}}} for name in ("lung_opacity", "edema")}
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({"findings": sets}))
    several = {"finding": None, "columns": {"image": "file"}, "split": {"train": 0, "validation": 0, "test": 1},
               "findings": {"lung_opacity": "opacity", "edema": "edema"}}  # fmt: skip

    def told(**settings: object) -> Finding:
        block = {"prompts": str(tmp_path / "m.yaml")} | settings
        overlay = {"pretrain_on": "mimic_cxr", "datasets": {"ours": {"multi_class_classification": block}}}
        return labels_of(ours(overlay, **several), "ours")

    found = told(per_class=20)
    assert (found.status, found.what) == ("ok", "200 labelled images, all for the test part")
    found = told(per_class=21)
    assert "20 images of the test part have edema and no other class" in found.what
    assert found.status in ("error", "warning")


@pytest.mark.parametrize("allowed", [False, True])
def test_a_patient_in_two_lists_is_an_error_now(ours: Make, tmp_path: Path, allowed: bool) -> None:
    """audit_splits would refuse it hours later."""
    files = pl.read_csv(tmp_path / "l.csv")["file"].to_list()
    parts = ["train", "validation", "test"]
    lines = ["id,split", *(f"{file},{parts[number // 2 % 3]}" for number, file in enumerate(files))]
    (tmp_path / "lists.csv").write_text("\n".join(lines))
    lists = {"split_lists": {"table": "lists.csv", "image_id": "id", "split": "split"}}
    other = {"pretrain_on": "mimic_cxr"}
    index = pl.read_csv(tmp_path / "t.csv")
    assert labels_of(ours(other, **lists), "ours").status in ("ok", "warning")
    same = index.with_columns(pl.when(pl.int_range(PEOPLE) < 4).then(pl.lit("Smith0")).otherwise("who").alias("who"))
    same.write_csv(tmp_path / "t.csv")
    other |= {"datasets": {"ours": {"audit_splits": {"allow_overlap": allowed}}}}
    found = labels_of(ours(other, **lists), "ours")
    assert (found.status == "error") is not allowed
    if not allowed:
        assert "label_images.split_lists: 1 patients are in more than one part" in found.what
        assert "datasets.ours.audit_splits.allow_overlap" in found.remedy
        assert "Smith" not in str(found)
