"""Reports as arrays of word pieces, and the padded batches that the text encoder reads.

The word pieces of many reports lie in one array, sentence after sentence. A batch is cut from it without a loop over
sentences: a training step of 256 reports has 20,000 word pieces.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from tokenizers import Tokenizer
from torch import Tensor

from ..data.paired_reports import Sentences
from ..errors import InputError

_GROUPS = 4  # groups of sentences by length: little padding, few passes


@dataclass(frozen=True)
class SpecialTokens:
    """Token ids of [CLS], [SEP] and [PAD]."""

    cls: int
    sep: int
    pad: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "SpecialTokens":
        """Return the ids that a tokenizer has for them. Raises InputError where it lacks one."""
        return cls(*(_id_of(token, tokenizer) for token in ("[CLS]", "[SEP]", "[PAD]")))


def _id_of(token: str, tokenizer: Tokenizer) -> int:
    number = tokenizer.token_to_id(token)
    if number is None:
        raise InputError(f"tokenizer.json: no {token} among the word pieces", remedy="take the one of split_reports")
    return number


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
    unique: tuple[SentenceGroup, ...]  # the batch's unique sentences, shortest first; may be left out
    place_of: Int[Tensor, "reports sentences"]  # rank of each sentence among the unique ones; 0 for padding

    def to(self, device: torch.device) -> "ReportBatch":
        """Return the batch with its tensors on `device`."""
        return map_tensors(self, lambda tensor: tensor.to(device, non_blocking=True))


def map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return `value` with `change` applied to every tensor in it, through data classes and tuples."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple):
        return tuple(map_tensors(part, change) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: map_tensors(getattr(value, each.name), change) for each in fields(value)})
    return value


@dataclass(frozen=True)
class FlatReports:
    """Word pieces of reports, one sentence after another: sentence s is `pieces[starts[s] : starts[s + 1]]`."""

    pieces: Int[np.ndarray, "pieces"]
    starts: Int[np.ndarray, "sentences_and_one"]
    first: Int[np.ndarray, "reports_and_one"]  # the first sentence of each report

    @classmethod
    def of(cls, reports: Sequence[Sentences]) -> "FlatReports":
        """Lay reports out, each a list of sentences without special tokens."""
        sentences = list(chain.from_iterable(reports))
        pieces = np.fromiter(chain.from_iterable(sentences), dtype=np.int64)
        return cls(pieces, _starts(list(map(len, sentences))), _starts(list(map(len, reports))))

    def batch(
        self,
        sentences: Int[np.ndarray, "chosen"],
        counts: Int[np.ndarray, "reports"],
        special: SpecialTokens,
        with_unique: bool = True,
    ) -> ReportBatch:
        """Return a batch of reports, each as [CLS] s1 s2 ... [SEP] and padded to the longest.

        `sentences` are the numbers of the sentences of all reports, `counts` says how many each report has. Without
        `with_unique` the batch has no groups of unique sentences, which only the context `sentences` reads.
        """
        lengths = self._lengths(sentences)
        report = np.repeat(np.arange(len(counts)), counts)
        number = _ranges(counts)  # of a sentence in its report
        sizes = np.bincount(report, weights=lengths, minlength=len(counts)).astype(np.int64)
        ids, mask = self._pad(sentences, sizes, special)
        sentence_of = np.full(ids.shape, -1)
        sentence_of[np.repeat(np.arange(len(sizes)), sizes), 1 + _ranges(sizes)] = np.repeat(number, lengths)
        slots = (len(counts), int(counts.max()))
        sentence_mask, place_of = np.zeros(slots, dtype=bool), np.zeros(slots, dtype=np.int64)
        sentence_mask[report, number] = True
        groups: tuple[SentenceGroup, ...] = ()
        if with_unique:
            unique, place_of[report, number] = self._unique(sentences)
            size = max(1, -(-len(unique) // _GROUPS))
            parts = (unique[first : first + size] for first in range(0, len(unique), size))
            groups = tuple(
                SentenceGroup(*map(torch.from_numpy, self._pad(part, self._lengths(part), special))) for part in parts
            )
        token_ids, token_mask, owner, present, place = map(
            torch.from_numpy, (ids, mask, sentence_of, sentence_mask, place_of)
        )
        return ReportBatch(token_ids, token_mask, owner, present, groups, place)

    def _lengths(self, sentences: Int[np.ndarray, "chosen"]) -> Int[np.ndarray, "chosen"]:
        return self.starts[sentences + 1] - self.starts[sentences]  # of the chosen: a corpus has a million sentences

    def _pad(
        self, sentences: Int[np.ndarray, "chosen"], sizes: Int[np.ndarray, "rows"], special: SpecialTokens
    ) -> tuple[Int[np.ndarray, "rows tokens"], Bool[np.ndarray, "rows tokens"]]:
        """Return rows [CLS] ... [SEP], filled with the sentences in turn and padded to the longest, and their mask."""
        lengths = self._lengths(sentences)
        ids = np.full((len(sizes), 2 + int(sizes.max())), special.pad)
        ids[:, 0] = special.cls
        places = np.repeat(np.arange(len(sizes)), sizes), 1 + _ranges(sizes)
        ids[places] = self.pieces[np.repeat(self.starts[sentences], lengths) + _ranges(lengths)]
        ids[np.arange(len(sizes)), 1 + sizes] = special.sep
        return ids, np.arange(ids.shape[1]) < (sizes + 2)[:, None]

    def _unique(
        self, sentences: Int[np.ndarray, "chosen"]
    ) -> tuple[Int[np.ndarray, "unique"], Int[np.ndarray, "chosen"]]:
        """Return one number for each different sentence, by length and word pieces, and the rank of each sentence."""
        words = [tuple(self.pieces[self.starts[each] : self.starts[each + 1]].tolist()) for each in sentences]
        number = dict(zip(words, sentences, strict=True))
        unique = sorted(number, key=lambda each: (len(each), each))
        rank = {sentence: place for place, sentence in enumerate(unique)}
        return np.array([number[each] for each in unique]), np.array([rank[each] for each in words])


def pad_reports(reports: Sequence[Sentences], special: SpecialTokens) -> ReportBatch:
    """Return the batch of whole reports, given as word pieces of their sentences."""
    flat = FlatReports.of(reports)
    return flat.batch(np.arange(len(flat.starts) - 1), np.diff(flat.first), special)


def _starts(lengths: Sequence[int]) -> Int[np.ndarray, "parts_and_one"]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _ranges(lengths: Int[np.ndarray, "parts"]) -> Int[np.ndarray, "total"]:
    """Return 0, 1, ... of each length in turn."""
    ends = np.cumsum(lengths)
    return np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - lengths, lengths)
