"""Effective rank by its closed forms; alarms only where something is wrong, each said once."""

import math
import re

import pytest
import torch

from stages.common.journal.tracking import Run
from stages.pretrain.losses import effective_rank
from stages.pretrain.monitor import Watch, alarms_of, not_learned

WELL = {"loss/total": 3.0, "effective_rank/images": 20.0, "effective_rank/reports": 20.0,
        "integrity/phi_standard_deviation": 0.01}  # fmt: skip


def test_effective_rank_counts_directions() -> None:
    assert float(effective_rank(torch.eye(6))) == pytest.approx(5)  # the mean takes one
    line = torch.linspace(-1, 1, 9).unsqueeze(1) * torch.tensor([[0.6, 0.8]])
    assert float(effective_rank(line)) == pytest.approx(1)
    assert float(effective_rank(torch.full((8, 4), 0.5))) == 0
    shares = torch.tensor([3.0, 1.0])  # variances of two directions that do not correlate
    points = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]) * shares.sqrt()
    assert float(effective_rank(points)) == pytest.approx(float(shares.sum() ** 2 / shares.square().sum()))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"loss/local": math.nan}, "not_finite"),
        ({"transport/difference_from_pot_in_bounds": 2.0, "transport/difference_from_pot": 1.0,
          "transport/plan_difference_from_pot": 1.0}, "transport"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_once_and_stands_in_the_journal(tmp_path, capsys, change: dict, kind: str) -> None:
    assert alarms_of(WELL, 1000) == {}
    run = Run(tmp_path / "journal.json", {"metrics": [], "tags": {}})
    watch = Watch(run)
    watch.log(WELL, 980)
    watch.log(WELL | change, 1000)
    watch.log(WELL | change, 1020)
    assert list(run.record["tags"]) == [f"alarm_{kind}"]
    assert run.record["tags"][f"alarm_{kind}"].startswith("step 1000: ")
    assert len(capsys.readouterr().err.splitlines()) == 1


PASSING = pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"effective_rank/images": 1.0}, "collapse_images"),
        ({"effective_rank/reports": 0.0}, "collapse_reports"),
        ({"integrity/phi_standard_deviation": 1e-7}, "flat_phi"),
    ],
)


@PASSING
def test_what_passes_is_not_said(tmp_path, capsys, change: dict, kind: str) -> None:  # noqa: ARG001
    run = Run(tmp_path / "journal.json", {"metrics": [], "tags": {}})
    watch = Watch(run)
    for step in (1000, 1020, 1040):
        watch.log(WELL | change, step)
    watch.log(WELL, 1060)
    watch.log({"speed/images_per_second": 1.0}, 1000)  # which a resumed training logs again
    watch.end([], 8)
    assert (run.record["tags"], capsys.readouterr().err) == ({}, "")


@PASSING
def test_what_holds_at_the_end_is_said_once(tmp_path, capsys, change: dict, kind: str) -> None:
    run = Run(tmp_path / "journal.json", {"metrics": [], "tags": {}})
    watch = Watch(run)
    watch.log(WELL | change, 1000)
    watch.log(WELL | change, 1020)
    watch.end([], 8)
    assert run.record["tags"][f"alarm_{kind}"].startswith("from step 1000 to the end: ")
    assert len(capsys.readouterr().err.splitlines()) == 1


@PASSING
def test_what_lasts_is_said_and_so_is_its_end(tmp_path, capsys, change: dict, kind: str) -> None:
    run = Run(tmp_path / "journal.json", {"metrics": [], "tags": {}})
    watch = Watch(run)
    for step in range(1000, 2101, 20):
        watch.log(WELL | change, step)
    watch.log(WELL, 2120)
    watch.end([], 8)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("warning: step 1000: ")
    assert re.fullmatch(
        "warning: recovered at step 2120: .* (is|are) no longer (flat|collapsed); seen from step 1000 on", second
    )
    assert run.record["tags"] == {f"alarm_{kind}": second.removeprefix("warning: ")}


def curve(accuracies: list[float], losses: list[float]) -> list[dict[str, float]]:
    return [{"step": 20.0 * (place + 1), "batch/accuracy": accuracy, "loss/contrastive": loss}
            for place, (accuracy, loss) in enumerate(zip(accuracies, losses, strict=True))]  # fmt: skip


@pytest.mark.parametrize(
    ("accuracies", "losses", "says"),
    [
        ([1 / 32] * 40, [3.4] * 40, "0.031 of the images are nearest to their own report, no more than chance (0.031)"),
        ([0.06], [3.4], "no more than chance"),  # a training of one logged step
        ([0.5, 0.4, 0.3, 0.2], [1.0, 1.1, 1.2, 1.3], "no more than at step 20 (0.500)"),
        ([0.03, 0.1, 0.2, 0.3], [3.4, 3.0, 2.5, 2.0], ""),
        ([0.5] * 40, [1.0] * 40, ""),  # it went on from a trained model
        ([], [], ""),
    ],
)
def test_a_training_that_did_not_learn_is_told(accuracies: list[float], losses: list[float], says: str) -> None:
    said = not_learned(curve(accuracies, losses), 32)
    assert says in said
    assert bool(said) == bool(says)


def test_a_beginning_may_be_flat_but_not_infinite() -> None:
    start = {"effective_rank/images": 1.0, "integrity/phi_standard_deviation": 0.0}
    assert alarms_of(start, 20) == {}
    assert list(alarms_of(start | {"loss/total": math.inf}, 20)) == ["not_finite"]
