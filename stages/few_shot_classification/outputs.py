"""The files of a job: result.json and the scores of every repetition."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from jaxtyping import Float

from stages.common.arrow_tables import write_table
from stages.common.atomic_files import write_record
from stages.common.labelled_parts import Parts
from stages.common.published_protocols import in_words
from stages.common.schemas import SCORES
from stages.common.tracking import Run
from stages.few_shot_classification.evaluation import SeedScores


def write_result(
    result_path: Path, scores_folder: Path, result: dict[str, Any], parts: Parts, runs: Sequence[SeedScores], run: Run
) -> None:
    """Write both and enter them, with the figures, in the journal. Scores of an earlier run are removed."""
    shutil.rmtree(scores_folder, ignore_errors=True)
    scores_folder.mkdir(parents=True)
    for each in runs:
        rows = pl.concat([scored_rows(parts.validation, each.validation), scored_rows(parts.test, each.test)])
        path = scores_folder / f"seed_{each.seed}.arrow"
        write_table(path, SCORES, pa.Table.from_pylist(rows.to_dicts(), schema=SCORES))
        run.log_artifact(path)
    write_record(result_path, result)
    run.log_artifact(result_path, publish=True)
    run.log_metrics({f"test/{name}": figure["value"] for name, figure in result["metrics"].items()})
    run.log_metrics({f"overlap/{kind}": count for kind, count in result["overlap"].items()})
    if result["departures"]:
        run.log_tag("not_the_published_protocol", in_words([result["departures"]]))
    if result["skipped"]:
        run.log_tag("skipped", result["skipped"])


def scored_rows(part: pl.DataFrame, scores: Float[np.ndarray, "images"]) -> pl.DataFrame:
    """Rows of SCORES; larger logits mean present."""
    return part.select("image_id", "patient_id", "split", "target", score=pl.Series(scores, dtype=pl.Float32))
