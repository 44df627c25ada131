"""The linear protocol on features whose truth is known."""

import subprocess
import sys
from itertools import count

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from stages.common.files.code_digest import ROOT
from stages.few_shot_classification import linear_probe
from stages.few_shot_classification.contract import LinearJobSettings
from stages.few_shot_classification.linear_probe import Features, probe


def planted(signal: float, images: int = 600, width: int = 8, seed: int = 0) -> tuple[Features, np.ndarray]:
    """A third of the images in each part; the mean of the first feature is `signal` x target. Also test targets."""
    random = np.random.default_rng(seed)
    targets = random.integers(0, 2, images)
    values = random.normal(size=(images, width)).astype(np.float32)
    values[:, 0] += signal * targets
    train, validation, test = np.split(np.arange(images), 3)
    column = targets[:, None].astype(np.int8)
    features = Features(values[train], torch.from_numpy(column[train]).float(), values[validation], column[validation],
                        values[test])  # fmt: skip
    return features, targets[test]


def test_separable_features_are_separated() -> None:
    features, targets = planted(signal=12)
    result = probe(features, LinearJobSettings(learning_rate=0.05), 0)
    assert result.validation_auc == 1
    assert roc_auc_score(targets, result.test[:, 0]) == 1


def test_it_comes_as_near_to_the_truth_as_logistic_regression() -> None:
    features, targets = planted(signal=1.5, images=1800)
    result = probe(features, LinearJobSettings(learning_rate=0.02), 0)
    other = LogisticRegression().fit(features.train, features.train_targets[:, 0]).decision_function(features.test)
    assert roc_auc_score(targets, result.test[:, 0]) == pytest.approx(roc_auc_score(targets, other), abs=0.01)
    assert result.validation_auc == pytest.approx(
        roc_auc_score(features.validation_targets[:, 0], result.validation[:, 0])
    )


def test_a_seed_is_a_result_and_seeds_differ() -> None:
    features, _ = planted(signal=1)
    one, same, other = (probe(features, LinearJobSettings(epochs=3), seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.test, same.test)
    assert not np.array_equal(one.test, other.test)


def test_nothing_of_the_test_part_reaches_the_choice() -> None:
    features, _ = planted(signal=1)
    elsewhere = Features(**(vars(features) | {"test": features.test + 100}))
    one, other = (probe(each, LinearJobSettings(epochs=5), 0) for each in (features, elsewhere))
    np.testing.assert_array_equal(one.validation, other.validation)
    assert (one.kept_at, one.validation_auc) == (other.kept_at, other.validation_auc)


def test_the_best_epoch_is_kept_and_patience_ends_it(monkeypatch) -> None:
    values = [0.5, 0.6, 0.6, 0.55, 0.6, 0.9]
    calls = count()
    monkeypatch.setattr(linear_probe, "validation_auc", lambda _scores, _targets: values[next(calls)])
    features, _ = planted(signal=1)
    result = probe(features, LinearJobSettings(patience=3), 0)
    assert next(calls) == 5  # the second epoch, and three without gain: 0.9 was never seen
    assert (result.kept_at, result.validation_auc) == (2, 0.6)
    monkeypatch.undo()
    np.testing.assert_array_equal(result.validation, probe(features, LinearJobSettings(epochs=2), 0).validation)


def test_a_head_of_two_findings_learns_each_as_it_would_alone() -> None:
    """Two features carry a finding each; what one head of both learns of the second is what it learns alone."""
    (first, targets), (second, others) = planted(signal=3, seed=1), planted(signal=3, seed=2)
    values = {
        name: np.hstack([getattr(first, name), getattr(second, name)]) for name in ("train", "validation", "test")
    }
    both = Features(values["train"], torch.hstack([first.train_targets, second.train_targets]), values["validation"],
                    np.hstack([first.validation_targets, second.validation_targets]), values["test"])  # fmt: skip
    result = probe(both, LinearJobSettings(learning_rate=0.02), 0)
    for column, truth in enumerate((targets, others)):
        alone = LogisticRegression().fit(values["train"], both.train_targets[:, column])
        expected = roc_auc_score(truth, alone.decision_function(values["test"]))
        assert roc_auc_score(truth, result.test[:, column]) == pytest.approx(expected, abs=0.01)


def test_its_optimiser_is_torchs_bit_by_bit() -> None:
    torch.manual_seed(0)
    one, other = torch.nn.Linear(8, 2), torch.nn.Linear(8, 2)
    other.load_state_dict(one.state_dict())
    ours = linear_probe._AdamW(list(one.parameters()), 0.05, 0.3)
    theirs = torch.optim.AdamW(other.parameters(), lr=0.05, weight_decay=0.3, fused=True)
    for _ in range(20):
        inputs = torch.randn(5, 8)
        for head, optimiser in ((one, ours), (other, theirs)):
            head.zero_grad()
            head(inputs).square().sum().backward()
            optimiser.step()
        for weight, expected in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(weight, expected)
            assert weight.grad is None


def test_a_job_imports_nothing_that_it_does_not_need() -> None:
    """Each fraction of each data set and variant is a process of its own, whose imports would be most of its time."""
    heavy = "torch._dynamo torch._inductor transformers timm torchvision mlflow sklearn scipy pandas matplotlib"
    program = f"""
import sys
import numpy as np, torch
import stages.few_shot_classification.__main__
from stages.few_shot_classification.contract import LinearJobSettings
from stages.few_shot_classification.linear_probe import Features, probe
values, targets = np.eye(8, 4, dtype=np.float32), np.arange(8)[:, None] % 2
probe(Features(values, torch.from_numpy(targets).float(), values, targets.astype(np.int8), values),
      LinearJobSettings(epochs=2), 0)
print(*[name for name in {heavy.split()!r} if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
