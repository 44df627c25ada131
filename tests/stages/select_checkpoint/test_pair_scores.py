"""Scores of studies by hand-made tables and closed forms."""

import numpy as np
import pytest
import torch

from stages.select_checkpoint.candidate_scores import contrastive_losses, rank_scores, reciprocal_ranks


def test_ranks_of_a_hand_made_table() -> None:
    similarity = np.array([[0.9, 0.1, 0.2], [0.8, 0.7, 0.1], [0.5, 0.6, 0.4]])
    own = np.eye(3, dtype=bool)
    assert reciprocal_ranks(similarity, own).tolist() == [1, 1 / 2, 1 / 3]
    scores = rank_scores(similarity, own)
    assert scores["mean_reciprocal_rank"].tolist() == pytest.approx([1, (1 / 2 + 1) / 2, (1 / 3 + 1) / 2])
    assert scores["recall_at_1"].tolist() == [1, 0.5, 0.5]
    assert scores["recall_at_5"].tolist() == [1, 1, 1]


def test_ties_count_against_the_query() -> None:
    assert reciprocal_ranks(np.zeros((2, 4)), np.eye(2, 4, dtype=bool)).tolist() == [1 / 4, 1 / 4]


def test_a_report_of_identical_text_is_as_good_as_the_own_one() -> None:
    similarity = np.array([[0.1, 0.9], [0.2, 0.8]])
    assert reciprocal_ranks(similarity, np.ones((2, 2), dtype=bool)).tolist() == [1, 1]


def test_the_loss_is_torchs_cross_entropy_at_the_best_temperature() -> None:
    noise = np.random.default_rng(0)
    similarity = 0.3 * noise.standard_normal((2, 9, 9)) + 0.35 * np.eye(9)
    losses, temperature = contrastive_losses(similarity, np.eye(9, dtype=bool))

    def mean_at(tau: float) -> float:
        logits, own = torch.from_numpy(similarity) / tau, torch.arange(9)
        ways = [torch.nn.functional.cross_entropy(way, own) for each in logits for way in (each, each.T)]
        return float(torch.stack(ways).mean())

    assert losses.mean() == pytest.approx(mean_at(temperature), rel=1e-9)
    others = [mean_at(tau) for tau in np.geomspace(0.005, 5, 300)]
    assert losses.mean() <= min(others) + 1e-6


def test_identical_texts_are_left_out_of_the_denominator() -> None:
    similarity = np.random.default_rng(1).uniform(-1, 1, (1, 4, 4))
    relevant = np.eye(4, dtype=bool)
    relevant[0, 1] = relevant[1, 0] = True
    changed = similarity.copy()
    changed[0, 0, 1] = changed[0, 1, 0] = 0.99
    losses, _ = contrastive_losses(similarity, relevant)
    assert contrastive_losses(changed, relevant)[0].tolist() == losses.tolist()
    assert contrastive_losses(changed, np.eye(4, dtype=bool))[0].tolist() != losses.tolist()


def test_candidates_that_know_nothing_lose_log_n() -> None:
    losses, _ = contrastive_losses(np.zeros((3, 8, 8)), np.eye(8, dtype=bool))
    assert losses == pytest.approx(np.full(8, np.log(8)))
