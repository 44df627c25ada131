"""Reports as padded batches of word pieces for the text encoder."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Int
from tokenizers import Tokenizer
from torch import Tensor

from stages.common.errors import InputError

_GROUPS = 4  # of sentences by length: little padding, few passes

Sentences = list[list[int]]  # word pieces of each sentence of one report, without special tokens


@dataclass(frozen=True)
class SpecialTokens:
    cls: int
    sep: int
    pad: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "SpecialTokens":
        return cls(*(tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]", "[PAD]")))


@dataclass(frozen=True)
class SentenceGroup:
    """Unique sentences of similar length: U of at most T word pieces, [CLS] and [SEP] included."""

    token_ids: Int[Tensor, "unique tokens"]
    token_mask: Bool[Tensor, "unique tokens"]  # True is a word piece or special token, False is padding


@dataclass(frozen=True)
class ReportBatch:
    """Inputs of `TextEncoder`: B reports of at most T word pieces and S sentences."""

    token_ids: Int[Tensor, "reports tokens"]
    token_mask: Bool[Tensor, "reports tokens"]  # True is a word piece, False is padding
    sentence_of: Int[Tensor, "reports tokens"]  # 0-based; -1 is [CLS], [SEP] or padding
    sentence_mask: Bool[Tensor, "reports sentences"]  # True is a sentence, False is padding
    unique: tuple[SentenceGroup, ...]  # the batch's unique sentences, shortest first
    place_of: Int[Tensor, "reports sentences"]  # rank of each sentence among the unique ones; 0 for padding

    def to(self, device: torch.device) -> "ReportBatch":
        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        groups = tuple(SentenceGroup(move(group.token_ids), move(group.token_mask)) for group in self.unique)
        single = {name: move(part) for name, part in vars(self).items() if name != "unique"}
        return ReportBatch(unique=groups, **single)


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer that split_reports wrote."""
    path = Path(folder) / "tokenizer.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file; run split_reports first")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True  # "[SEP]" written in a text is text, as in split_reports
    return tokenizer


def fit_budget(sentences: Sentences, max_tokens: int, max_sentences: int) -> tuple[Sentences, int]:
    """The first sentences that fit the budget ([CLS] and [SEP] counted), and how many were left out.

    A first sentence longer than the whole budget is cut, so that no report ends up empty.
    """
    kept: Sentences = []
    room = max_tokens - 2
    for sentence in sentences[:max_sentences]:
        if len(sentence) > room:
            break
        kept.append(sentence)
        room -= len(sentence)
    if not kept:
        kept = [sentences[0][:room]]
    return kept, len(sentences) - len(kept)


def pad_reports(reports: list[Sentences], special: SpecialTokens) -> ReportBatch:
    """[CLS] s1 s2 ... [SEP] for every report, padded to the longest; and the unique sentences, in groups by length."""
    longest = max(map(len, reports))
    pieces = [[piece for sentence in report for piece in sentence] for report in reports]
    token_ids, token_mask = _pad(pieces, special)
    sentence_of = torch.full(token_ids.shape, -1)
    sentence_mask = torch.zeros((len(reports), longest), dtype=torch.bool)
    place_of = torch.zeros((len(reports), longest), dtype=torch.long)
    unique = sorted({tuple(sentence) for report in reports for sentence in report}, key=lambda each: (len(each), each))
    rank = {sentence: place for place, sentence in enumerate(unique)}
    for row, report in enumerate(reports):
        owners = [number for number, sentence in enumerate(report) for _ in sentence]
        sentence_of[row, 1 : 1 + len(owners)] = torch.tensor(owners)
        sentence_mask[row, : len(report)] = True
        place_of[row, : len(report)] = torch.tensor([rank[tuple(sentence)] for sentence in report])
    size = max(1, -(-len(unique) // _GROUPS))
    groups = tuple(
        SentenceGroup(*_pad([list(sentence) for sentence in unique[first : first + size]], special))
        for first in range(0, len(unique), size)
    )
    return ReportBatch(token_ids, token_mask, sentence_of, sentence_mask, groups, place_of)


def _pad(
    sequences: list[list[int]], special: SpecialTokens
) -> tuple[Int[Tensor, "rows tokens"], Bool[Tensor, "rows tokens"]]:
    """[CLS] ... [SEP], padded to the longest, and where that is no padding."""
    tokens = 2 + max(map(len, sequences))
    ids = torch.full((len(sequences), tokens), special.pad)
    mask = torch.zeros((len(sequences), tokens), dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence) + 2] = torch.tensor([special.cls, *sequence, special.sep])
        mask[row, : len(sequence) + 2] = True
    return ids, mask
