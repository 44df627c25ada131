"""Views of MIMIC-CXR's images where the metadata leave ViewPosition empty (15,769 of MIMIC-CXR-JPG's 377,110)."""

from pathlib import Path

import polars as pl

from ..common.data.distributions import MIMIC_METADATA, name_in
from ..common.data.index_tables import read_index
from ..common.files.archives import is_file
from ..common.radiographs.views import normalise_view, view_described_by

# By how closely a column describes the image itself: the last three describe the study. PatientOrientationCodeSequence
# says erect or recumbent; it counts where it names a view, too.
COLUMNS = (
    "ViewCodeSequence_CodeMeaning",
    "PatientOrientationCodeSequence_CodeMeaning",
    "PerformedProcedureStepDescription",
    "ProcedureCodeSequence_CodeMeaning",
)


def with_views(files: pl.DataFrame, root: Path) -> pl.DataFrame:
    """Fill empty cells of `view` by the first other column of the metadata that names a single view, by dicom_id.

    A view that is stated stays as it is written.
    """
    name = name_in(root, MIMIC_METADATA)
    if not is_file(root / name):
        return files
    table = read_index(root, name, ["dicom_id"])
    columns = [name for name in COLUMNS if name in table.columns]
    unknown = {text: normalise_view(text) is None for text in files["view"].unique()}
    if not columns or not any(unknown.values()):
        return files
    views = {text: view_described_by(text) for name in columns for text in table[name].drop_nulls().unique()}
    described = pl.coalesce(
        pl.col(name).replace_strict(views, default=None, return_dtype=pl.String) for name in columns
    )
    found = files.join(table.select("dicom_id", described=described), on="dicom_id", how="left", maintain_order="left")
    empty = pl.Series([unknown[text] for text in files["view"]], dtype=pl.Boolean)
    return found.with_columns(view=pl.when(empty).then("described").otherwise("view")).drop("described")
