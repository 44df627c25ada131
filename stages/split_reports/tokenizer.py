"""The BERT tokenizer of the pipeline: trained here or taken from a pre-trained encoder, and written as a folder.

Training makes a WordPiece vocabulary from counted words; the same words and counts give the same vocabulary. The
trainer of the `tokenizers` package breaks ties by the order of a hash table, so its ids, and at times its pieces,
differ from run to run. This one breaks them by spelling. It makes byte-pair merges (Sennrich et al., ACL 2016,
algorithm 1) over words whose inner characters carry "##", as BERT's vocabularies are used (Schuster and Nakajima, 2012;
Devlin et al., 2019).
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise
from pathlib import Path
from string import ascii_letters, ascii_lowercase, digits
from typing import Any

from tokenizers import BertWordPieceTokenizer, Tokenizer

from ..common.encoders.weight_files import tokenizer_file
from ..common.errors import InputError
from ..common.files.atomic_files import sidecar_of, verify, write_json, write_sidecar, write_text
from .contract import TokenizerSettings

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # [PAD] is 0

Pair = tuple[str, str]


def train_word_pieces(counts: Mapping[str, int], size: int, alphabet: str = "", min_count: int = 2) -> list[str]:
    """Return at most `size` pieces, whose id is their index: special tokens, characters, merges in their order.

    `counts` maps words, as the pre-tokenizer returns them, to occurrences. All characters of `alphabet` are included,
    at the start and inside of words, then as many of the others as half of `size` holds, the most frequent first; words
    with any other character become [UNK]. A pair seen fewer than `min_count` times is not merged.
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
    """Return up to `room` new pieces; `words` (pieces, count) are merged in place, and `known` grows."""
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
            continue  # out of date: the heap holds the pair again under its new count
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
    """Replace `pair` by `piece` in the words at `indices`; return the other pairs whose counts changed."""
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


_BATCH = 16_384  # sentences encoded at once; an encoding takes about 1 KB
_LONGEST_WORD = 100  # characters; BERT's WordPiece reads longer ones as [UNK]


def bert_tokenizer(pieces: list[str], do_lower_case: bool) -> Tokenizer:
    """Build BERT's tokenizer over `pieces` (id = index).

    It reads "[SEP]" in a report as text, not as a special token.
    """
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    return _plain(Tokenizer.from_str(BertWordPieceTokenizer(vocabulary, lowercase=do_lower_case).to_str()))


def train_tokenizer(sentences: Iterable[tuple[str, int]], size: int, do_lower_case: bool) -> Tokenizer:
    """Train a tokenizer of at most `size` pieces on (sentence, occurrences)."""
    splitter = bert_tokenizer(list(SPECIAL_TOKENS), do_lower_case)
    words: Counter[str] = Counter()
    for sentence, count in sentences:
        normal = splitter.normalizer.normalize_str(sentence)
        for word, _ in splitter.pre_tokenizer.pre_tokenize_str(normal):
            if len(word) <= _LONGEST_WORD:
                words[word] += count
    alphabet = digits + (ascii_lowercase if do_lower_case else ascii_letters)  # no word of a prompt becomes [UNK]
    return bert_tokenizer(train_word_pieces(words, size, alphabet), do_lower_case)


def weights_file(weights: str | None, folder: Path | None) -> Path | None:
    """Return tokenizer.json or vocab.txt of `folder`, the local copy of `weights`; None: train a tokenizer.

    Raises InputError where only one of the two is given, or the file is damaged.
    """
    if weights is not None and folder is None:
        raise InputError(
            f"--tokenizer-weights: missing, but tokenizer.weights names {weights}",
            remedy="give its local folder (fetch_weights downloads a hub id)",
        )
    if folder is None:
        return None
    if weights is None:
        raise InputError(f"--tokenizer-weights {folder}: tokenizer.weights is null", remedy="omit the option")
    file = tokenizer_file(folder)
    if sidecar_of(file).is_file():
        verify(file)
    return file


def read_tokenizer(path: Path, do_lower_case: bool) -> Tokenizer:
    """Read the tokenizer of tokenizer.json or vocab.txt. Raises InputError for another kind than BERT's."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".txt":
            _check_special_tokens(path, {piece: place for place, piece in enumerate(_lines(text))})
            return bert_tokenizer(_lines(text), do_lower_case)
        record, tokenizer = json.loads(text), Tokenizer.from_str(text)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", remedy="correct tokenizer.weights") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8", remedy="fetch it again") from None
    except Exception as error:  # the package raises bare Exception for what it cannot parse
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: not a tokenizer file ({' '.join(str(error).split())})", remedy="fetch it again"
        ) from None
    _check_kind(path, record, do_lower_case)
    _check_special_tokens(path, tokenizer.get_vocab())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return _plain(tokenizer)


def write_tokenizer(folder: Path, tokenizer: Tokenizer, settings: TokenizerSettings) -> None:
    """Write tokenizer.json (with its side-car), vocab.txt and tokenizer_config.json, which `from_pretrained` reads."""
    pieces = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL_TOKENS, strict=True))
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": settings.do_lower_case, **names}
    write_text(folder / "vocab.txt", "".join(f"{piece}\n" for piece, _ in pieces))
    write_json(folder / "tokenizer_config.json", config)
    write_text(folder / "tokenizer.json", tokenizer.to_str(pretty=True) + "\n")
    write_sidecar(folder / "tokenizer.json")


def token_ids_of(tokenizer: Tokenizer, sentences: list[str]) -> list[list[int]]:
    """Return the word pieces of every sentence, without special tokens; at least one each."""
    unknown = [unknown_id(tokenizer)]
    ids: list[list[int]] = []
    for first in range(0, len(sentences), _BATCH):
        encoded = tokenizer.encode_batch_fast(sentences[first : first + _BATCH], add_special_tokens=False)
        # A sentence has a letter, so it has a piece, unless the normalizer removes all of it.
        ids += [encoding.ids or unknown for encoding in encoded]
    return ids


def unknown_id(tokenizer: Tokenizer) -> int:
    """Return the id of the word piece [UNK], which stands for what the vocabulary lacks."""
    unknown = tokenizer.token_to_id("[UNK]")
    assert unknown is not None  # every tokenizer of this stage has it
    return unknown


def _plain(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.encode_special_tokens = True
    return tokenizer


def _lines(text: str) -> list[str]:
    return [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")]  # pieces may hold other line ends


def _check_special_tokens(path: Path, vocabulary: dict[str, int]) -> None:
    missing = [token for token in SPECIAL_TOKENS if token not in vocabulary]
    if missing:
        raise InputError(
            f"{path}: {', '.join(missing)} missing", remedy="tokenizer.weights must name a BERT vocabulary"
        )
    if vocabulary["[PAD]"] != 0:
        raise InputError(f"{path}: [PAD] has id {vocabulary['[PAD]']}, must be 0", remedy="use another vocabulary")
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise InputError(f"{path}: ids are not consecutive (or a piece occurs twice)", remedy="fetch it again")


def _check_kind(path: Path, record: dict[str, Any], do_lower_case: bool) -> None:
    kind = record["model"].get("type")
    normalizer = record.get("normalizer") or {}
    if kind != "WordPiece" or normalizer.get("type") != "BertNormalizer":
        raise InputError(f"{path}: a {kind} tokenizer, not BERT's WordPiece", remedy="correct tokenizer.weights")
    if normalizer["lowercase"] != do_lower_case:
        wanted = str(normalizer["lowercase"]).lower()
        raise InputError(f"{path}: has lowercase {wanted}", remedy=f"set tokenizer.do_lower_case: {wanted}")
