"""The text encoder: a BERT that gives one vector a sentence and one a report from a single pass."""

from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, BertConfig, BertModel

from stages.common.encoder_settings import TextEncoderSettings
from stages.common.errors import InputError


class TextEncoder(nn.Module):
    """BERT over whole reports; sentences are read from its tokens by their spans (design section 2.2, `report`)."""

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
        self.report_vector = settings.report_vector

    def forward(
        self,
        token_ids: Int[Tensor, "reports tokens"],
        token_mask: Bool[Tensor, "reports tokens"],
        sentence_of: Int[Tensor, "reports tokens"],
        sentences: int,
    ) -> tuple[Float[Tensor, "reports sentences width"], Float[Tensor, "reports width"]]:
        """Sentence vectors (mean of their word pieces; zero where there is no sentence) and the report's vector.

        `sentence_of` is the 0-based sentence of each word piece, -1 for [CLS], [SEP] and padding.
        """
        hidden = self.bert(input_ids=token_ids, attention_mask=token_mask.to(torch.long)).last_hidden_state
        member = torch.nn.functional.one_hot(sentence_of + 1, sentences + 1)[..., 1:].to(hidden.dtype)  # R T S
        total = torch.einsum("rts,rtd->rsd", member, hidden)
        count = member.sum(dim=1).clamp(min=1).unsqueeze(-1)
        vectors = total / count
        if self.report_vector == "cls":
            return vectors, hidden[:, 0]
        spoken = member.any(dim=1).sum(dim=1, keepdim=True)  # sentences of each report
        return vectors, vectors.sum(dim=1) / spoken


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
