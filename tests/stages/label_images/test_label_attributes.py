"""Sex, age and view of an image stand beside each of its labels."""

import pyarrow as pa

from stages.common.files import schemas
from stages.common.files.arrow_tables import read_table, write_rows
from stages.label_images.contract import LabelImagesSettings
from stages.label_images.image_labels import label_images
from stages.label_images.label_split import with_splits


def test_every_label_has_the_attributes_of_its_image(tmp_path) -> None:
    names = [f"i{number}" for number in range(12)]
    cells = [f"{name},{number % 2},{number // 6}" for number, name in enumerate(names)]
    (tmp_path / "t.csv").write_text("\n".join(["file,edema,mass", *cells]))
    attributes = {"sex": (["female", "male", "other", None] * 3), "age": ([62.0, 90.0, None] * 4),
                  "view": (["PA", "AP"] * 5 + [None] * 2)}  # fmt: skip
    images = pa.table({"image_id": names, "study_id": names, "patient_id": names, "original_rows": [9] * 12,
                       "original_columns": [9] * 12} | attributes)  # fmt: skip
    settings = LabelImagesSettings.model_validate(
        {"layout": "folder", "table": "t.csv", "columns": {"image": "file"}, "identifiers": "distributed",
         "findings": {"edema": "edema", "mass": "mass"}}
    )  # fmt: skip
    rows = with_splits(label_images(images, tmp_path, settings, None).rows, settings)
    write_rows(tmp_path / "labels.arrow", schemas.LABELS, rows)
    written = read_table(tmp_path / "labels.arrow", schemas.LABELS).to_pylist()
    assert len(written) == 24
    expected = {name: tuple(attributes[key][number] for key in attributes) for number, name in enumerate(names)}
    assert all((row["sex"], row["age"], row["view"]) == expected[row["image_id"]] for row in written)
