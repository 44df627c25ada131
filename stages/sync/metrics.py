"""Metrics that stages log, as MLflow's pages show them: which have a column, and what each means, in which unit."""

import re
from collections.abc import Iterable

# Column of MLflow's list -> its heading in a description.
COLUMNS = {
    "test/auc": "AUC",
    "test/dice_of_positives": "Dice of positives",
    "test/hit_rate": "hits",
    "test/image_to_report/recall_at_5": "recall at 5",
}

# Metric, as a regular expression -> unit and meaning; the first that matches counts. Shares and cosines have no unit.
_MEANINGS = {
    r"test/auc_if_fixed/.*": ("0 to 1", "AUC on test data with this prompt set, had it been fixed beforehand"),
    r"(test|validation)/auc(/.*)?": ("0 to 1", "area under the ROC curve; 0.5 is chance, 1 is best"),
    r"test/average_precision(/.*)?": ("0 to 1", "area under the precision-recall curve; the prevalence is chance"),
    r"test/f1(/.*)?": ("0 to 1", "harmonic mean of precision and recall at the threshold chosen on validation data"),
    r"test/accuracy(/.*)?": ("0 to 1", "share of correct answers at the threshold chosen on validation data"),
    r"test/calibration_error/.*": ("0 to 1", "expected difference of probability and frequency; 0 is best"),
    r"test/dice(_of_positives)?(/.*)?": ("0 to 1", "overlap of outlines, twice the common area over the sum of both"),
    r"test/predict_nothing": ("0 to 1", "Dice of an answer without any outline, to which `dice` compares"),
    r"test/gain_over_nothing": ("-1 to 1", "`dice` less `predict_nothing`"),
    r"test/(mean_)?iou(_of_positives)?(/.*)?": ("0 to 1", "overlap: common area over joint area"),
    r"test/(hit_rate|pointing)(/.*)?": ("0 to 1", "share of heatmaps whose peak lies inside an outline"),
    r"test/.*contrast_to_noise(/.*)?": ("deviations", "heatmap inside less outside an outline, over their deviation"),
    r"(test/.*|validation/)recall_at_\d+": ("0 to 1", "share of queries whose partner is among the first so many"),
    r"test/.*precision_at_\d+": ("0 to 1", "share of the first so many that have the query's class"),
    r"test/.*median_rank": ("rank", "median place of the partner; 1 is best"),
    r"validation/mean_reciprocal_rank": ("0 to 1", "mean of 1 / rank of the partner"),
    r"(loss|validation)/.*loss.*|loss/.*|seed_\d+/loss": ("nats", "loss; lower is better"),
    r"speed/pairs_per_second": ("pairs/s", "training speed"),
    r"speed/seconds_left": ("s", "estimated time to the end"),
    r"speed/tflop_per_second": ("10^12 operations/s", "arithmetic of the model"),
    r"speed/loader_stall_share": ("0 to 1", "share of the time that training waited for data"),
    r"memory/peak_bytes": ("bytes", "peak memory of the device"),
    r"(parts/)?system/.*megabytes": ("MB", "memory in use"),
    r"(parts/)?system/cpu_cores": ("cores", "processor cores in use"),
    r"(parts/)?system/.*(percent|utili[sz]ation).*": ("%", "use of the device"),
    r"learning_rate": ("per step", "learning rate"),
    r"gradient_norm": ("none", "Euclidean norm of the gradient before clipping"),
    r"temperature/.*": ("none", "temperature of a softmax over cosines"),
    r"effective_rank/.*": ("dimensions", "effective rank of the embeddings; 1 is a collapse"),
    r".*prevalence/.*|.*_share": ("0 to 1", "share"),
}


def column_of(key: str) -> str | None:
    """Return the column to which a metric belongs, itself or with a finding behind it; None: to none."""
    return next((each for each in COLUMNS if key == each or key.startswith(f"{each}/")), None)


def meanings(keys: Iterable[str]) -> list[str]:
    """Return Markdown that gives unit and meaning of the metrics that need it; a name such as `images` is a count."""
    lines = []
    for key in sorted(keys):
        found = next((said for pattern, said in _MEANINGS.items() if re.fullmatch(pattern, key)), None)
        lines += [f"| {key} | {found[0]} | {found[1]} |"] if found else []
    return ["| metric | unit | |", "|---|---|---|", *lines] if lines else []
