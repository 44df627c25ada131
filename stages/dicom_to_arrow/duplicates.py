"""Copies of one image, within a data set and across data sets, by SOPInstanceUID and by what it shows."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from stages.common import schemas
from stages.common.errors import InputError
from stages.common.image_store import ImageStore

# Kind -> column. Stored pixels stand in for what has no digest of its picture (jpeg2000_reduce), at one `size` alone.
_SHARED = {"instance": "instance_uid", "picture": "picture_sha256", "pixels": "pixels_sha256"}


def find_duplicates(manifests: list[Path]) -> tuple[pa.Table, dict[str, int]]:
    """The table DUPLICATES over the data sets of `manifests`, sorted, and how many groups each kind has.

    Pictures are compared whatever the `size` of their data sets is; picture_digest.py says what that finds. UIDs are
    compared where both data sets carry them distributed, or both keyed under one key.
    """
    stores = [ImageStore(manifest) for manifest in manifests]
    names = [store.dataset for store in stores]
    if len(set(names)) != len(names):
        raise InputError(f"manifests of one data set twice ({', '.join(sorted(names))}); give each data set once")
    images = pa.concat_tables([store.table.select(["dataset", "image_id", *_SHARED.values()]) for store in stores])
    tables, counts = [], {}
    for kind, column in _SHARED.items():
        known = images.filter(pc.is_valid(images[column]))
        if kind == "pixels":
            known = known.filter(pc.is_null(known["picture_sha256"]))
        groups = known.group_by(column).aggregate([([], "count_all"), ("dataset", "count_distinct")])
        groups = groups.filter(pc.greater(groups["count_all"], 1))
        across = pc.sum(pc.greater(groups["dataset_count_distinct"], 1)).as_py() or 0
        counts |= {f"{kind}_groups": len(groups), f"{kind}_groups_across_data_sets": across}
        copies = known.filter(pc.is_in(known[column], value_set=pc.unique(groups[column])))
        copies = copies.sort_by([(name, "ascending") for name in (column, "dataset", "image_id")])
        columns = [pa.repeat(kind, len(copies)), copies[column], copies["dataset"], copies["image_id"]]
        tables.append(pa.table(columns, schema=schemas.DUPLICATES))
    return pa.concat_tables(tables), counts
