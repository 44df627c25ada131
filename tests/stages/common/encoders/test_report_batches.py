"""Batches cut from flat arrays are those that a loop over reports, sentences and word pieces makes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.common.encoders.report_batches import FlatReports, ReportBatch, SpecialTokens, pad_reports

CLS, SEP, PAD = 2, 3, 0
SPECIAL = SpecialTokens(CLS, SEP, PAD)
reports_of_pieces = st.lists(
    st.lists(st.lists(st.integers(5, 8), min_size=1, max_size=4), min_size=1, max_size=4), min_size=1, max_size=5
)


def expected_rows(sequences: list[list[int]]) -> tuple[list[list[int]], list[list[bool]]]:
    whole = [[CLS, *each, SEP] for each in sequences]
    longest = max(map(len, whole))
    return (
        [row + [PAD] * (longest - len(row)) for row in whole],
        [[True] * len(row) + [False] * (longest - len(row)) for row in whole],
    )


def check(batch: ReportBatch, reports: list[list[list[int]]]) -> None:
    ids, mask = expected_rows([[piece for sentence in report for piece in sentence] for report in reports])
    assert (batch.token_ids.tolist(), batch.token_mask.tolist()) == (ids, mask)
    for row, report in enumerate(reports):
        owners = [number for number, sentence in enumerate(report) for _ in sentence]
        assert batch.sentence_of[row].tolist() == [-1, *owners] + [-1] * (len(ids[0]) - 1 - len(owners))
        assert batch.sentence_mask[row].sum() == len(report)
        assert batch.sentence_mask[row, : len(report)].all()


@given(reports_of_pieces)
def test_a_batch_of_whole_reports(reports) -> None:
    batch = pad_reports(reports, SPECIAL)
    check(batch, reports)
    unique = sorted({tuple(sentence) for report in reports for sentence in report}, key=lambda each: (len(each), each))
    read = [
        tuple(row[1 : int(length) - 1].tolist())
        for group in batch.unique
        for row, length in zip(group.token_ids, group.token_mask.sum(dim=1), strict=True)
    ]
    assert read == unique
    size = max(1, -(-len(unique) // 4))
    for number, group in enumerate(batch.unique):
        part = [list(each) for each in unique[number * size : (number + 1) * size]]
        assert (group.token_ids.tolist(), group.token_mask.tolist()) == expected_rows(part)
    for row, report in enumerate(reports):
        assert [unique[place] for place in batch.place_of[row, : len(report)]] == list(map(tuple, report))


@given(reports_of_pieces, st.randoms(use_true_random=False))
def test_a_batch_of_some_reports_and_sentences_in_any_order(reports, random) -> None:
    flat = FlatReports.of(reports)
    chosen = [random.randrange(len(reports)) for _ in range(3)]
    orders = [random.sample(range(len(reports[each])), random.randint(1, len(reports[each]))) for each in chosen]
    numbers = [flat.first[each] + place for each, order in zip(chosen, orders, strict=True) for place in order]
    counts = np.array([len(order) for order in orders])
    batch = flat.batch(np.array(numbers), counts, SPECIAL, with_unique=False)
    check(batch, [[reports[each][place] for place in order] for each, order in zip(chosen, orders, strict=True)])
    assert batch.unique == ()
