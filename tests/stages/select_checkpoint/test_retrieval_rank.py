"""Reciprocal ranks by hand-made tables."""

import numpy as np
import pytest

from stages.select_checkpoint.candidate_scores import ScoredCandidate, best
from stages.select_checkpoint.retrieval_rank import mean_reciprocal_rank, reciprocal_ranks


def test_ranks_of_a_hand_made_table() -> None:
    similarity = np.array([[0.9, 0.1, 0.2], [0.8, 0.7, 0.1], [0.5, 0.6, 0.4]])
    own = np.eye(3, dtype=bool)
    assert reciprocal_ranks(similarity, own).tolist() == [1, 1 / 2, 1 / 3]
    forward, backward = (1 + 1 / 2 + 1 / 3) / 3, (1 + 1 + 1) / 3
    assert mean_reciprocal_rank(similarity, own) == pytest.approx((forward + backward) / 2)


def test_ties_count_against_the_query() -> None:
    assert reciprocal_ranks(np.zeros((2, 4)), np.eye(2, 4, dtype=bool)).tolist() == [1 / 4, 1 / 4]


def test_a_report_of_identical_text_is_as_good_as_the_own_one() -> None:
    similarity = np.array([[0.1, 0.9], [0.2, 0.8]])
    assert reciprocal_ranks(similarity, np.ones((2, 2), dtype=bool)).tolist() == [1, 1]


def test_of_equal_candidates_the_earlier_is_chosen(tmp_path) -> None:
    scored = [
        ScoredCandidate(10, tmp_path, 0.2),
        ScoredCandidate(20, tmp_path, 0.5),
        ScoredCandidate(30, tmp_path, 0.5),
    ]
    assert best(scored).step == 20
