"""Features of extract_features by image."""

from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float

from stages.common.arrow_tables import map_table
from stages.common.atomic_files import verify
from stages.common.errors import InputError
from stages.common.schemas import features


class CachedFeatures:
    """The encoder's pooled tokens of every image of a data set, before the projection: mean of patches, or [CLS]."""

    def __init__(self, path: Path) -> None:
        """Raises InputError where the file is damaged or no features.arrow, or holds numbers that are not finite."""
        verify(path)
        table = map_table(path)
        types = {field.name: field.type for field in table.schema}
        widths = [getattr(types.get(name), "list_size", 1) for name in ("embedding", "pooled")]
        if not table.schema.equals(features(*widths)):
            raise InputError(
                f"{path}: columns differ from the contract in stages/common/schemas.py; run its stage again"
            )
        self._path = path
        self._pooled = table["pooled"].combine_chunks().flatten().to_numpy().reshape(len(table), widths[1])
        self._row = {image_id: row for row, image_id in enumerate(table["image_id"].to_pylist())}
        wrong = np.flatnonzero(~np.isfinite(self._pooled).all(axis=1))
        if len(wrong):
            raise InputError(
                f"{path}: features of {len(wrong)} images (first: {table['image_id'][int(wrong[0])]}) are not finite; "
                "the training of this variant diverged: lower its learning rate and run it again"
            )

    def of(self, part: pl.DataFrame) -> Float[np.ndarray, "images width"]:
        """Features of the rows of `part`, in their order; a labelled image without any is an InputError."""
        lacking = [image_id for image_id in part["image_id"] if image_id not in self._row]
        if lacking:
            raise InputError(
                f"{self._path}: lacks {len(lacking)} labelled images (first: {lacking[0]}); run extract_features again"
            )
        return self._pooled[[self._row[image_id] for image_id in part["image_id"]]]
