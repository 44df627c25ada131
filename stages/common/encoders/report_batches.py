"""Reports as arrays of word pieces, and the batches that the text encoder reads.

A batch has no padding: its sequences, reports or single sentences, lie one after another. It is cut from arrays that
hold the word pieces of many reports, without a loop over sentences: a training step of 256 reports has 20,000 pieces.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from itertools import chain, pairwise
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int
from tokenizers import Tokenizer
from torch import Tensor

from ..data.paired_reports import Sentences
from ..errors import InputError
from .keyed_dropout import token_keys

Context = Literal["report", "sentences"]


@dataclass(frozen=True)
class SpecialTokens:
    """Token ids of [CLS] and [SEP]."""

    cls: int
    sep: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "SpecialTokens":
        """Return the ids that a tokenizer has for them. Raises InputError where it lacks one."""
        return cls(*(_id_of(token, tokenizer) for token in ("[CLS]", "[SEP]")))


def _id_of(token: str, tokenizer: Tokenizer) -> int:
    number = tokenizer.token_to_id(token)
    if number is None:
        raise InputError(f"tokenizer.json: no {token} among the word pieces", remedy="take the one of split_reports")
    return number


@dataclass(frozen=True)
class TokenStream:
    """Sequences [CLS] ... [SEP] for one pass of the text encoder, one after another.

    A segment is a sentence, or a special token by itself; the last entry of `starts` and `segments` is the number of
    tokens.
    """

    token_ids: Int[Tensor, "tokens"]
    positions: Int[Tensor, "tokens"]  # 0-based, in the sequence
    starts: Int[Tensor, "sequences_and_one"]  # first token of each sequence; int32, as attention kernels want it
    segments: Int[Tensor, "segments_and_one"]  # first token of each segment
    longest: int  # tokens of the longest sequence
    dropout_keys: Int[Tensor, "tokens"] | None  # int32 (keyed_dropout.py); None: no dropout


@dataclass(frozen=True)
class ReportBatch:
    """Inputs of `TextEncoder`: R reports of at most S sentences. Segments are counted through all streams."""

    streams: tuple[TokenStream, ...]  # usually one
    sentence_segments: Int[Tensor, "reports sentences"]  # 0 for padding
    sentence_mask: Bool[Tensor, "reports sentences"]  # True is a sentence, False is padding
    report_segments: Int[Tensor, "_"]  # [CLS] of each report; with context `sentences`, of each unique sentence

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

    @cached_property
    def _text(self) -> Int[np.ndarray, "sentences"]:
        """A number for each sentence, equal where the word pieces are."""
        numbers: dict[bytes, int] = {}
        ends = zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True)
        return np.array([numbers.setdefault(self.pieces[start:end].tobytes(), len(numbers)) for start, end in ends])

    def batch(
        self,
        sentences: Int[np.ndarray, "chosen"],
        counts: Int[np.ndarray, "reports"],
        special: SpecialTokens,
        context: Context,
        slots: int | None = None,
        streams: int = 1,
        dropout: tuple[int, Int[np.ndarray, "reports"]] | None = None,
    ) -> ReportBatch:
        """Return a batch of reports: as whole sequences, or each unique sentence once, according to `context`.

        `sentences` are the numbers of the sentences of all reports, `counts` says how many each report has, at most
        `slots` (by default the largest count). The sequences are divided among up to `streams` streams. `dropout` is a
        seed and a number for each report; the keys of its tokens are a function of both, with context `sentences` of
        the seed and the sentence.
        """
        report, number = np.repeat(np.arange(len(counts)), counts), _ranges(counts)
        if context == "report":
            read, sizes = sentences, counts
            owners, places = (None if dropout is None else dropout[1]), np.arange(len(sentences))
        else:
            owners, first, places = np.unique(self._text[sentences], return_index=True, return_inverse=True)
            read, sizes = sentences[first], np.ones(len(first), dtype=np.int64)
        seed = None if dropout is None else dropout[0]
        tokens, segment_of, heads = self._stream(read, sizes, special, seed, owners)
        shape = (len(counts), int(counts.max()) if slots is None else slots)
        mask, segments = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=np.int64)
        mask[report, number] = True
        segments[report, number] = segment_of[places]
        return ReportBatch(_divided(tokens, streams), *map(torch.from_numpy, (segments, mask, heads)))

    def _stream(
        self,
        sentences: Int[np.ndarray, "chosen"],
        counts: Int[np.ndarray, "sequences"],
        special: SpecialTokens,
        seed: int | None,
        owners: Int[np.ndarray, "sequences"] | None,
    ) -> tuple[TokenStream, Int[np.ndarray, "chosen"], Int[np.ndarray, "sequences"]]:
        """Return a stream of sequences of `counts` sentences, the segment of each sentence, and that of each [CLS]."""
        lengths = self.starts[sentences + 1] - self.starts[sentences]  # of the chosen: a corpus has a million sentences
        heads = _starts(counts + 2)  # segments [CLS], sentences, [SEP]
        segment_of = np.repeat(heads[:-1], counts) + 1 + _ranges(counts)
        sizes = np.ones(heads[-1], dtype=np.int64)
        sizes[segment_of] = lengths
        segments = _starts(sizes)
        starts = segments[heads]
        ids = np.empty(segments[-1], dtype=np.int64)
        ids[starts[:-1]], ids[starts[1:] - 1] = special.cls, special.sep
        within = _ranges(lengths)
        ids[np.repeat(segments[segment_of], lengths) + within] = self.pieces[
            np.repeat(self.starts[sentences], lengths) + within
        ]
        length = np.diff(starts)
        positions = _ranges(length)
        keys = None
        if seed is not None and owners is not None:
            keys = torch.from_numpy(token_keys(seed, np.repeat(owners, length), positions))
        token_ids, places, firsts, borders = map(torch.from_numpy, (ids, positions, starts.astype(np.int32), segments))
        return TokenStream(token_ids, places, firsts, borders, int(length.max()), keys), segment_of, heads[:-1]


def pack_reports(reports: Sequence[Sentences], special: SpecialTokens, context: Context) -> ReportBatch:
    """Return the batch of whole reports, given as word pieces of their sentences, without dropout."""
    flat = FlatReports.of(reports)
    return flat.batch(np.arange(len(flat.starts) - 1), np.diff(flat.first), special, context)


def _divided(stream: TokenStream, streams: int) -> tuple[TokenStream, ...]:
    """Return the stream in up to `streams` parts of whole sequences and about equally many tokens."""
    if streams == 1:
        return (stream,)
    starts = stream.starts.numpy()
    borders = np.unique(np.searchsorted(starts, np.linspace(0, starts[-1], streams + 1)))
    return tuple(_part(stream, int(first), int(last)) for first, last in pairwise(borders))


def _part(stream: TokenStream, first: int, last: int) -> TokenStream:
    """Return the sequences `first` .. `last` - 1 of a stream."""
    starts = stream.starts[first : last + 1]
    begin, end = int(starts[0]), int(starts[-1])
    segments = stream.segments[(stream.segments >= begin) & (stream.segments <= end)]
    keys = None if stream.dropout_keys is None else stream.dropout_keys[begin:end]
    return TokenStream(
        stream.token_ids[begin:end],
        stream.positions[begin:end],
        starts - begin,
        segments - begin,
        int(starts.diff().max()),
        keys,
    )


def _starts(lengths: Sequence[int] | Int[np.ndarray, "parts"]) -> Int[np.ndarray, "parts_and_one"]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _ranges(lengths: Int[np.ndarray, "parts"]) -> Int[np.ndarray, "total"]:
    """Return 0, 1, ... of each length in turn."""
    ends = np.cumsum(lengths)
    return np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - lengths, lengths)
