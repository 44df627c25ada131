"""The outputs of pre-training: candidates beside their index, and the learning curve."""

import csv
import io
import shutil
from pathlib import Path

from stages.common.atomic_files import atomic_path, verify, write_record, write_sidecar, write_text
from stages.pretrain.settings import PretrainSettings
from stages.pretrain.training import candidate_path, candidate_steps


def write_candidates(index: Path, state: Path, steps: int, settings: PretrainSettings, record: dict) -> None:
    """Copy the candidates of a finished training beside `index` and write the index last.

    `record` is what builds the encoder again; the index names each candidate's step, file and sha256.
    """
    folder = Path(index).parent / "candidates"
    rows = []
    for step in candidate_steps(steps, settings.optimisation.candidates):
        source = candidate_path(state, step)
        verify(source)
        with atomic_path(folder / source.name) as temporary:
            shutil.copyfile(source, temporary)
        rows.append({"step": step, "path": f"candidates/{source.name}", "sha256": write_sidecar(folder / source.name)})
    write_record(index, {"steps": steps, "encoder": record, "candidates": rows})


def write_curve(path: Path, history: list[dict[str, float]]) -> None:
    """One row a logged step, one column a number; a run without training has only the header `step`."""
    columns = list(dict.fromkeys(["step", *(key for row in history for key in row)]))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(path, buffer.getvalue())
    write_sidecar(path)
