"""Batches cut from flat arrays are those that a loop over reports, sentences and word pieces makes."""

from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.common.encoders.report_batches import FlatReports, ReportBatch, SpecialTokens, TokenStream, pack_reports

CLS, SEP = 2, 3
SPECIAL = SpecialTokens(CLS, SEP)
Report = list[list[int]]
reports_of_pieces = st.lists(
    st.lists(st.lists(st.integers(5, 8), min_size=1, max_size=4), min_size=1, max_size=4), min_size=1, max_size=5
)


def sequences_of(batch: ReportBatch) -> list[list[int]]:
    parts = []
    for stream in batch.streams:
        starts = stream.starts.tolist()
        assert stream.starts.dtype == torch.int32
        assert (starts[0], starts[-1]) == (0, len(stream.token_ids))
        for first, last in pairwise(starts):
            assert stream.positions[first:last].tolist() == list(range(last - first))
            parts.append(stream.token_ids[first:last].tolist())
        assert stream.longest == max(np.diff(starts))
    return parts


def segments_of(batch: ReportBatch) -> list[list[int]]:
    return [
        stream.token_ids[first:last].tolist()
        for stream in batch.streams
        for first, last in pairwise(stream.segments.tolist())
    ]


def check(batch: ReportBatch, reports: list[Report], context: str) -> None:
    segments = segments_of(batch)
    assert [piece for segment in segments for piece in segment] == list(chain.from_iterable(sequences_of(batch)))
    for row, report in enumerate(reports):
        found = [segments[each] for each in batch.sentence_segments[row, : len(report)].tolist()]
        assert found == report
        assert batch.sentence_mask[row].sum() == len(report)
        assert batch.sentence_mask[row, : len(report)].all()
    assert all(segments[each] == [CLS] for each in batch.report_segments.tolist())
    if context == "report":
        assert sequences_of(batch) == [[CLS, *chain.from_iterable(report), SEP] for report in reports]
        assert len(batch.report_segments) == len(reports)
    else:
        unique = {tuple(sentence) for report in reports for sentence in report}
        assert sorted(sequences_of(batch)) == sorted([CLS, *each, SEP] for each in unique)


@pytest.mark.parametrize("context", ["report", "sentences"])
@given(reports=reports_of_pieces)
def test_a_batch_of_whole_reports(context, reports: list[Report]) -> None:
    check(pack_reports(reports, SPECIAL, context), reports, context)


def numbers(flat: FlatReports, chosen: list[int]) -> tuple[np.ndarray, np.ndarray]:
    rows = [range(flat.first[each], flat.first[each + 1]) for each in chosen]
    return np.array([number for row in rows for number in row]), np.array([len(row) for row in rows])


@pytest.mark.parametrize("context", ["report", "sentences"])
@given(reports=reports_of_pieces, random=st.randoms(use_true_random=False), streams=st.integers(1, 4))
def test_a_batch_of_some_reports_and_sentences_in_any_order(context, reports: list[Report], random, streams) -> None:
    flat = FlatReports.of(reports)
    chosen = [random.randrange(len(reports)) for _ in range(3)]
    orders = [random.sample(range(len(reports[each])), random.randint(1, len(reports[each]))) for each in chosen]
    sentences = [flat.first[each] + place for each, order in zip(chosen, orders, strict=True) for place in order]
    counts = np.array([len(order) for order in orders])
    batch = flat.batch(np.array(sentences), counts, SPECIAL, context, slots=5, streams=streams)
    assert batch.sentence_mask.shape == (3, 5)
    assert 1 <= len(batch.streams) <= streams
    check(
        batch, [[reports[each][place] for place in order] for each, order in zip(chosen, orders, strict=True)], context
    )


def test_streams_hold_about_equally_many_tokens() -> None:
    random = np.random.default_rng(0)
    reports = [[random.integers(5, 9, random.integers(1, 30)).tolist()] for _ in range(200)]
    flat = FlatReports.of(reports)
    whole = numbers(flat, list(range(200)))
    streams = flat.batch(*whole, SPECIAL, "report", streams=8).streams
    sizes = [len(stream.token_ids) for stream in streams]
    assert len(sizes) == 8
    assert max(sizes) - min(sizes) <= 2 * 31


def keys_of(batch: ReportBatch) -> dict[tuple[tuple[int, ...], int], int]:
    """Return the key of every token by its sequence and position; equal sequences must have equal keys."""
    found: dict[tuple[tuple[int, ...], int], int] = {}
    for stream in batch.streams:
        keys = dropout_keys(stream)
        starts = stream.starts.tolist()
        for first, last in pairwise(starts):
            for place, key in enumerate(keys[first:last]):
                found[tuple(stream.token_ids[first:last].tolist()), place] = key
    return found


def dropout_keys(stream: TokenStream) -> list[int]:
    assert stream.dropout_keys is not None
    assert stream.dropout_keys.dtype == torch.int32
    return stream.dropout_keys.tolist()


@pytest.mark.parametrize("context", ["report", "sentences"])
def test_keys_of_dropout_depend_on_the_report_and_not_on_those_beside_it(context) -> None:
    reports = [[[5, 6, 7]], [[8], [6, 6]], [[5], [7, 7, 7], [8]], [[6, 5]]]
    flat = FlatReports.of(reports)

    def batch(seed: int, chosen: list[int], streams: int = 1) -> dict[tuple[tuple[int, ...], int], int]:
        return keys_of(
            flat.batch(*numbers(flat, chosen), SPECIAL, context, streams=streams, dropout=(seed, np.array(chosen)))
        )

    whole = batch(7, [0, 1, 2, 3])
    assert len(set(whole.values())) == len(whole)
    assert whole == batch(7, [3, 1, 0, 2], streams=3)
    assert batch(7, [2, 1]).items() <= whole.items()
    assert not set(batch(8, [0, 1, 2, 3]).values()) & set(whole.values())
    assert not set(batch(7 + 2**40, [0, 1, 2, 3]).values()) & set(whole.values())


def test_a_batch_for_evaluation_has_no_keys() -> None:
    (stream,) = pack_reports([[[5]]], SPECIAL, "report").streams
    assert stream.dropout_keys is None
