"""Reports as padded batches of word pieces for the text encoder."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Int
from tokenizers import Tokenizer
from torch import Tensor

from stages.common.errors import InputError

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
class ReportBatch:
    """Inputs of `TextEncoder`: B reports of at most T word pieces and S sentences."""

    token_ids: Int[Tensor, "reports tokens"]
    token_mask: Bool[Tensor, "reports tokens"]  # True is a word piece, False is padding
    sentence_of: Int[Tensor, "reports tokens"]  # 0-based; -1 is [CLS], [SEP] or padding
    sentence_mask: Bool[Tensor, "reports sentences"]  # True is a sentence, False is padding

    def to(self, device: torch.device) -> "ReportBatch":
        return type(self)(*(part.to(device, non_blocking=True) for part in vars(self).values()))


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
    """[CLS] s1 s2 ... [SEP] for every report, padded to the longest."""
    tokens = 2 + max(sum(map(len, report)) for report in reports)
    sentences = max(map(len, reports))
    token_ids = torch.full((len(reports), tokens), special.pad)
    sentence_of = torch.full((len(reports), tokens), -1)
    token_mask = torch.zeros((len(reports), tokens), dtype=torch.bool)
    sentence_mask = torch.zeros((len(reports), sentences), dtype=torch.bool)
    for row, report in enumerate(reports):
        pieces = [special.cls, *(piece for sentence in report for piece in sentence), special.sep]
        owners = [-1, *(rank for rank, sentence in enumerate(report) for _ in sentence), -1]
        token_ids[row, : len(pieces)] = torch.tensor(pieces)
        sentence_of[row, : len(owners)] = torch.tensor(owners)
        token_mask[row, : len(pieces)] = True
        sentence_mask[row, : len(report)] = True
    return ReportBatch(token_ids, token_mask, sentence_of, sentence_mask)
