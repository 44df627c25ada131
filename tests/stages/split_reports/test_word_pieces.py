"""The trainer against a plain implementation, by hand, and its determinism."""

from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from stages.split_reports.tokenizer import SPECIAL_TOKENS, train_word_pieces


def test_by_hand():
    """ab ab ab abc: (a, ##b) four times, then (ab, ##c) once, which is too rare."""
    pieces = train_word_pieces({"ab": 3, "abc": 1}, size=300)
    assert pieces == [*SPECIAL_TOKENS, "a", "##b", "##c", "ab"]
    assert train_word_pieces({"ab": 3, "abc": 1}, size=300, min_count=1) == [*pieces, "abc"]


def test_the_alphabet_is_always_in_and_rare_characters_are_left_out():
    words = {chr(0x4E00 + place): place + 1 for place in range(500)}
    pieces = train_word_pieces(words, size=300, alphabet="xyz")
    assert len(pieces) <= 300
    assert {"x", "##x", "z", "##z", chr(0x4E00 + 499)} <= set(pieces)
    assert chr(0x4E00) not in pieces


def plain_trainer(counts, size, min_count=2):
    """Algorithm 1 of Sennrich et al. word for word: all pairs counted anew for every merge."""
    words = {word: [word[0], *(f"##{character}" for character in word[1:])] for word in counts}
    characters = {piece for pieces in words.values() for piece in pieces}
    vocabulary = [*SPECIAL_TOKENS, *sorted(characters, key=lambda piece: (piece.startswith("##"), piece))]
    while len(vocabulary) < size:
        pairs = Counter()
        for word, pieces in words.items():
            for pair in pairwise(pieces):
                pairs[pair] += counts[word]
        best = min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)
        if best is None or pairs[best] < min_count:
            break
        merged = best[0] + best[1][2:]
        if merged not in vocabulary:
            vocabulary.append(merged)
        for word, pieces in words.items():
            new = []
            for piece in pieces:
                if new and (new[-1], piece) == best:
                    new[-1] = merged
                else:
                    new.append(piece)
            words[word] = new
    return vocabulary


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=9), st.integers(1, 5), max_size=12), st.integers(20, 60))
def test_equals_the_plain_trainer(counts, size):
    assert train_word_pieces(counts, size) == plain_trainer(counts, size)


@given(st.permutations(["pneumothorax", "effusion", "effusions", "thorax", "fusion", "ax"]))
def test_the_order_of_words_does_not_matter(words):
    counts = {word: len(word) for word in words}
    assert train_word_pieces(counts, 80) == train_word_pieces(dict(sorted(counts.items())), 80)
