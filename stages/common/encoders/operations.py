"""Floating-point operations of the encoders in closed form; a multiply and an add are two operations.

Matrix products are counted: linear layers, attention, projections. Elementwise functions are not.
"""

from dataclasses import dataclass
from typing import TypeVar

Count = TypeVar("Count", int, float)  # a mean number of tokens need not be whole
FORWARD_AND_BACKWARD = 3  # a backward pass costs two forward passes


def product(rows: Count, inner: int, columns: int) -> Count:
    """Return the operations of a product of [rows, inner] and [inner, columns]."""
    return 2 * rows * inner * columns


@dataclass(frozen=True)
class Transformer:
    """A stack of layers of one width (Kaplan et al. 2020, table 1)."""

    width: int  # channels of a token
    hidden: int  # channels of the two-layer perceptron
    depth: int  # layers

    def forward(self, tokens: Count, layers: int | None = None) -> Count:
        """Return the operations of one sequence's forward pass through `layers` layers, by default all.

        Per layer: Q, K, V and the output; scores and their product with V; the two matrices of the perceptron.
        """
        layer = tokens * (8 * self.width**2 + 4 * self.width * self.hidden) + 4 * tokens**2 * self.width
        return (self.depth if layers is None else layers) * layer
