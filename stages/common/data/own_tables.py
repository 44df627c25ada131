"""Settings about a user's own tables, which index_inputs and label_images share; no table library is imported."""

import codecs
import re
from collections.abc import Mapping
from typing import Annotated, NamedTuple

from pydantic import Field, field_validator, model_validator

from ..settings import Settings
from .distributions import Layout
from .identifiers import IdentifierKind, resolve_kind


class TableFormat(NamedTuple):
    """Format of a table's text. `keys` says whether the two are keys of the settings, to be named in remedies."""

    separator: str | None = None  # None: a tab in .tsv, else a comma
    encoding: str = "utf-8"
    keys: bool = False


PATH = "path"  # the column of a data set without a table that holds the path of the image
DISTRIBUTED = TableFormat()  # of the tables of public data sets


def names_of(columns: str | list[str] | dict[str, str] | None) -> list[str]:
    """Return the names of columns that a key gives: one, several, several by what they hold, or none."""
    if isinstance(columns, dict):
        return list(columns.values())
    return [columns] if isinstance(columns, str) else columns or []


class ImageColumns(Settings):
    """Names of those columns of a `folder` data set's table that every stage reads."""

    image_id: str | None = Field(None, description="unique id of the image; null: the image's path is its id")
    license: str | None = Field(None, description="licence of the row, counted in the journal and the card")

    def names(self) -> Mapping[str, str]:
        """Return the columns that the table must have, each with the key that names it."""
        named: dict[str, str] = {}
        for key, value in self.model_dump().items():
            for name in names_of(value):
                named.setdefault(name, f"columns.{key}")
        return named


class OwnTables(Settings):
    """Keys of a data set's block that index_inputs and label_images share."""

    layout: Layout = Field(description="how the data set is laid out on disk")
    table: str | None = Field(
        None, description="folder: name of the table (CSV, .tsv, .parquet, .jsonl), relative to the root"
    )
    tree: str | None = Field(
        None,
        exclude_if=lambda value: value is None,  # a data set without it keeps the digest of its settings
        description="folder: instead of `table`, a regular expression with named groups that fits the whole path of an "
        "image below the root: each image that it fits is a row, whose columns are `path` and the groups",
    )
    columns: ImageColumns | None = Field(None, description="folder: names of the table's columns")
    separator: str | None = Field(
        None, description="character between the cells of your own CSV files; null: a tab in .tsv, else a comma"
    )
    encoding: str = Field("utf-8", description="encoding of your own CSV files, e.g. latin-1, cp1252 or utf-16")
    only_rows: dict[str, Annotated[list[str], Field(min_length=1)]] = Field(
        default_factory=dict,
        exclude_if=lambda value: not value,  # a data set without it keeps the digest of its settings
        description="folder: the rows to read, by the cells of further columns, e.g. `{MethodLabel: [Physician]}`; "
        '"" is a blank cell. Give it in both blocks where it tells images apart',
    )
    identifiers: IdentifierKind | None = Field(
        None,
        description="distributed: unchanged; keyed: HMAC; null: keyed for layout `folder`, else distributed. The same "
        "in index_inputs and label_images",
    )

    @field_validator("separator")
    @classmethod
    def _is_one_character(cls, separator: str | None) -> str | None:
        separator = "\t" if separator == r"\t" else separator
        if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
            raise ValueError(r"a separator is one character, e.g. ';' or '\t'")
        return separator

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, encoding: str) -> str:
        try:
            "a".encode(codecs.lookup(encoding).name)  # refuses codecs that are not of text, e.g. base64
        except (LookupError, ValueError):
            raise ValueError(f"unknown encoding {encoding!r}: e.g. utf-8, latin-1, cp1252, utf-16") from None
        return encoding

    @model_validator(mode="after")
    def _table_fits_the_layout(self) -> "OwnTables":
        folder = self.layout == "folder"
        if folder and ((self.table is None and self.tree is None) or self.columns is None):
            raise ValueError("layout `folder` needs `table` and `columns`, or instead of a table `tree`")
        if not folder and ((self.table, self.tree, self.columns) != (None, None, None) or self.only_rows):
            keys = "`table`, `tree`, `columns` and `only_rows`"
            raise ValueError(f"{keys} belong to layout `folder`, not to `{self.layout}`")
        if self.table is not None and self.tree is not None:
            raise ValueError("`table` and `tree` are both given: keep one")
        return self

    @model_validator(mode="after")
    def _tree_has_the_columns(self) -> "OwnTables":
        if self.tree is None or self.columns is None:
            return self
        try:
            groups = [*re.compile(self.tree).groupindex]
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"tree: {self.tree!r} is no regular expression: {error}") from None
        if not groups or PATH in groups:
            wrong = (
                f"has a group named {PATH}, which is the column of the whole path" if groups else "has no named group"
            )
            raise ValueError(f"tree: {self.tree!r} {wrong}: write (?P<patient>...), for example")
        for name, key in self.named_columns().items():
            if name not in (PATH, *groups):
                raise ValueError(f"{key}: {name!r} is no group of `tree`, which has {', '.join((PATH, *groups))}")
        return self

    def named_columns(self) -> Mapping[str, str]:
        """Return the columns that the table of a `folder` data set must have, each with the key that names it."""
        assert self.columns is not None, "the validator saw to it"
        return {**dict.fromkeys(self.only_rows, "only_rows"), **self.columns.names()}

    @property
    def identifier_kind(self) -> IdentifierKind:
        """Return how identifiers are written, with the layout's default resolved."""
        return resolve_kind(self.layout, self.identifiers)

    @property
    def show(self) -> bool:
        """Return whether messages may quote ids and column names: they may hold names of people if ids are keyed."""
        return self.identifier_kind == "distributed"

    @property
    def own_format(self) -> TableFormat:
        """Return the format of the user's own tables."""
        return TableFormat(self.separator, self.encoding, keys=True)
