"""The text encoder: the BERT that reads batches of reports, and the tokenizer that it was made for.

A single pass gives one vector per sentence and one per report.
"""

from . import torchvision_operators  # noqa: F401, I001  (before transformers)
from pathlib import Path

import torch
from jaxtyping import Float
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, BertConfig, BertModel, PreTrainedModel

from .report_batches import ReportBatch
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


_LARGEST_PADDING = 128  # rows of an embedding table without a word piece, exclusive


class TextEncoder(nn.Module):
    """BERT that encodes whole reports, whose sentences it reads by their spans, or single sentences."""

    def __init__(self, settings: TextEncoderSettings, vocabulary: int, configuration: dict | None = None) -> None:
        """Build the BERT of `configuration`, whose weights are loaded later; without it, one of the settings' sizes.

        Raises InputError where `vocabulary` (word pieces of the tokenizer) or `max_tokens` do not fit the encoder.
        """
        super().__init__()
        if configuration is None and settings.weights is not None:
            raise ValueError("settings with weights need the encoder's configuration")
        self.bert: PreTrainedModel = (
            _initialise(settings, vocabulary) if configuration is None else _from_configuration(configuration)
        )
        _check_vocabulary(self.bert.config.vocab_size, vocabulary)
        if settings.max_tokens > self.bert.config.max_position_embeddings:
            raise InputError(
                f"pretrain.model.text.max_tokens: {settings.max_tokens}, but the encoder has position embeddings for "
                f"{self.bert.config.max_position_embeddings} tokens",
                remedy="set it to at most that number",
            )
        self.width: int = self.bert.config.hidden_size
        self.context = settings.context

    def forward(
        self, batch: ReportBatch
    ) -> tuple[Float[Tensor, "reports sentences width"], Float[Tensor, "reports width"]]:
        """Return sentence vectors (mean of word pieces; zero where there is no sentence) and report vectors."""
        return self._whole_reports(batch) if self.context == "report" else self._single_sentences(batch)

    def _whole_reports(self, batch: ReportBatch) -> tuple[Tensor, Tensor]:
        hidden = self._hidden(batch.token_ids, batch.token_mask)
        slots = batch.sentence_mask.shape[1] + 1
        member = torch.nn.functional.one_hot(batch.sentence_of + 1, slots)[..., 1:].to(hidden.dtype)  # R T S
        total = torch.einsum("rts,rtd->rsd", member, hidden)
        return total / member.sum(dim=1).clamp(min=1).unsqueeze(-1), hidden[:, 0]

    def _single_sentences(self, batch: ReportBatch) -> tuple[Tensor, Tensor]:
        """Encode every unique sentence once; a report is the mean of its sentences."""
        means = []
        for group in batch.unique:
            hidden = self._hidden(group.token_ids, group.token_mask)
            inner = group.token_mask.to(hidden.dtype)
            length = inner.sum(dim=1)
            inner[:, 0] = 0  # [CLS]
            inner[torch.arange(len(inner), device=inner.device), length.long() - 1] = 0  # [SEP]
            means.append(torch.einsum("ut,utd->ud", inner, hidden) / (length - 2).unsqueeze(1))
        vectors = torch.cat(means).index_select(0, batch.place_of.flatten()).view(*batch.place_of.shape, -1)
        vectors = vectors * batch.sentence_mask.unsqueeze(-1)
        return vectors, vectors.sum(dim=1) / batch.sentence_mask.sum(dim=1, keepdim=True)

    def _hidden(self, token_ids: Tensor, token_mask: Tensor) -> Float[Tensor, "rows tokens width"]:
        return self.bert(input_ids=token_ids, attention_mask=token_mask.to(torch.long)).last_hidden_state


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
    try:
        return AutoModel.from_config(parsed, dtype=torch.float32, add_pooling_layer=False)  # whatever its dtype says
    except TypeError:  # DistilBERT, ELECTRA and others have no pooling layer to leave out
        return AutoModel.from_config(parsed, dtype=torch.float32)


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
