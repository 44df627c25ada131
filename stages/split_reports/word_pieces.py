"""A WordPiece vocabulary from counted words: the same words and counts give the same vocabulary.

The trainer of the `tokenizers` package breaks ties by the order of a hash table, so its ids, and at times its pieces,
differ from run to run. This one breaks them by spelling.

Byte-pair merges (Sennrich et al., ACL 2016, algorithm 1) over words whose inner characters carry "##", as BERT's
vocabularies are used (Schuster and Nakajima, 2012; Devlin et al., 2019).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # [PAD] is 0

Pair = tuple[str, str]


def train_word_pieces(counts: Mapping[str, int], size: int, alphabet: str = "", min_count: int = 2) -> list[str]:
    """At most `size` pieces, id = place: special tokens, characters, merges in their order.

    `counts`: words as the pre-tokenizer gives them -> occurrences. The characters of `alphabet` are in, at the start
    and inside of words, then as many of the others as a half of `size` holds, the most frequent first; words with
    any other become [UNK]. A pair seen less than `min_count` times is not merged.
    """
    seen = Counter[str]()
    for word, count in counts.items():
        for character in _characters_of(word):
            seen[character] += count
    given = [f"{prefix}{character}" for prefix in ("", "##") for character in sorted(set(alphabet))]
    others = sorted(seen.keys() - set(given), key=lambda character: (-seen[character], character))
    known = {*given, *others[: max(0, size // 2 - len(given))]}
    characters = sorted(known, key=lambda character: (character.startswith("##"), character))
    words = [(list(_characters_of(word)), count) for word, count in sorted(counts.items())]
    words = [(pieces, count) for pieces, count in words if known.issuperset(pieces)]
    merged = _merges(words, size - len(SPECIAL_TOKENS) - len(characters), min_count, known)
    return [*SPECIAL_TOKENS, *characters, *merged]


def _characters_of(word: str) -> Iterable[str]:
    return (character if place == 0 else f"##{character}" for place, character in enumerate(word))


def _merges(words: list[tuple[list[str], int]], room: int, min_count: int, known: set[str]) -> list[str]:
    """Up to `room` new pieces; `words` (pieces, count) are merged in place, `known` grows."""
    pairs: Counter[Pair] = Counter()
    holders: defaultdict[Pair, set[int]] = defaultdict(set)
    for index, (pieces, count) in enumerate(words):
        for pair in pairwise(pieces):
            pairs[pair] += count
            holders[pair].add(index)
    heap = [(-count, pair) for pair, count in pairs.items()]  # most frequent first, ties by spelling
    heapify(heap)
    new: list[str] = []
    while heap and len(new) < room:
        count, pair = heappop(heap)
        if -count != pairs[pair]:
            continue  # out of date: the pair stands in the heap again under its new count
        if -count < min_count:
            break
        piece = pair[0] + pair[1].removeprefix("##")
        if piece not in known:  # two ways to the same piece
            known.add(piece)
            new.append(piece)
        for changed in _merge(words, holders.pop(pair), pair, piece, pairs, holders):
            heappush(heap, (-pairs[changed], changed))
    return new


def _merge(
    words: list[tuple[list[str], int]],
    indices: set[int],
    pair: Pair,
    piece: str,
    pairs: Counter[Pair],
    holders: defaultdict[Pair, set[int]],
) -> list[Pair]:
    """Replace `pair` by `piece` in the words at `indices`; returns the other pairs whose counts changed."""
    change: Counter[Pair] = Counter()
    for index in indices:
        pieces, count = words[index]
        for old in pairwise(pieces):
            change[old] -= count
        place = 0
        while place < len(pieces) - 1:
            if (pieces[place], pieces[place + 1]) == pair:
                pieces[place : place + 2] = [piece]
            place += 1
        for fresh in pairwise(pieces):
            change[fresh] += count
            holders[fresh].add(index)
    del change[pair], pairs[pair]
    pairs.update(change)
    return [changed for changed, difference in change.items() if difference and pairs[changed] > 0]
