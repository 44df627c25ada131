"""Join of images and reports by study, and the decision which pairs stay.

The split into train, validation and test is by patient.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa

from ..common.data.image_store import ImageStore
from ..common.data.patient_split import PatientSplit, split_of
from ..common.errors import InputError

_IMAGE_COLUMNS = [
    "image_id",
    "study_id",
    "patient_id",
    "dataset",
    "view",
    "original_rows",
    "original_columns",
    "pixels_sha256",
]


def read_images(store: ImageStore, files: pa.Table, files_path: Path) -> pl.DataFrame:
    """Return images in store order: `_IMAGE_COLUMNS` and distributed_split.

    Raises InputError where an image is not in `files`.
    """
    images = pl.DataFrame(store.table.select(_IMAGE_COLUMNS))
    splits = pl.DataFrame(files.select(["image_id", "distributed_split"]))
    joined = images.join(splits, on="image_id", how="inner", maintain_order="left")
    if len(joined) != len(images):
        foreign = images.join(splits, on="image_id", how="anti")["image_id"]
        raise InputError(
            f"{files_path}: image {foreign[0]} is not indexed", remedy="give files.arrow of the same data set"
        )
    return joined


def read_sentences(sentences: pa.Table) -> pl.DataFrame:
    """Return sentences in the order of their reports' ids: study_id, text, pieces (their number of word pieces)."""
    table = pl.DataFrame(sentences.select(["study_id", "position", "text", "token_ids"]))
    pieces = pl.col("token_ids").list.len().alias("pieces")
    return table.select("study_id", "position", "text", pieces).sort("study_id", "position").drop("position")


def join_reports(sentences: pl.DataFrame) -> pl.DataFrame:
    """Return reports in the order of their ids: study_id, and the sentences of `read_sentences` joined as text."""
    return sentences.group_by("study_id", maintain_order=True).agg(pl.col("text").str.join("\n"))


WITHOUT_REPORT = "image_without_report"
WITHOUT_IMAGE = "report_without_image"
DUPLICATE_PIXELS = "duplicate_pixels_across_splits"
OTHER_IMAGE = "another_image_of_the_study"

_MESSAGES = {
    WITHOUT_REPORT: "no sentence of a report has this image's study",
    WITHOUT_IMAGE: "no converted image has this report's study",
    DUPLICATE_PIXELS: "the same pixels are in a split that comes first (train, validation, test)",
    OTHER_IMAGE: "images_per_study is one, and the study has an image that comes first",
}


@dataclass(frozen=True)
class Pairing:
    """Pairs and rejects. `pairs` has the columns of `images` and split, in the order of the images; rejects: REJECTS.

    Every step of the pairing takes one and returns another: what leaves the pairs is added to the rejects.
    """

    dataset: str
    pairs: pl.DataFrame
    rejects: pl.DataFrame

    def keep(self, kept: pl.Expr, reason: str) -> "Pairing":
        """Return the pairs for which `kept` holds; the others become rejects."""
        dropped = self.pairs.filter(~kept)["image_id"]
        rejects = pl.concat([self.rejects, _rejects(self.dataset, dropped, reason)])
        return Pairing(self.dataset, self.pairs.filter(kept), rejects)


def pair(
    images: pl.DataFrame, reports: pl.DataFrame, settings: PatientSplit, split_by: Callable[[str], str] = str
) -> Pairing:
    """Return one row per image with its study's report; whatever has no counterpart becomes a reject.

    `images` is as `read_images` returns it; `reports` has study_id; `split_by` is of `ids_to_split_by`. Raises
    InputError where there is no image, or where an image has no patient.
    """
    if images.is_empty():
        raise InputError(
            "no image was converted, so there is nothing to pair", remedy="see the rejects of dicom_to_arrow"
        )
    unknown = images.filter(pl.col("patient_id").is_null())["image_id"]
    if len(unknown):
        raise InputError(
            f"image {unknown[0]} has no patient_id ({len(unknown)} such): name the patient column in "
            "index_inputs, because pairs are split by patient"
        )
    has_report = pl.col("study_id").is_in(reports["study_id"].implode())
    alone = images.filter(~has_report)
    orphans = reports.join(images, on="study_id", how="anti", maintain_order="left")
    dataset = images["dataset"][0]
    rejects = [
        _rejects(dataset, alone["image_id"], WITHOUT_REPORT),
        _rejects(dataset, orphans["study_id"], WITHOUT_IMAGE),
    ]
    pairs = _with_split(images.filter(has_report), settings, split_by)
    assert len(pairs) + len(alone) == len(images)
    return Pairing(dataset, pairs, pl.concat(rejects))


def drop_duplicate_pixels(pairing: Pairing) -> Pairing:
    """Keep equal pixels in the first of their splits only (train, validation, test), and reject the rest."""
    place = pl.col("split").replace_strict({"train": 0, "validation": 1, "test": 2}, return_dtype=pl.Int8)
    return pairing.keep(place == place.min().over("pixels_sha256"), DUPLICATE_PIXELS)


def keep_one_image(pairing: Pairing) -> Pairing:
    """Keep one image per study: PA, AP, any other view; then most original pixels; then smallest image_id.

    PA is the reference projection; AP is taken where the patient could not stand. Views such as "AP SUPINE" count by
    their first word.
    """
    view = pl.col("view").fill_null("").str.to_uppercase()
    rank = pl.when(view.str.starts_with("PA")).then(0).when(view.str.starts_with("AP")).then(1).otherwise(2)
    pixels = pl.col("original_rows").cast(pl.Int64) * pl.col("original_columns")
    first = pairing.pairs.sort("study_id", rank, -pixels, "image_id").unique("study_id", keep="first")["image_id"]
    return pairing.keep(pl.col("image_id").is_in(first.implode()), OTHER_IMAGE)


def _with_split(images: pl.DataFrame, settings: PatientSplit, split_by: Callable[[str], str]) -> pl.DataFrame:
    people = images.select("patient_id", "distributed_split").unique(maintain_order=True)
    splits = [split_of(split_by(patient), settings, distributed) for patient, distributed in people.iter_rows()]
    people = people.with_columns(pl.Series("split", splits, dtype=pl.String))
    return images.join(
        people, on=["patient_id", "distributed_split"], how="left", nulls_equal=True, maintain_order="left"
    )


def _rejects(dataset: str, source_ids: pl.Series, reason: str) -> pl.DataFrame:
    return pl.DataFrame({"source_id": source_ids}, schema={"source_id": pl.String}).select(
        pl.lit(dataset).alias("dataset"),
        "source_id",
        pl.lit(reason).alias("reason"),
        pl.lit(_MESSAGES[reason]).alias("message"),
    )
