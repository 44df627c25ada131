"""Folders and archives without a table: a pattern reads the columns off the paths, for the index and for the labels."""

import shutil
from pathlib import Path

import pytest

from stages.common.errors import InputError
from stages.common.settings import validating
from stages.index_inputs.contract import IndexInputsSettings
from stages.index_inputs.index import build_index
from stages.label_images.contract import LabelImagesSettings
from stages.label_images.label_tables import read_labels

TREE = r"(train|test)/(?P<target>NORMAL|PNEUMONIA)/(?P<patient>person\d+)(_(?P<kind>virus|bacteria))?_.*"
COLUMNS = {"image": "path", "patient": "patient", "view": "kind"}
BLOCK = {"layout": "folder", "tree": TREE, "columns": COLUMNS, "identifiers": "distributed"}
LABELS = {"layout": "folder", "tree": TREE, "columns": {"image": "path", "target": "target"}, "finding": "pneumonia",
          "positive_values": ["PNEUMONIA"], "negative_values": ["NORMAL"], "identifiers": "distributed"}  # fmt: skip
FITTING = ["test/NORMAL/person1_a.jpeg", "train/NORMAL/person2_1.2.840.5", "train/PNEUMONIA/person3_c",
           "train/PNEUMONIA/person3_virus_b.JPG"]  # fmt: skip
OTHERS = ["test/NORMAL/Smith.png", "train/OTHER/person4_d.dcm"]
NO_IMAGES = ["train/NORMAL/person5_notes.txt", "train/NORMAL/person5_x", "train/NORMAL/.person5_x.png",
             "train/NORMAL/person5_6.7", "__MACOSX/train/NORMAL/person6_a.jpeg", "readme.pdf"]  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in [*FITTING, *OTHERS, *NO_IMAGES]:
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(128) + b"DICM" if name in FITTING else b"short")
    return tmp_path / "tree"


def files_of(root: Path, roots: tuple[Path, ...] = (), private: Path | None = None, **more: object):
    return build_index(root, IndexInputsSettings.model_validate(BLOCK | more), "set", private, roots)


@pytest.mark.parametrize("form", [None, "zip", "tar", "gztar"])
def test_paths_are_rows_and_groups_are_columns(tree: Path, form: str | None) -> None:
    root = Path(shutil.make_archive(str(tree), form, tree)) if form else tree
    index = files_of(root)
    rows = index.files.select("path", "image_id", "patient_id", "view").rows()
    assert [row[:2] for row in rows] == [(name, name) for name in FITTING]
    assert [row[2:] for row in rows] == [("person1", None), ("person2", None), ("person3", None), ("person3", "virus")]
    assert index.warnings == [f"{root}: 2 image files do not fit `tree`, first {OTHERS[0]}: they are not read"]
    assert index.counts == {"files_unlike_tree": 2}
    labels = read_labels(root, LabelImagesSettings.model_validate(LABELS)).labels
    assert {image: each.findings["pneumonia"].target for image, each in labels.items()} == dict(
        zip(FITTING, [0, 0, 1, 1], strict=True)
    )


def test_a_tree_reaches_over_roots_of_which_the_first_goes_first(tree: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    for name in ("train/NORMAL/person9_z.png", FITTING[0]):
        (more / name).parent.mkdir(parents=True, exist_ok=True)
        (more / name).touch()
    for roots in ((more,), (Path(shutil.make_archive(str(more), "zip", more)),)):
        index = files_of(tree, roots)
        assert index.files["path"].to_list() == [*FITTING[:1], "train/NORMAL/person2_1.2.840.5",
                                                 "train/NORMAL/person9_z.png", *FITTING[2:]]  # fmt: skip
        assert "1 files of `roots` have the path of another one: the first is read" in index.warnings[1]
        labels = read_labels(tree, LabelImagesSettings.model_validate(LABELS), roots).labels
        assert "train/NORMAL/person9_z.png" in labels


def test_keyed_data_sets_name_no_file(tree: Path, tmp_path: Path) -> None:
    index = files_of(tree, private=tmp_path / "private", identifiers="keyed")
    assert index.warnings == [f"{tree}: 2 image files do not fit `tree`: they are not read"]
    assert index.files["patient_id"].n_unique() == 3
    for pattern, said in ((r"x/(?P<patient>.*)", "none of 4 image files fits `tree`; correct"),
                          (r"(?P<patient>.*[.]pdf)", "none of 4 image files fits `tree`")):  # fmt: skip
        with pytest.raises(InputError, match=said) as caught:
            files_of(tree, private=tmp_path / "private", identifiers="keyed", tree=pattern, columns={"image": "path"})
        assert "person" not in str(caught.value)


def test_an_empty_group_is_an_empty_cell_and_refused_where_it_is_an_id(tree: Path) -> None:
    pattern = r"(train|test)/(?P<target>NORMAL|PNEUMONIA)/person\d+(_(?P<patient>virus))?_.*"
    with pytest.raises(InputError, match=r"row 1: patient is empty \(3 such rows\)"):
        files_of(tree, tree=pattern, columns={"image": "path", "patient": "patient"})
    (tree / "other").mkdir()
    with pytest.raises(InputError, match="other: no image file below it"):
        files_of(tree / "other")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"tree": "(?P<patient>"}, "is no regular expression"),
        ({"tree": "(train)/.*"}, "has no named group"),
        ({"tree": "(?P<path>.*)"}, "has a group named path"),
        ({"table": "t.csv"}, "`table` and `tree` are both given"),
        ({"columns": {"image": "file"}}, r"columns.image: 'file' is no group of `tree`, which has path, target, pat"),
        ({"find_images_in": "."}, "`find_images_in` is for names in a table"),
        ({"layout": "rsna", "columns": None}, "belong to layout `folder`"),
        ({"tree": None}, "needs `table` and `columns`, or instead of a table `tree`"),
    ],
)
def test_what_is_wrong_with_a_pattern_is_told_before_anything_runs(more: dict, said: str) -> None:
    with pytest.raises(InputError, match=said), validating("index_inputs"):
        IndexInputsSettings.model_validate(BLOCK | more)


def test_a_table_in_another_folder_of_an_archive_is_hinted_at(tmp_path: Path) -> None:
    (tmp_path / "in/top").mkdir(parents=True)
    (tmp_path / "in/top/t.csv").write_text("file\na.png\n")
    root = Path(shutil.make_archive(str(tmp_path / "x"), "zip", tmp_path / "in"))
    block = {"layout": "folder", "columns": {"image": "file"}, "identifiers": "distributed"}
    with pytest.raises(InputError, match=r"x.zip/t.csv: no such index file; a file of this name lies in another"):
        build_index(root, IndexInputsSettings.model_validate(block | {"table": "t.csv"}), "set", None)
    for place, table in ((root, "top/t.csv"), (tmp_path, "x.zip/top/t.csv")):
        files = build_index(place, IndexInputsSettings.model_validate(block | {"table": table}), "set", None).files
        assert files["path"].to_list() == ["a.png"]


def test_columns_of_findings_are_groups_too() -> None:
    block = {key: value for key, value in LABELS.items() if key != "finding"}
    more = {"columns": {"image": "path"}, "findings": {"pneumonia": "label"}}
    with pytest.raises(InputError, match=r"findings.pneumonia.target: 'label' is no group"), validating("label_images"):
        LabelImagesSettings.model_validate(block | more)


def test_settings_without_a_tree_keep_their_digest() -> None:
    assert "tree" not in IndexInputsSettings(layout="rsna").model_dump()
