"""Weights of BERT-like models in the layouts that the hub has: the same hidden states, and a line for what is wrong."""

import json
import os
from dataclasses import replace

import pytest
import torch
import transformers
from safetensors.torch import save_file

from stages.common.encoders.report_batches import SpecialTokens, pack_reports
from stages.common.encoders.settings import TextEncoderSettings
from stages.common.encoders.text import TextEncoder
from stages.common.errors import InputError
from stages.pretrain.weights import load_text_weights, text_configuration

VOCABULARY = 30
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
SETTINGS = TextEncoderSettings(weights="someone/bert")


def built(folder, vocabulary: int = VOCABULARY, settings: TextEncoderSettings = SETTINGS):
    encoder = TextEncoder(settings, vocabulary, text_configuration(folder)).eval()
    return encoder, load_text_weights(encoder, folder)


def assert_same_hidden_states(encoder: TextEncoder, original: transformers.PreTrainedModel) -> None:
    """Beside a longer report, too, whose padding the original is spared."""
    sentences, report = encoder(pack_reports([[[7, 8, 9]], [[5, 6, 7, 8], [9] * 5]], SpecialTokens(2, 3), "report"))
    hidden = original(torch.tensor([[2, 7, 8, 9, 3]])).last_hidden_state[0]
    torch.testing.assert_close(report[0], hidden[0])
    torch.testing.assert_close(sentences[0, 0], hidden[1:4].mean(dim=0))
    hidden = original(torch.tensor([[2, 5, 6, 7, 8, 9, 9, 9, 9, 9, 3]])).last_hidden_state[0]
    torch.testing.assert_close(report[1], hidden[0])
    torch.testing.assert_close(sentences[1], torch.stack([hidden[1:5].mean(dim=0), hidden[5:10].mean(dim=0)]))


@pytest.fixture
def clinical(tmp_path):
    """As Bio_ClinicalBERT lies on the hub: a torch file with heads and a prefix, old names, no `model_type`."""
    torch.manual_seed(0)
    model = transformers.BertForMaskedLM(transformers.BertConfig(**SIZES, intermediate_size=32)).eval()
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
           for name, tensor in model.state_dict().items()}  # fmt: skip
    old["bert.pooler.dense.weight"] = torch.zeros(16, 16)
    torch.save(old, tmp_path / "pytorch_model.bin")
    configuration = {**SIZES, "intermediate_size": 32, "max_position_embeddings": 512, "type_vocab_size": 2}
    (tmp_path / "config.json").write_text(json.dumps(configuration))
    return tmp_path, model.bert


@torch.no_grad()
def test_a_torch_file_with_heads_and_old_names(clinical) -> None:
    folder, original = clinical
    encoder, report = built(folder)
    assert_same_hidden_states(encoder, original)
    assert (len(report.used), report.missing) == (len(encoder.bert.state_dict()), [])
    assert "pooler.dense.weight" in report.unexpected
    assert all(name.startswith(("cls.", "pooler.")) for name in report.unexpected)


@torch.no_grad()
@pytest.mark.parametrize(
    "model",
    [
        lambda: transformers.BertModel(transformers.BertConfig(**SIZES, intermediate_size=32)),
        lambda: transformers.DistilBertModel(
            transformers.DistilBertConfig(vocab_size=30, dim=16, n_layers=2, n_heads=2, hidden_dim=32)
        ),
        lambda: transformers.ElectraModel(transformers.ElectraConfig(**SIZES, embedding_size=8, intermediate_size=32)),
        lambda: transformers.ElectraModel(transformers.ElectraConfig(**SIZES, embedding_size=24, intermediate_size=32)),
        lambda: transformers.RobertaModel(transformers.RobertaConfig(**SIZES, intermediate_size=32)),
        lambda: transformers.XLMRobertaModel(transformers.XLMRobertaConfig(**SIZES, intermediate_size=32)),
        lambda: transformers.CamembertModel(transformers.CamembertConfig(**SIZES, intermediate_size=32)),
    ],
    ids=["bert", "distilbert", "electra", "wider embeddings", "roberta", "xlm-roberta", "camembert"],
)
def test_a_folder_of_safetensors_that_transformers_wrote(tmp_path, model) -> None:
    torch.manual_seed(0)
    original = model().eval()
    original.save_pretrained(tmp_path)
    encoder, report = built(tmp_path)
    assert_same_hidden_states(encoder, original)
    assert report.missing == []
    sentence = pack_reports([[[7, 8, 9]]], SpecialTokens(2, 3), "report").streams[0]
    keyed = replace(sentence, dropout_keys=torch.tensor([1, 3, 5, 7, 9], dtype=torch.int32))
    encoder.train()
    assert torch.equal(encoder._segments(keyed), encoder._segments(keyed))
    assert not torch.equal(encoder._segments(keyed), encoder._segments(sentence))


@torch.no_grad()
def test_half_precision_weights_become_single(tmp_path) -> None:
    transformers.BertModel(transformers.BertConfig(**SIZES, intermediate_size=32)).half().save_pretrained(tmp_path)
    encoder, _ = built(tmp_path)
    assert {tensor.dtype for tensor in encoder.bert.parameters()} == {torch.float32}


@pytest.mark.parametrize(("pieces", "fits"), [(31, False), (30, True), (29, True)])
def test_the_tokenizer_must_fit_the_embedding_table(clinical, pieces: int, fits: bool) -> None:
    if fits:
        built(clinical[0], pieces)
        return
    with pytest.raises(InputError, match=r"table has 30 rows, the tokenizer 31 word pieces.*split_reports\.tokenizer"):
        built(clinical[0], pieces)


def test_a_much_smaller_vocabulary_is_another_one(tmp_path) -> None:
    transformers.BertModel(
        transformers.BertConfig(**{**SIZES, "vocab_size": 400}, intermediate_size=32)
    ).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="table has 400 rows, the tokenizer 30 word pieces"):
        built(tmp_path)


def change_configuration(folder, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 32}, r"not weights of the bert of its config\.json \(\d+ shapes differ"),
        ({"num_hidden_layers": 3}, r"lacks 16: encoder\.layer\.2"),
        ({"model_type": "distilbert"}, "not weights of the distilbert"),
        ({"model_type": "mpnet"}, r"model_type mpnet, which cannot read reports without padding; .*bert, .*roberta"),
        ({"model_type": "modernbert"}, "model_type modernbert, which cannot read"),
        ({"is_decoder": True}, "is_decoder, which cannot read"),
        ({"model_type": "nonsense"}, "Unrecognized model identifier: nonsense"),
        ({"max_position_embeddings": 64}, r"max_tokens: 256, but .* position embeddings for 64"),
    ],
)
def test_weights_of_another_architecture(clinical, changes: dict, message: str) -> None:
    change_configuration(clinical[0], **changes)
    with pytest.raises(InputError, match=message) as caught:
        built(clinical[0])
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_whole(clinical) -> None:
    folder = clinical[0]
    with pytest.raises(InputError, match=r"no config\.json beside pytorch_model\.bin.*name the folder"):
        text_configuration(folder / "pytorch_model.bin")
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(InputError, match="holds neither"):
        text_configuration(folder)
    with pytest.raises(InputError, match="no folder"):
        text_configuration(folder / "absent")


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.open, (str(self.path), os.O_CREAT)


def test_code_in_a_torch_file_is_not_run(clinical) -> None:
    folder, model = clinical
    torch.save({**model.state_dict(), "extra": Harmful(folder / "was_run")}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin: refused"):
        built(folder)
    assert not (folder / "was_run").exists()


def test_a_damaged_file_is_named(clinical) -> None:
    folder, model = clinical
    save_file({name: tensor.clone() for name, tensor in model.state_dict().items()}, folder / "model.safetensors")
    built(folder)
    for name in ("model.safetensors", "pytorch_model.bin"):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(InputError, match=f"{name}: not a tensor file, or damaged"):
            built(folder)
        (folder / name).unlink()
