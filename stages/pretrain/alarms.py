"""One line on standard error and a tag in the journal when the numbers of a training look wrong; it goes on."""

import math
import sys
from collections.abc import Mapping

from stages.common.tracking import Run

_COLLAPSED = 1.5  # effective rank below it: the embeddings lie on a line
_FLAT = 1e-4  # standard deviation of phi below it: s is the same for every mask
_STEPS_TO_WARM_UP = 500  # phi starts flat, and embeddings start close together


def alarms_of(values: Mapping[str, float], step: int) -> dict[str, str]:
    """What is wrong with the numbers logged at `step`: a message for each kind of alarm; {} where nothing is."""
    found = {}
    infinite = [key for key, value in values.items() if not math.isfinite(value)]
    if infinite:
        found["not_finite"] = f"{', '.join(infinite)} not finite: lower optimisation.learning_rate"
    if step < _STEPS_TO_WARM_UP:
        return found
    for part in ("images", "reports"):
        rank = values.get(f"effective_rank/{part}", math.inf)
        if rank < _COLLAPSED:
            found[f"collapse_{part}"] = (
                f"embeddings of {part} have collapsed (effective rank {rank:.2f}): lower optimisation.learning_rate, "
                "or enlarge batch_size"
            )
    spread = values.get("integrity/phi_standard_deviation", math.inf)
    if spread < _FLAT:
        found["flat_phi"] = (
            f"the integrity map is flat (standard deviation {spread:.1e}): it has no effect; raise "
            "contrastive.integrity_learning_rate_factor, or show no map"
        )
    return found


class Watch:
    """Logs to a journal and raises each kind of alarm once, with the step at which it was first seen."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._raised: set[str] = set()

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log_metrics(values, step)
        for kind, message in alarms_of(values, step).items():
            if kind not in self._raised:
                self._raised.add(kind)
                self._run.log_tag(f"alarm_{kind}", f"step {step}: {message}")
                print(f"warning: step {step}: {message}", file=sys.stderr, flush=True)
