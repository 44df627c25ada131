"""The learning curve: its columns, and the file."""

import csv
import io
from pathlib import Path

from ..common.files.atomic_files import write_sidecar, write_text

CURVE = {
    "step": "1-based; every 20th, and the last",
    "data/studies": "training studies that an epoch passes over: with `data_share`, those of its patients",
    "loss/contrastive": "L_c",
    "loss/contrastive_scaled": "the half of the loss whose logits are scaled by s",
    "loss/contrastive_weighted": "the half of the loss whose pairs are weighted by s",
    "integrity/mean": "mean of s over the batch",
    "integrity/standard_deviation": "standard deviation of s over the batch",
    "effective_rank/images": "effective number of directions over which image embeddings spread; 1: collapsed",
    "effective_rank/reports": "the same for reports",
    "temperature/global": "tau",
    "batch/accuracy": "share of images whose own report is the nearest in the batch",
    "batch/false_negatives": "mean number of other reports with the same text, per image",
    "integrity/phi_standard_deviation": "standard deviation of phi over the patches; empty without phi",
    "loss/local": "L_l; like all values below about the local loss, empty if its weight is 0",
    "temperature/local": "tau_l",
    "transport/iterations": "iterations of the solver, maximum over chunks",
    "transport/marginal_error": "L1 error of the patch marginal, worst pair",
    "transport/plan_entropy": "entropy of matching pairs' plans, nats, mean",
    "transport/gain_over_mean_cosine": "S minus the mean cosine, matching pairs, mean",
    "transport/peak_share": "mass on the best patch, matching pairs, mean",
    "transport/difference_from_pot": "absolute difference of the minimum of one drawn pair; empty if not "
    "compared with POT",
    "transport/plan_difference_from_pot": "of its plan, L1",
    "transport/difference_from_pot_in_bounds": "the larger of the two, each divided by its bound; above 1 is an error",
    "loss/reconstruction": "L_m; empty if its weight is 0, and in epochs without masks",
    "loss/total": "L",
    "gradient_norm": "before clipping",
    "learning_rate": "base learning rate of the step",
}


def write_curve(path: Path, history: list[dict[str, float]]) -> None:
    """Write one row per logged step, in those columns of CURVE that have a value; without training only `step`."""
    found = {"step", *(key for row in history for key in row)}
    columns = [name for name in CURVE if name in found]
    columns += sorted(found - set(CURVE))  # from another version's state, by `resume_from`
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(path, buffer.getvalue())
    write_sidecar(path)
