"""The outputs of pre-training: candidates beside their index, and the learning curve."""

import csv
import io
import shutil
import sys
from pathlib import Path

from stages.common.atomic_files import atomic_path, verify, write_record, write_sidecar, write_text
from stages.common.errors import InputError
from stages.common.state_files import disk_space_told
from stages.pretrain.settings import PretrainSettings
from stages.pretrain.training import candidate_path, candidate_steps, save_candidate
from stages.pretrain.training_state import TrainingState


def write_candidates(
    index: Path, folder: Path, state: TrainingState, settings: PretrainSettings, record: dict, provenance: dict
) -> list[int]:
    """Write the candidates of a finished training beside `index`, and the index last; returns steps that are lost.

    The last one comes from the weights in memory, those before it from the state's `folder`; one that was damaged there
    is left out with a warning, since days of training need not be repeated for it. `record` is what builds the encoder
    again, `provenance` what it was made from; the index names each candidate's step, file and sha256. Those before the
    step of a `resume_from` are not of this training.
    """
    rows: list[dict[str, object]] = []
    lost = []
    for step in candidate_steps(state.step, settings.optimisation.candidates):
        if step <= state.first_step and state.first_step:
            continue
        source = candidate_path(folder, step)
        path = Path(index).parent / "candidates" / source.name
        sha256 = save_candidate(path, state.model) if step == state.step else _copied(source, path)
        if sha256 is None:
            lost.append(step)
        else:
            rows.append({"step": step, "path": f"candidates/{path.name}", "sha256": sha256})
    written = {"steps": state.step, "mask_ratio": settings.mask_ratio, "provenance": provenance, "lost": lost}
    write_record(index, {**written, "encoder": record, "candidates": rows})
    return lost


def _copied(source: Path, copy: Path) -> str | None:
    """sha256 of the candidate, which is now beside the index; None where it was not whole."""
    try:
        verify(source)
    except InputError as error:
        print(f"warning: {error.args[0].partition(';')[0]}; the candidate is left out", file=sys.stderr)
        return None
    with disk_space_told(copy), atomic_path(copy) as temporary:
        shutil.copyfile(source, temporary)
    return write_sidecar(copy)


def write_curve(path: Path, history: list[dict[str, float]]) -> None:
    """One row a logged step, one column a number; a run without training has only the header `step`."""
    columns = list(dict.fromkeys(["step", *(key for row in history for key in row)]))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(path, buffer.getvalue())
    write_sidecar(path)
