"""All paired comparisons of one column of a table: every two variants, on the same test images and draws."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...common.errors import InputError
from ...common.files.atomic_files import write_text
from ...common.metrics.ranking import draw_weights
from .image_values import ImageValues
from .paired_bootstrap import Comparison, Drawn, compare_all, decided_best, drawn

_COLUMNS = ("table", "measure", "first", "second", "difference", "low", "high", "p", "p_holm")


@dataclass
class Comparisons:
    """Collects what it is asked to compare, so that the tables and comparisons.csv say the same."""

    draws: int
    seed: int
    found: dict[tuple[str, str], list[Comparison]] = field(default_factory=dict)  # by table and measure
    decided: dict[tuple[str, str], str | None] = field(default_factory=dict)  # the one in bold, if there is one
    _weights: dict[tuple[str, ...], object] = field(default_factory=dict)

    def best(
        self,
        table: str,
        measure: str,
        variants: Mapping[str, ImageValues],
        metric: str,
        smaller_is_better: bool = False,
    ) -> str | None:
        """Compare all `variants` and name the one that is better than every other by the test, if there is one."""
        values = self._drawn(variants, metric)
        self.found[table, measure] = compare_all(values)
        self.decided[table, measure] = decided_best(values, self.found[table, measure], smaller_is_better)
        return self.decided[table, measure]

    def is_best(self, table: str, measure: str, name: str) -> bool:
        """Whether the figure is in bold; never in a column that was not compared."""
        return self.decided.get((table, measure)) == name

    def _drawn(self, variants: Mapping[str, ImageValues], metric: str) -> dict[str, Drawn]:
        first = next(iter(variants.values()))
        for each in variants.values():
            if each.images != first.images:
                raise InputError(
                    f"{each.source}: other test images than {first.source}", remedy="run the stage again for both"
                )
        key = tuple(first.groups.tolist())
        if key not in self._weights:
            self._weights = {key: draw_weights(first.groups, self.draws, self.seed)}  # one at a time: they are large
        return {name: drawn(each.metrics[metric], self._weights[key]) for name, each in variants.items()}

    def against(self, table: str, measure: str, first: str, second: str) -> Comparison:
        """first - second."""
        for each in self.found[table, measure]:
            if (each.first, each.second) == (first, second):
                return each
            if (each.first, each.second) == (second, first):
                return each.reversed()
        raise KeyError((table, measure, first, second))

    def from_one(self, table: str, measure: str, one: str) -> dict[str, Comparison]:
        """Every other one minus `one`; empty where the column was not compared."""
        pairs = [(each.first, each.second) for each in self.found.get((table, measure), [])]
        others = [first if second == one else second for first, second in pairs if one in (first, second)]
        return {other: self.against(table, measure, other, one) for other in others}

    def write(self, path: Path) -> Path:
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for (table, measure), comparisons in self.found.items():
            for each in comparisons:
                figures = (each.difference.value, each.difference.low, each.difference.high, each.p, each.adjusted)
                writer.writerow([table, measure, each.first, each.second, *map(repr, figures)])
        write_text(path, buffer.getvalue())
        return path
