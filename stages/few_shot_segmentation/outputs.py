"""The files of a job: result.json, the pixel counts of every repetition, and what may be shown."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from stages.common.arrow_tables import write_rows, write_table
from stages.common.atomic_files import write_record
from stages.common.published_protocols import in_words
from stages.common.schemas import OVERLAPS, outlines
from stages.common.tracking import Run
from stages.few_shot_segmentation.outlines import OutlinedImages
from stages.few_shot_segmentation.repetitions import Repetition


def write_result(
    places: dict[str, Path], result: dict[str, Any], test: OutlinedImages, repetitions: Sequence[Repetition], run: Run
) -> None:
    """Write all (`places`: result, overlaps, samples), the result last, and enter them in the journal."""
    shutil.rmtree(places["overlaps"], ignore_errors=True)
    places["overlaps"].mkdir(parents=True)
    for each in repetitions:
        counts = each.result.test
        columns = {"truth": counts.truth, "predicted": counts.predicted[:, 0], "both": counts.both[:, 0]}
        rows = test.labels.select("image_id", "patient_id", **{name: pl.Series(each) for name, each in columns.items()})
        path = places["overlaps"] / f"seed_{each.result.seed}.arrow"
        write_table(path, OVERLAPS, pa.Table.from_pylist(rows.to_dicts(), schema=OVERLAPS))
        run.log_artifact(path)
    write_rows(places["samples"], outlines(test.store.size), [row for each in repetitions for row in each.samples])
    write_record(places["result"], result)
    run.log_artifact(places["result"], publish=True)
    run.log_metrics({f"test/{name}": figure["value"] for name, figure in result["metrics"].items()})
    run.log_metrics({f"overlap/{kind}": count for kind, count in result["overlap"].items()})
    if result["departures"]:
        run.log_tag("not_the_published_protocol", in_words([result["departures"]]))
    if result["skipped"]:
        run.log_tag("skipped", result["skipped"])
