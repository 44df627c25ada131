"""What must not cost a training: kills, damage, full disks, signals; and what must stop it: numbers that are none."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from planted_pairs import PROVENANCE, VOCABULARY, data, small

from stages.common.encoders.dual import checkpoint_record
from stages.common.errors import InputError
from stages.common.files.atomic_files import read_json, write_sidecar
from stages.common.files.code_digest import ROOT
from stages.common.training.served_states import mark_served
from stages.pretrain import training
from stages.pretrain.contract import PretrainSettings
from stages.pretrain.monitor import DivergedError
from stages.pretrain.optimisation import adamw
from stages.pretrain.outputs import candidate_path, save_candidate, write_candidates
from stages.pretrain.rank_failure import TerminatedError
from stages.pretrain.training import Place, build, train
from stages.pretrain.training_state import TrainingState, resume_state, save_state

HARNESS = Path(__file__).with_name("kill_harness.py")


def run(settings: PretrainSettings, folder: Path, seconds: float = 0.0, **place) -> TrainingState:
    return train(
        build(settings, VOCABULARY), data(settings), settings, Place(folder, seconds, **place), lambda *_: None
    )


def fresh(settings: PretrainSettings, **parts) -> TrainingState:
    model = build(settings, VOCABULARY)
    return TrainingState(model, adamw(model, settings), **parts)


def at_step(monkeypatch, step: int, act) -> None:
    """`act(state)` before the update of a 0-based step."""
    original = training._step

    def watched(state, *rest):
        if state.step == step:
            act(state)
        return original(state, *rest)

    monkeypatch.setattr(training, "_step", watched)


@pytest.mark.slow
def test_killed_in_every_phase_and_still_bitwise_equal() -> None:
    """Eight kills or more here; `kill_harness.py --kills 120` is the long run."""
    done = subprocess.run(
        [sys.executable, HARNESS, "--kills", "8", "--least", "1"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] >= 8
    assert min(found["by_phase"].values()) >= 1
    assert found["unequal"] == 0


def test_one_flipped_bit_in_a_state_is_caught_200_of_200(tmp_path, capsys) -> None:
    """The state before it is used every time."""
    settings = small()
    state = fresh(settings)
    save_state(tmp_path, state)
    state.step = 1
    save_state(tmp_path, state)
    path, noise, used = tmp_path / "step_00000001.pt", random.Random(0), []
    whole, sidecar = path.read_bytes(), path.with_name(path.name + ".sha256").read_text()
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[noise.randrange(len(whole))] ^= 1 << noise.randrange(8)
        path.write_bytes(damaged)
        path.with_name(path.name + ".sha256").write_text(sidecar)
        assert resume_state(tmp_path, state)
        used.append(state.step)
    assert used == [0] * 200
    assert capsys.readouterr().err.count("damaged") == 200


def test_a_damaged_newest_state_costs_the_steps_since_the_one_before(tmp_path) -> None:
    settings = small()
    whole = run(settings, tmp_path / "whole")
    run(settings, tmp_path / "cut")
    newest = max((tmp_path / "cut").glob("step_*.pt"))
    newest.write_bytes(b"")
    again = run(settings, tmp_path / "cut")
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


def write(folder: Path, state: TrainingState, settings: PretrainSettings) -> tuple[dict, dict[str, bytes]]:
    """The index, and every candidate's bytes."""
    index = folder / "candidates.json"
    write_candidates(index, folder / "candidates", folder.parent / "state", state, settings,
                     checkpoint_record(state.model.encoder), PROVENANCE)  # fmt: skip
    return read_json(index), {path.name: path.read_bytes() for path in (folder / "candidates").glob("*.safetensors")}


def test_outputs_that_are_lost_after_the_last_step_are_made_again_without_a_step(tmp_path, monkeypatch) -> None:
    """A node that dies before Snakemake has seen the end takes the outputs with it."""
    settings = small()
    first = write(tmp_path / "first", run(settings, tmp_path / "state"), settings)
    monkeypatch.setattr(training, "_step", lambda *_: pytest.fail("a step was done again"))
    again = write(tmp_path / "again", run(settings, tmp_path / "state"), settings)
    assert again == first
    assert sorted(first[1]) == ["step_00000006.safetensors", "step_00000012.safetensors"]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x")])
def test_a_lost_candidate_is_left_out_and_told_and_the_training_counts(tmp_path, damage, capsys) -> None:
    settings = small()
    state = run(settings, tmp_path / "state")
    damage(tmp_path / "state" / "candidates" / "step_00000006.safetensors")
    index, files = write(tmp_path / "outputs", state, settings)
    assert (index["lost"], [row["step"] for row in index["candidates"]]) == ([6], [12])
    assert sorted(files) == ["step_00000012.safetensors"]
    assert "step_00000006.safetensors" in (said := capsys.readouterr().err)
    assert "the candidate is left out" in said


def test_a_training_that_begins_anew_says_which_one_it_does_not_go_on_with(tmp_path, capsys) -> None:
    """The code was edited while the job waited for its next attempt."""
    digests = {"settings": "s", "code": "before"}
    run(small(), tmp_path / "aa", digests=digests)
    run(small(), tmp_path / "bb", digests={**digests, "code": "after"})
    path = tmp_path / "aa" / "step_00000012.pt"
    note = f"{path} was written with other code; to resume from it set pretrain.resume_from: {path}"
    assert note in capsys.readouterr().err
    mark_served(tmp_path / "aa")  # a finished one is none to go on with
    run(small(), tmp_path / "cc", digests={**digests, "code": "third"})
    assert "other code" not in capsys.readouterr().err


def test_temporary_files_of_killed_attempts_are_removed(tmp_path) -> None:
    (tmp_path / "candidates").mkdir()
    left = [tmp_path / ".step_00000003.pt.77.tmp", tmp_path / "candidates" / ".step_00000003.safetensors.77.tmp"]
    for path in left:
        path.write_bytes(b"half")
    run(small(), tmp_path)
    assert not any(path.exists() for path in left)


def test_a_state_of_other_settings_is_refused_unless_it_is_named(tmp_path) -> None:
    old, new = small(), small(optimisation={**small().optimisation.model_dump(), "learning_rate": 5e-4})
    run(old, tmp_path / "old", digests={"settings": old.digest()})
    with pytest.raises(InputError, match=r"written with other settings.*resume_from"):
        run(new, tmp_path / "old", digests={"settings": new.digest()})
    named = small(
        optimisation={**new.optimisation.model_dump(), "epochs": 6},
        resume_from=str(tmp_path / "old" / "step_00000012.pt"),
    )
    state = run(named, tmp_path / "new", digests={"settings": named.digest()})
    assert (state.step, state.first_step) == (18, 12)
    assert state.origin.startswith("step 12, sha256 ")
    assert state.optimiser.param_groups[0]["lr"] < 5e-4  # the rates are those of the new settings
    assert [row["step"] for row in state.history] == [12, 18]
    again = fresh(named, digests={"settings": named.digest()})
    assert resume_state(tmp_path / "new", again, resume_from="not asked for any more")
    assert (again.step, again.origin) == (18, state.origin)


def test_resume_from_names_what_is_wrong(tmp_path) -> None:
    with pytest.raises(InputError, match="no such file"):
        resume_state(tmp_path, fresh(small()), resume_from=str(tmp_path / "step_1.pt"))
    run(small(), tmp_path / "old")
    other = small(local={"weight": 0}, reconstruction={"weight": 0})
    with pytest.raises(InputError, match=r"a state of another model .*correct pretrain\.resume_from"):
        resume_state(tmp_path, fresh(other), resume_from=str(tmp_path / "old" / "step_00000012.pt"))
    strange = tmp_path / "strange.pt"
    strange.write_bytes(b"no state")
    write_sidecar(strange)
    with pytest.raises(InputError, match="not a training state of this version"):
        resume_state(tmp_path, fresh(small()), resume_from=str(strange))


def test_sigusr1_saves_and_goes_on(tmp_path, monkeypatch) -> None:
    saved = []
    monkeypatch.setattr(training, "save_state", lambda _, state: saved.append(state.step))
    at_step(monkeypatch, 4, lambda _: signal.raise_signal(signal.SIGUSR1))
    state = run(small(), tmp_path, seconds=1e9)
    assert state.step == 12
    assert saved == [5, 12]


def test_sigterm_saves_and_stops_and_the_next_attempt_is_bitwise_equal(tmp_path, monkeypatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    at_step(monkeypatch, 4, lambda _: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(TerminatedError, match="saved at step 5"):
        run(small(), tmp_path / "cut", seconds=1e9)
    assert signal.getsignal(signal.SIGTERM) is before
    assert [path.name for path in (tmp_path / "cut").glob("step_*.pt")] == ["step_00000005.pt"]
    monkeypatch.undo()
    whole, again = run(small(), tmp_path / "whole", seconds=1e9), run(small(), tmp_path / "cut", seconds=1e9)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


def test_a_gradient_that_is_no_number_names_the_batch_and_is_not_tried_again(tmp_path, monkeypatch) -> None:
    settings = small()
    expected = data(settings).draw(4)
    at_step(monkeypatch, 4, lambda state: state.model.log_scale.data.fill_(float("nan")))
    with pytest.raises(DivergedError, match=r"step 4: loss/contrastive.* not finite") as error:
        run(settings, tmp_path)
    assert f"images of the batch: {', '.join(expected.image_ids)};" in str(error.value)
    record = read_json(tmp_path / "not_finite.json")
    assert record["image_ids"] == list(expected.image_ids)
    assert record["study_ids"] == list(expected.study_ids)
    assert record["numbers"]["loss/contrastive"] == "nan"
    state = fresh(settings)
    assert resume_state(tmp_path, state)
    assert state.step == 4
    assert all(bool(value.isfinite().all()) for value in state.model.state_dict().values())
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"step 4: .* stopped so: change them, or delete .*not_finite.json"):
        run(settings, tmp_path)
    (tmp_path / "not_finite.json").unlink()
    assert run(settings, tmp_path).step == 12


def test_a_full_disk_leaves_the_state_before_and_says_so(tmp_path) -> None:
    """A file system that holds one state and a half."""
    settings = small()
    save_state(tmp_path / "measured", fresh(settings))
    size = (tmp_path / "measured" / "step_00000000.pt").stat().st_size
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size * 3 // 2}", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"NO FULL DISK TESTED: mounting a tmpfs takes root ({mounted.stderr.decode().strip()})")
    try:
        state = fresh(settings)
        save_state(disk, state)
        before = {path.name: path.read_bytes() for path in disk.iterdir()}
        state.step = 1
        with pytest.raises(
            InputError, match=r"step_00000001.pt: no space left on the disk.* MiB and .* files free in .*make room"
        ):
            save_state(disk, state)
        assert {path.name: path.read_bytes() for path in disk.iterdir()} == before
        again = fresh(settings)
        assert resume_state(disk, again)
        assert again.step == 0
        with pytest.raises(OSError, match="No space left"):
            (disk / "filler").write_bytes(bytes(size))
        with pytest.raises(InputError, match="no space left on the disk"):
            save_candidate(candidate_path(disk, 1), again.model)
        assert not list((disk / "candidates").iterdir())
    finally:
        subprocess.run(["umount", disk], check=True)
