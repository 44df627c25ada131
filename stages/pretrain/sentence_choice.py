"""Which sentences of a report a training step reads, and in what order (off the paper's path: all, as they stand)."""

import numpy as np

from stages.pretrain.settings import SentenceSettings


def sentence_orders(counts: list[int], settings: SentenceSettings, seed: int) -> list[list[int]]:
    """0-based sentences of each report of the batch, of which there are `counts`; a pure function of its arguments.

    Of more than `settings.keep` sentences that many are drawn, each subset alike; they stay in their order unless
    `settings.shuffle`. At least one is kept of every report.
    """
    randomness = np.random.default_rng(seed)
    orders = []
    for count in counts:
        order = randomness.permutation(count)[: settings.keep]
        orders.append((order if settings.shuffle else np.sort(order)).tolist())
    return orders
