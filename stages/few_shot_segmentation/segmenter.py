"""What the training loop asks of the model of a protocol."""

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Segmenter(nn.Module):
    """Called on grey images 0..1 [batch size size] it returns logits of the finding, pixel by pixel."""

    @abstractmethod
    def loss(self, images: Float[Tensor, "batch size size"], masks: Float[Tensor, "batch size size"]) -> Tensor:
        """What is made small, of a batch; masks are 1 where the finding is."""

    @abstractmethod
    def optimiser(self) -> torch.optim.Optimizer:
        """Of the weights that are trained, each group with its own peak learning rate."""

    @abstractmethod
    def trained(self) -> nn.Module:
        """The part whose weights change: what has to be kept of a training."""
