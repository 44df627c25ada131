"""Several processes: the same batch, gradients and weights as in one; and they fail as one."""

import multiprocessing
import os
import re
import socket
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
import rank_program
import torch
import torch.distributed as dist
from planted_pairs import VOCABULARY, data
from rank_program import STUDIES, gradients, sixteen, trained

import stages.pretrain.ranks
from stages.common.errors import InputError
from stages.common.files.atomic_files import read_json
from stages.common.files.code_digest import ROOT
from stages.pretrain import transport
from stages.pretrain.rank_failure import SHUTDOWN_SECONDS
from stages.pretrain.ranks import ALONE, Ranks
from stages.pretrain.training import build

SECONDS = 600  # no rank waits for ever, on however busy a machine


@pytest.fixture(autouse=True)
def chunks_of_the_solver(monkeypatch) -> None:
    monkeypatch.setattr(transport, "_PAIRS_AT_ONCE", transport._PAIRS_AT_ONCE)  # restored after the test


def in_ranks(world: int, task: str, folder: Path):
    """What `rank_program` computes in `world` processes, forked from one that has imported it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rank_program"])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ranks = [
        context.Process(target=rank_program.run_as_rank, args=(rank, world, port, task, folder))
        for rank in range(world)
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(SECONDS)
    for rank in ranks:
        if rank.is_alive():
            rank.kill()
    assert [rank.exitcode for rank in ranks] == [0] * world
    return torch.load(folder / f"{task}.pt", weights_only=True)


def assert_same_weights(found: dict, expected: dict) -> None:
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=0, msg=lambda text, name=name: f"{name}: {text}")


@pytest.fixture(scope="module")
def alone_gradients():
    chunk = transport._PAIRS_AT_ONCE
    found = gradients(ALONE)
    transport._PAIRS_AT_ONCE = chunk  # before any other test of the module runs
    return found


@pytest.fixture(scope="module")
def alone_weights(tmp_path_factory):
    chunk = transport._PAIRS_AT_ONCE
    found = trained(tmp_path_factory.mktemp("alone"), 100, ALONE)
    transport._PAIRS_AT_ONCE = chunk
    return found


@pytest.mark.long
@pytest.mark.parametrize("world", [2, 4])
def test_weights_after_200_steps_are_those_of_one_process(tmp_path, world: int, alone_weights) -> None:
    found = in_ranks(world, "train", tmp_path)
    assert found["step"] == 200
    assert_same_weights(found, alone_weights)


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 4])
def test_gradients_and_logged_numbers_are_those_of_one_process(tmp_path, world: int, alone_gradients) -> None:
    found = in_ranks(world, "gradients", tmp_path)
    for case, (expected, logged) in alone_gradients.items():
        gradient, numbers = found[case]
        assert ("transport/difference_from_pot" in logged) == case.startswith(("local", "all")), case  # the last step
        assert numbers == pytest.approx(logged, rel=1e-5, abs=1e-6), case
        largest = max(float(value.abs().max()) for value in expected.values())
        assert largest > 0.1
        for name, value in expected.items():
            assert float((gradient[name] - value).abs().max()) <= 1e-6 * largest, (case, name)


@pytest.mark.slow
def test_two_ranks_go_on_where_one_process_was_stopped(tmp_path) -> None:
    whole = trained(tmp_path / "whole", 4, ALONE)
    state = tmp_path / "state"
    trained(state, 4, ALONE)
    for path in state.glob("step_00000008*"):
        path.unlink()  # the state of step 7 is the newest
    found = in_ranks(2, "resume", tmp_path)
    assert found["step"] == whole["step"] == 8
    assert_same_weights(found, whole)
    assert (state / "step_00000008.pt").is_file()


@pytest.mark.slow
def test_four_ranks_resume_bitwise(tmp_path) -> None:
    """Of more than two numbers the sum depends on the order, which follows from where a gradient lies in its bucket."""
    whole = in_ranks(4, "resume", tmp_path)
    for path in (tmp_path / "state").glob("step_00000008*"):
        path.unlink()
    again = in_ranks(4, "resume", tmp_path)
    assert again["step"] == whole["step"] == 8
    assert [name for name, value in whole.items() if not torch.equal(value, again[name])] == []


@pytest.mark.slow
def test_ranks_stop_masking_together_and_wait_for_no_frozen_weight(tmp_path) -> None:
    found = in_ranks(2, "unmasked", tmp_path)
    assert found["step"] == 8
    assert_same_weights(found, trained(tmp_path / "alone", 4, ALONE, unmasked=2))


@pytest.mark.slow
def test_two_ranks_accumulate_what_one_process_does(tmp_path) -> None:
    """Ranks average after each batch; what has been accumulated must not be averaged twice to another number."""
    found = in_ranks(2, "accumulate", tmp_path)
    assert found["step"] == 4
    assert_same_weights(found, trained(tmp_path / "alone", 4, ALONE, accumulate=2))


def test_ranks_together_hold_the_global_batch() -> None:
    settings = sixteen()
    whole = data(settings, STUDIES).draw(3)
    parts = [data(settings, STUDIES, Ranks(rank, 4)).draw(3) for rank in range(4)]
    assert torch.equal(torch.cat([part.pixels for part in parts]), whole.pixels)
    model = build(settings, VOCABULARY)
    assert torch.equal(torch.cat([model.augmented(part) for part in parts]), model.augmented(whole))
    for name in ("token_ids", "positions", "dropout_keys"):
        streams = [getattr(part.reports.streams[0], name) for part in parts]
        assert torch.equal(torch.cat(streams), getattr(whole.reports.streams[0], name)), name
    for name in ("visible", "sentence_mask", "sentence_weights", "false_negatives"):
        assert all(torch.equal(getattr(part, name), getattr(whole, name)) for part in parts), name


def test_ranks_wait_for_the_slowest_longer_than_for_each_other_in_a_step(monkeypatch) -> None:
    monkeypatch.setattr(stages.pretrain.ranks, "_LONGEST_WAIT", timedelta(0))
    store, ended = dist.HashStore(), []
    store.set_timeout(timedelta(milliseconds=1))
    first = threading.Thread(target=lambda: ended.append(Ranks(0, 2, store).wait_for_slowest()))
    first.start()
    first.join(0.3)
    assert first.is_alive()
    Ranks(1, 2, store).wait_for_slowest()
    first.join(SECONDS)
    assert ended == [None]
    ALONE.wait_for_slowest()


def test_a_batch_that_cannot_be_shared_is_refused_with_both_numbers() -> None:
    with pytest.raises(InputError, match=r"batch_size 16 is not divisible by the 3 processes.* 15 or 18"):
        data(sixteen(), STUDIES, Ranks(0, 3))


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(InputError, match=r"batch_size 16 exceeds the 10 training studies"):
        data(sixteen(), 10)


@pytest.mark.parametrize("size", [3, 4, 15])
def test_micro_batches_change_memory_and_rounding_alone(size: int) -> None:
    """With dropout: the second forward pass draws as the first did."""
    found = {}
    for micro_batch in (None, size):
        block = sixteen().model_dump()
        block["optimisation"] |= {"micro_batch": micro_batch}
        settings = type(sixteen()).model_validate(block)
        model = build(settings, VOCABULARY)
        passes = []
        model.encoder.image.register_forward_pre_hook(lambda _, inputs, seen=passes: seen.append(len(inputs[0])))
        losses = model(data(settings, STUDIES).draw(1))
        losses.total.backward()
        found[micro_batch] = [weight.grad for weight in model.parameters() if weight.requires_grad], losses, passes
    torch.testing.assert_close(found[None][1].total, found[size][1].total, rtol=1e-6, atol=0)
    largest = max(float(gradient.abs().max()) for gradient in found[None][0])
    for expected, gradient in zip(found[None][0], found[size][0], strict=True):
        assert float((expected - gradient).abs().max()) <= 1e-6 * largest
    assert found[None][2] == [16]
    assert max(found[size][2]) == size
    assert sum(found[size][2]) == 32  # each image twice


@pytest.mark.parametrize("more", [{}, {"micro_batch": 4}], ids=["alone", "in micro-batches"])
@pytest.mark.parametrize("sentences", [False, True])
def test_layers_that_run_again_change_rounding_alone(more: dict, sentences: bool) -> None:
    found = {}
    for recompute in (False, True):
        optimisation = sixteen().optimisation.model_dump() | {"recompute": recompute} | more
        settings = sixteen(sentences=sentences, optimisation=optimisation)
        model = build(settings, VOCABULARY)
        layers = []
        for part in (model.encoder.image.vit.blocks[0], model.encoder.text.bert.encoder.layer[0]):
            part.register_forward_pre_hook(lambda *_, seen=layers: seen.append(1))
        model(data(settings, STUDIES).draw(1)).total.backward()
        found[recompute] = [weight.grad for weight in model.parameters() if weight.requires_grad], len(layers)
    for expected, gradient in zip(found[False][0], found[True][0], strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-6)
    assert found[True][1] > found[False][1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raises", r"ValueError: planted trouble"),
        ("killed", r"RankDiedError: another process died without a message|TerminatedError: SIGTERM"),
        (
            "not_finite",
            r"DivergedError: step 2: (the gradient is|.*loss/contrastive.*) not finite; images of the batch",
        ),
        ("told_to_stop", r"TerminatedError: stopped by a signal; saved at step"),
    ],
)
def test_the_failure_of_one_ends_all_with_one_message(tmp_path, how: str, message: str) -> None:
    # with the launcher's own time for rank 0 to save and to say why, which torchrun's 30 s need not be
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [f"--shutdown-timeout={SHUTDOWN_SECONDS}"]
    done = subprocess.run(
        [*command, rank_program.__file__, how, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode != 0
    journal = read_json(tmp_path / "journal.json")
    assert journal["status"] == "FAILED"
    assert re.search(message, journal["error"])
    spoken = [line for line in done.stderr.splitlines() if re.search(message, line)]
    # torchrun's SIGTERM may end rank 0 before it saw that rank 1 is gone: torchrun then speaks for both
    assert len(spoken) == 1 or (how == "killed" and "Signal 9 (SIGKILL) received" in done.stderr), done.stderr
    states = [path.name for path in (tmp_path / "state").glob("step_*.pt")]
    assert len(states) == (how == "told_to_stop"), states  # saves by time are off: the signal made rank 0 save
