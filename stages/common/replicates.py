"""Replicates of a variant: the same settings trained with several seeds, each with a folder of its own.

A replicate's name stands for the variant in the DAG: in the wildcard {variant}, in folders, journals and logs.
"""

import re
from typing import NamedTuple


class Replicate(NamedTuple):
    """A variant with one of its `seeds`; None: its only training, with the seed of its settings."""

    variant: str
    seed: int | None = None

    @property
    def name(self) -> str:
        """Return its name in the DAG: `mlip-seed1`, or the variant's where no seeds are listed."""
        return self.variant if self.seed is None else f"{self.variant}-seed{self.seed}"

    @classmethod
    def parse(cls, name: str) -> "Replicate":
        """Return the replicate that a name in the DAG means.

        A variant that a person named so (`mlip-seed1: {seed: 1}`) reads as a replicate, too.
        """
        if found := re.fullmatch(r"(.+)-seed(0|[1-9]\d*)", name):
            return cls(found[1], int(found[2]))
        return cls(name)

    @property
    def columns(self) -> dict[str, str | int]:
        """Return what tells it from others: `variant`, and `seed` where it has one of several."""
        return {"variant": self.variant} | ({} if self.seed is None else {"seed": self.seed})
