"""Effective rank by its closed forms; alarms only where something is wrong, each said once."""

import math

import pytest
import torch

from stages.common.journal.tracking import Run
from stages.pretrain.losses import effective_rank
from stages.pretrain.monitor import Watch, alarms_of

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
        ({"effective_rank/images": 1.0}, "collapse_images"),
        ({"effective_rank/reports": 0.0}, "collapse_reports"),
        ({"integrity/phi_standard_deviation": 1e-7}, "flat_phi"),
    ],
)
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


def test_a_beginning_may_be_flat_but_not_infinite() -> None:
    start = {"effective_rank/images": 1.0, "integrity/phi_standard_deviation": 0.0}
    assert alarms_of(start, 20) == {}
    assert list(alarms_of(start | {"loss/total": math.inf}, 20)) == ["not_finite"]
