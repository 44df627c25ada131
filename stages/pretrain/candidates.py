"""The outputs of pre-training: candidates beside their index, and the learning curve."""

import csv
import io
import shutil
from pathlib import Path

from stages.common.atomic_files import atomic_path, verify, write_record, write_sidecar, write_text
from stages.common.state_files import disk_space_told
from stages.pretrain.settings import PretrainSettings
from stages.pretrain.training import candidate_path, candidate_steps
from stages.pretrain.training_state import TrainingState


def write_candidates(
    index: Path, folder: Path, state: TrainingState, settings: PretrainSettings, record: dict, provenance: dict
) -> None:
    """Copy the candidates of a finished training from the state's `folder` beside `index`; write the index last.

    `record` is what builds the encoder again, `provenance` what it was made from; the index names each candidate's
    step, file and sha256. Those before the step of a `resume_from` are not of this training.
    """
    rows = []
    for step in candidate_steps(state.step, settings.optimisation.candidates):
        if step <= state.first_step and state.first_step:
            continue
        source = candidate_path(folder, step)
        verify(source)
        copy = Path(index).parent / "candidates" / source.name
        with disk_space_told(copy), atomic_path(copy) as temporary:
            shutil.copyfile(source, temporary)
        rows.append({"step": step, "path": f"candidates/{source.name}", "sha256": write_sidecar(copy)})
    written = {"steps": state.step, "mask_ratio": settings.mask_ratio, "provenance": provenance}
    write_record(index, {**written, "encoder": record, "candidates": rows})


def write_curve(path: Path, history: list[dict[str, float]]) -> None:
    """One row a logged step, one column a number; a run without training has only the header `step`."""
    columns = list(dict.fromkeys(["step", *(key for row in history for key in row)]))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(path, buffer.getvalue())
    write_sidecar(path)
