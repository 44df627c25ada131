"""A state that is undamaged but of another kind is one line, however it is read."""

import pytest

from stages.common.errors import InputError
from stages.common.files.atomic_files import write_sidecar
from stages.common.training.state_files import ResumableState, read_state


def test_the_newest_state_of_another_kind_is_one_line(tmp_path):
    path = tmp_path / "step_00000001.pt"
    path.write_bytes(b"no state")
    write_sidecar(path)
    for read in (lambda: read_state(path), ResumableState(tmp_path, 1.0).newest):
        with pytest.raises(InputError, match=r"step_00000001\.pt: not a training state of this version"):
            read()


def test_what_was_saved_is_the_newest(tmp_path):
    kept = ResumableState(tmp_path, 1.0)
    assert kept.newest() is None
    for step in (1, 2, 3):
        kept.save(step, {"step": step})
    assert kept.newest() == {"step": 3}
