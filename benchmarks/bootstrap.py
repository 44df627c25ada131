"""Compare the bootstrap of the AUC (all draws at once, stages/common/metrics/ranking.py) with a loop over scikit-learn.

Both use the same draws of images; scores have ties. `python -m benchmarks.bootstrap [--images 3000] [--draws 1000]`
"""

import statistics
import time
from argparse import ArgumentParser

import numpy as np
from sklearn.metrics import roc_auc_score

from stages.common.metrics.ranking import auc, draw_weights, values_of_draws


def peers(scores: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the AUC of each draw by the usual loop: gather the drawn images, call scikit-learn."""
    places = [np.repeat(np.arange(len(scores)), row.astype(int)) for row in weights]
    return np.array([roc_auc_score(targets[place], scores[place]) for place in places])


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    for name, default in (("images", 3000), ("draws", 1000), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    generator = np.random.default_rng(7)  # differs from the draws' seed: else counts would correlate with targets
    targets = (generator.random(arguments.images) < 0.2).astype(np.int64)
    scores = np.round(targets + generator.normal(size=arguments.images), 2)  # rounding makes ties
    weights = draw_weights(np.arange(arguments.images), arguments.draws, seed=0)
    seconds: dict[str, list[float]] = {"ours": [], "peers": []}
    for _ in range(arguments.rounds):
        started = time.process_time()
        ours = values_of_draws(lambda drawn: auc(scores, targets, drawn), weights)
        seconds["ours"].append(time.process_time() - started)
        started = time.process_time()
        theirs = peers(scores, targets, weights)
        seconds["peers"].append(time.process_time() - started)
    medians = {side: statistics.median(values) for side, values in seconds.items()}
    print(f"{arguments.images} images, {arguments.draws} draws, {arguments.rounds} rounds")
    print(f"ours {medians['ours']:.3f} s, peers {medians['peers']:.3f} s, {medians['peers'] / medians['ours']:.1f}x")
    print(f"largest difference {np.abs(ours - theirs).max():.1e}")


if __name__ == "__main__":
    main()
