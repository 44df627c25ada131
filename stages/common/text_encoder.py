"""The text encoder: a BERT that gives one vector a sentence and one a report from a single pass."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, BertConfig, BertModel

from stages.common.encoder_settings import TextEncoderSettings
from stages.common.errors import InputError
from stages.common.report_batches import ReportBatch


class TextEncoder(nn.Module):
    """BERT over whole reports, sentences read from its tokens by their spans; or over single sentences."""

    def __init__(self, settings: TextEncoderSettings, vocabulary: int, configuration: dict | None = None) -> None:
        """`configuration` is that of a trained encoder whose weights follow: nothing else is then loaded."""
        super().__init__()
        if configuration is not None:
            self.bert = AutoModel.from_config(AutoConfig.for_model(**configuration), add_pooling_layer=False)
        else:
            self.bert = _load(settings.weights) if settings.weights else _initialise(settings, vocabulary)
        if self.bert.config.vocab_size < vocabulary:
            raise InputError(
                f"pretrain.text.weights: the encoder knows {self.bert.config.vocab_size} word pieces, the tokenizer "
                f"{vocabulary}; set split_reports.tokenizer to the encoder's own"
            )
        self.width: int = self.bert.config.hidden_size
        self.context = settings.context

    def forward(
        self, batch: ReportBatch
    ) -> tuple[Float[Tensor, "reports sentences width"], Float[Tensor, "reports width"]]:
        """Sentence vectors (mean of their word pieces; zero where there is no sentence) and the reports' vectors."""
        return self._whole_reports(batch) if self.context == "report" else self._single_sentences(batch)

    def _whole_reports(self, batch: ReportBatch) -> tuple[Tensor, Tensor]:
        hidden = self._hidden(batch.token_ids, batch.token_mask)
        slots = batch.sentence_mask.shape[1] + 1
        member = torch.nn.functional.one_hot(batch.sentence_of + 1, slots)[..., 1:].to(hidden.dtype)  # R T S
        total = torch.einsum("rts,rtd->rsd", member, hidden)
        return total / member.sum(dim=1).clamp(min=1).unsqueeze(-1), hidden[:, 0]

    def _single_sentences(self, batch: ReportBatch) -> tuple[Tensor, Tensor]:
        """Every unique sentence once; a report is the mean of its sentences."""
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


def _load(weights: str) -> nn.Module:
    """A BERT-like model from a local folder or the hub's local cache (compute nodes are offline); never by pickle."""
    try:
        return AutoModel.from_pretrained(weights, add_pooling_layer=False, weights_only=True, local_files_only=True)
    except OSError as error:
        kind = "folder" if Path(weights).is_dir() else "hub id"
        reason = str(error).splitlines()[0]
        raise InputError(
            f"pretrain.text.weights: {kind} {weights!r} is not on this machine ({reason}); download it where there "
            "is a network and give the folder, or set `weights: null` for an encoder that starts at random"
        ) from None
