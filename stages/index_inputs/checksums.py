"""Checksums that a distribution publishes: SHA256SUMS.txt, a line a file, as PhysioNet and `sha256sum` write them."""

from pathlib import Path

import polars as pl

from stages.common.distributions import CHECKSUMS
from stages.common.errors import InputError

_LINE = r"^([0-9A-Fa-f]{64})[ \t]+\*?(?:\./)?(.+?)\r?$"


def add_checksums(files: pl.DataFrame, root: Path) -> pl.DataFrame:
    """`files` with the column sha256 (hex, lower case) by path; null where none is published.

    Raises InputError for a line of another form, and for a path with two different checksums.
    """
    source = root / CHECKSUMS
    if not source.is_file():
        return files.with_columns(sha256=pl.lit(None, pl.String))
    try:
        lines = pl.read_csv(source, has_header=False, separator="\x1f", quote_char=None, new_columns=["line"],
                            infer_schema=False, truncate_ragged_lines=True).with_row_index("row", offset=1)  # fmt: skip
    except pl.exceptions.NoDataError:
        return files.with_columns(sha256=pl.lit(None, pl.String))
    except (pl.exceptions.PolarsError, OSError):
        raise InputError(f"{source}: not readable as text; get it again, or move it away") from None
    lines = lines.filter(pl.col("line").str.strip_chars() != "")
    sums = lines.select(
        "row",
        path=pl.col("line").str.extract(_LINE, 2),
        sha256=pl.col("line").str.extract(_LINE, 1).str.to_lowercase(),
    )
    other = sums.filter(pl.col("path").is_null())["row"]
    if len(other):
        raise InputError(f"{source}: line {other[0]} is not '<sha256>  <path>'; get the file again, or move it away")
    sums = sums.unique(["path", "sha256"], keep="first", maintain_order=True)
    twice = sums.filter(pl.col("path").is_duplicated())["row"]
    if len(twice):
        raise InputError(f"{source}: line {twice[1]} contradicts another line of the same path; get the file again")
    return files.join(sums.drop("row"), on="path", how="left", maintain_order="left")
