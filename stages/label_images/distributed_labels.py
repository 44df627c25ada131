"""Labels as a table gives them, before they meet the images: by image, then by finding."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from .boxes import Box

Value = TypeVar("Value")


class Region(NamedTuple):
    """SIIM run lengths of one region; `row` is the row of its table."""

    row: int
    run_lengths: str


@dataclass(frozen=True)
class FindingLabel:
    """Label of one finding in one image. A mask is given as run lengths, one text per region, or as a PNG file.

    `mask_row` is the row that names the file. `phrases` maps a sentence to those of the boxes that are of it.
    """

    target: int
    boxes: tuple[Box, ...] = ()
    regions: tuple[Region, ...] = ()
    mask_file: str | None = None
    mask_row: int = 0
    phrases: Mapping[str, tuple[Box, ...]] = field(default_factory=dict)

    @property
    def outlined(self) -> bool:
        """Return whether it has boxes or a mask."""
        return bool(self.boxes or self.regions or self.mask_file)


@dataclass(frozen=True)
class DistributedLabel:
    """Labels of one image, by finding; `row` is the image's first one in its table."""

    row: int
    findings: Mapping[str, FindingLabel]
    lung_mask_file: str | None = None
    license: str | None = None


@dataclass(frozen=True)
class LabelTable:
    """The labels of a table by image id, and the rows of images without any: declared so, or with blank cells.

    `uncertain` are the findings that are uncertain in an image, whatever the policy makes of them.
    """

    labels: dict[str, DistributedLabel] = field(default_factory=dict)
    unlabelled: dict[str, int] = field(default_factory=dict)
    blank: dict[str, int] = field(default_factory=dict)
    uncertain: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def of_images(self, studies: Mapping[str, str]) -> "LabelTable":
        """Return a table of studies as one of images; a study without image keeps its id."""
        known = set(studies.values())

        def spread(by_study: Mapping[str, Value]) -> dict[str, Value]:
            of_images = {image: by_study[study] for image, study in studies.items() if study in by_study}
            return of_images | {study: value for study, value in by_study.items() if study not in known}

        return LabelTable(
            spread(self.labels), spread(self.unlabelled), spread(self.blank), spread(self.uncertain), self.warnings
        )

    def renamed(self, rename: Callable[[str], str]) -> "LabelTable":
        """Return the table with other ids."""
        return LabelTable(
            {rename(image): label for image, label in self.labels.items()},
            {rename(image): row for image, row in self.unlabelled.items()},
            {rename(image): row for image, row in self.blank.items()},
            {rename(image): findings for image, findings in self.uncertain.items()},
            self.warnings,
        )


def row_of(source: Path, row: int, image: str, show: bool) -> str:
    """Return the words that name a row of a table, with its image where messages may quote ids."""
    return f"{source}: row {row}" + (f": image {image}" if show else "")
