"""The text encoder: the BERT that reads batches of reports, and the tokenizer that it was made for.

A single pass gives one vector per sentence and one per report.
"""

from . import torchvision_operators  # noqa: F401, I001  (before transformers)
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoModel, BertConfig, BertModel, PreTrainedModel

from . import packed_attention
from .keyed_dropout import key_dropout
from .report_batches import ReportBatch, TokenStream
from .settings import TextEncoderSettings
from ..errors import InputError, first_line


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load the tokenizer that split_reports wrote. Raises InputError where there is none, or it is damaged."""
    path = Path(folder) / "tokenizer.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file", remedy="run split_reports first")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no narrower type
        raise InputError(f"{path}: not a tokenizer ({first_line(error)})", remedy="write it again") from None
    tokenizer.encode_special_tokens = True  # "[SEP]" written in a text is text, as in split_reports
    return tokenizer


# Kinds of encoders, of those that transformers knows, that read positions and attention as they are given here. Others
# (MPNet, DeBERTa, ModernBERT) compute both by themselves, from padded rows.
KINDS = ("bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta")
_LARGEST_PADDING = 128  # rows of an embedding table without a word piece, exclusive


class TextEncoder(nn.Module):
    """BERT that encodes whole reports, whose sentences it reads by their spans, or single sentences."""

    def __init__(self, settings: TextEncoderSettings, vocabulary: int, configuration: dict | None = None) -> None:
        """Build the BERT of `configuration`, whose weights are loaded later; without it, one of the settings' sizes.

        Raises InputError where `vocabulary` (word pieces of the tokenizer) or `max_tokens` do not fit the encoder, or
        it is of a kind that cannot read sequences without padding.
        """
        super().__init__()
        if configuration is None and settings.weights is not None:
            raise ValueError("settings with weights need the encoder's configuration")
        self.bert: PreTrainedModel = (
            _initialise(settings, vocabulary) if configuration is None else _from_configuration(configuration)
        )
        _check_vocabulary(self.bert.config.vocab_size, vocabulary)
        self._first_position = _first_position(self.bert)
        positions = self.bert.config.max_position_embeddings - self._first_position
        if settings.max_tokens > positions:
            raise InputError(
                f"pretrain.model.text.max_tokens: {settings.max_tokens}, but the encoder has position embeddings for "
                f"{positions} tokens",
                remedy="set it to at most that number",
            )
        self.bert.set_attn_implementation(packed_attention.NAME)
        self.width: int = self.bert.config.hidden_size
        self.context = settings.context
        self._dropout_keys = key_dropout(self.bert, max(self.width, getattr(self.bert.config, "embedding_size", 0)))

    def forward(
        self, batch: ReportBatch
    ) -> tuple[Float[Tensor, "reports sentences width"], Float[Tensor, "reports width"]]:
        """Return sentence vectors (mean of word pieces; zero where there is no sentence) and report vectors.

        A report's vector is [CLS], with context `sentences` the mean of its sentences. Of several streams no activation
        is kept: the backward pass runs each again.
        """
        encode = self._segments
        if len(batch.streams) > 1:
            encode = partial(checkpoint, self._segments, use_reentrant=False, preserve_rng_state=False)
        segments = torch.cat([encode(stream) for stream in batch.streams])
        found = segments.index_select(0, batch.sentence_segments.flatten())
        sentences = found.view(*batch.sentence_segments.shape, -1) * batch.sentence_mask.unsqueeze(-1)
        if self.context == "report":
            return sentences, segments.index_select(0, batch.report_segments)
        return sentences, sentences.sum(dim=1) / batch.sentence_mask.sum(dim=1, keepdim=True)

    def _segments(self, stream: TokenStream) -> Float[Tensor, "segments width"]:
        """Return the mean of the tokens of each segment, in single precision."""
        self._dropout_keys.of_tokens = stream.dropout_keys
        hidden = self.bert(
            input_ids=stream.token_ids.unsqueeze(0),
            position_ids=stream.positions.unsqueeze(0) + self._first_position,
            layout=packed_attention.PackedLayout(stream),
        ).last_hidden_state[0]
        return torch.segment_reduce(hidden.float(), "mean", offsets=stream.segments)


def _initialise(settings: TextEncoderSettings, vocabulary: int) -> BertModel:
    configuration = BertConfig(
        vocab_size=vocabulary,
        hidden_size=settings.width,
        num_hidden_layers=settings.depth,
        num_attention_heads=settings.heads,
        intermediate_size=4 * settings.width,
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
        max_position_embeddings=max(512, settings.max_tokens),
    )
    return BertModel(configuration, add_pooling_layer=False)


def _from_configuration(configuration: dict) -> PreTrainedModel:
    """Return a BERT-like model of transformers from its config.json; without `model_type`, as in 2019, it is a BERT."""
    try:
        parsed = AutoConfig.for_model(**{"model_type": "bert", **configuration})
    except ValueError as error:
        reason = str(error).partition(". Should")[0]
        raise InputError(
            f"pretrain.model.text.weights: config.json: {reason}", remedy="give a BERT-like encoder"
        ) from None
    if parsed.model_type not in KINDS or getattr(parsed, "is_decoder", False):
        what = "is_decoder" if parsed.model_type in KINDS else f"model_type {parsed.model_type}"
        raise InputError(
            f"pretrain.model.text.weights: config.json: {what}, which cannot read reports without padding",
            remedy=f"give an encoder of one of the kinds {', '.join(KINDS)}, with a WordPiece tokenizer; evaluate a "
            "checkpoint of an earlier version with that version",
        )
    parsed.chunk_size_feed_forward = 0  # a stream has any number of tokens
    try:
        return AutoModel.from_config(parsed, dtype=torch.float32, add_pooling_layer=False)  # whatever its dtype says
    except TypeError:  # DistilBERT, ELECTRA and others have no pooling layer to leave out
        return AutoModel.from_config(parsed, dtype=torch.float32)


def _first_position(bert: PreTrainedModel) -> int:
    """Return the index of the first token's position embedding; RoBERTa's lie after that of padding."""
    table = bert.get_submodule("embeddings.position_embeddings")
    assert isinstance(table, nn.Embedding)
    return 0 if table.padding_idx is None else table.padding_idx + 1


def _check_vocabulary(rows: int, pieces: int) -> None:
    """Raise InputError where the embedding table does not fit the tokenizer.

    Tables are padded to multiples of up to 128 rows; a larger difference means another vocabulary.
    """
    if not pieces <= rows < pieces + _LARGEST_PADDING:
        raise InputError(
            f"pretrain.model.text.weights: the encoder's embedding table has {rows} rows, the tokenizer {pieces} word "
            "pieces",
            remedy="set split_reports.tokenizer.weights to the encoder's own",
        )
