"""Encoders: masked input equals gathered tokens where it must, spans are means, checkpoints round-trip."""

from itertools import chain

import pytest
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace

from stages.common.data.paired_reports import fit_budget
from stages.common.encoders.dual import DualEncoder, checkpoint_record, load_checkpoint, save_checkpoint, to_input
from stages.common.encoders.image import ImageEncoder, patchify
from stages.common.encoders.report_batches import SpecialTokens, pack_reports
from stages.common.encoders.settings import DualEncoderSettings, ImageEncoderSettings
from stages.common.encoders.text import TextEncoder
from stages.common.errors import InputError

SMALL = DualEncoderSettings.model_validate(
    {
        "image": {"architecture": "custom", "input_size": 24, "patch_size": 8, "width": 16, "depth": 2, "heads": 2},
        "text": {"weights": None, "width": 16, "depth": 1, "heads": 2, "dropout": 0},
        "embedding_width": 8,
    }
)
SPECIAL = SpecialTokens(cls=2, sep=3)
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "clear", "lungs", "no", "effusion"]


def test_all_patches_visible_is_the_whole_image() -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(SMALL.image).eval()
    images = torch.randn(2, 1, 24, 24)
    everything = torch.arange(9).expand(2, 9)
    torch.testing.assert_close(encoder(images, everything), encoder(images))


def test_hidden_patches_cannot_be_seen() -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(SMALL.image).eval()
    images = torch.randn(1, 1, 24, 24)
    visible = torch.tensor([[0, 4, 5]])
    changed = images.clone()
    changed[:, :, :8, 8:] = 7  # patches 1 and 2
    torch.testing.assert_close(encoder(images, visible), encoder(changed, visible))
    assert not torch.allclose(encoder(images), encoder(changed))


def test_visible_patches_keep_their_positions() -> None:
    """With identical pixels everywhere only the positions tell patches apart."""
    torch.manual_seed(0)
    encoder = ImageEncoder(SMALL.image).eval()
    flat = torch.ones(1, 1, 24, 24)
    one, other = (encoder(flat, torch.tensor([places])) for places in ([0, 1, 2], [0, 1, 8]))
    assert not torch.allclose(one, other)


def test_patchify_cuts_row_major() -> None:
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert patchify(image, 2)[0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


def test_a_named_timm_model_runs_masked() -> None:
    settings = SMALL.image.model_copy(
        update={"architecture": "vit_tiny_patch16_224", "patch_size": 16, "input_size": 64}
    )
    tokens = ImageEncoder(settings)(torch.zeros(1, 1, 64, 64), torch.tensor([[0, 3]]))
    assert tokens.shape == (1, 2, 192)


@torch.no_grad()
@pytest.mark.parametrize("name", ["test_vit", "test_vit2", "test_vit4", "vit_tiny_patch16_224"])
def test_tokens_are_those_of_timm_with_and_without_registers(name: str) -> None:
    """test_vit2 and test_vit4 have registers or positions of patches alone; timm's own forward pass is the truth."""
    torch.manual_seed(0)
    encoder = ImageEncoder(ImageEncoderSettings(architecture=name, patch_size=16, input_size=64)).eval()
    images = torch.randn(2, 1, 64, 64)
    expected = encoder.vit.forward_features(images)[:, encoder.vit.num_prefix_tokens :]
    torch.testing.assert_close(encoder(images), expected)
    torch.testing.assert_close(encoder(images, torch.arange(16).expand(2, 16)), expected)


@torch.no_grad()
@pytest.mark.parametrize("name", ["test_vit", "vit_small_patch14_reg4_dinov2"])
def test_pooled_is_the_mean_of_patches_or_cls(name: str) -> None:
    """The second one has four registers behind [CLS], which go into neither."""
    torch.manual_seed(0)
    settings = ImageEncoderSettings(architecture=name, patch_size=16, input_size=64)
    encoder, images = ImageEncoder(settings).eval(), torch.randn(2, 1, 64, 64)
    expected = encoder.vit.forward_features(images)
    mean = encoder.pool(encoder.tokens(images))
    torch.testing.assert_close(mean, expected[:, encoder.vit.num_prefix_tokens :].mean(dim=1))
    by_cls = ImageEncoder(settings.model_copy(update={"pooling": "cls"})).eval()
    by_cls.load_state_dict(encoder.state_dict())
    cls = by_cls.pool(by_cls.tokens(images))
    torch.testing.assert_close(cls, expected[:, 0])
    torch.testing.assert_close(by_cls(images), encoder(images))
    assert not torch.allclose(mean, cls)


def test_an_encoder_without_cls_cannot_be_asked_for_it() -> None:
    with pytest.raises(InputError, match=r"image\.pooling: cls, but test_vit2 has no \[CLS\]; set pooling: mean"):
        ImageEncoder(ImageEncoderSettings(architecture="test_vit2", patch_size=16, input_size=64, pooling="cls"))


def test_the_pooling_of_old_leaves_no_trace_in_a_digest() -> None:
    assert ImageEncoderSettings(pooling="mean").digest() == ImageEncoderSettings().digest()
    assert "pooling" not in DualEncoderSettings().model_dump(mode="json")["image"]
    assert ImageEncoderSettings(pooling="cls").model_dump(mode="json")["pooling"] == "cls"
    assert ImageEncoderSettings(pooling="cls").digest() != ImageEncoderSettings().digest()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("vit_of_nobody", "timm has no 'vit_of_nobody'"),
        ("vit_tiny_patch16_224.of_nobody", "of_nobody"),
        ("hf-hub:someone/vit", "timm has no"),
        ("test_resnet", "test_resnet"),
        ("deit_tiny_distilled_patch16_224", "distilled head"),
    ],
)
def test_an_architecture_that_cannot_leave_patches_out(name: str, reason: str) -> None:
    with pytest.raises(InputError, match=f"image.architecture: .*{reason}") as caught:
        ImageEncoder(ImageEncoderSettings(architecture=name))
    assert "\n" not in str(caught.value)


REPORTS = [[[5, 6], [7, 8, 8]], [[6]], [[7, 8, 8], [6], [5, 6]], [[5, 5, 7, 6, 8, 5, 6, 8]]]


def padded(encoder: TextEncoder) -> transformers.BertModel:
    """Return the same BERT as transformers runs it, for one sequence at a time."""
    plain = transformers.BertModel(transformers.BertConfig(**encoder.bert.config.to_dict()), add_pooling_layer=False)
    plain.load_state_dict(encoder.bert.state_dict())
    return plain.eval()


def test_a_whole_report_is_read_as_if_it_were_alone() -> None:
    torch.manual_seed(0)
    encoder = TextEncoder(SMALL.text, 9).eval()
    sentences, vectors = encoder(pack_reports(REPORTS, SPECIAL, "report"))
    bert = padded(encoder)
    for row, report in enumerate(REPORTS):
        hidden = bert(torch.tensor([[2, *chain.from_iterable(report), 3]])).last_hidden_state[0]
        torch.testing.assert_close(vectors[row], hidden[0])
        first = 1
        for place, sentence in enumerate(report):
            torch.testing.assert_close(sentences[row, place], hidden[first : first + len(sentence)].mean(dim=0))
            first += len(sentence)
        assert sentences[row, len(report) :].abs().sum() == 0


def test_single_sentences_are_encoded_once_and_without_neighbours() -> None:
    torch.manual_seed(0)
    encoder = TextEncoder(SMALL.text.model_copy(update={"context": "sentences"}), 9).eval()
    batch = pack_reports(REPORTS, SPECIAL, "sentences")
    assert len(batch.streams[0].starts) - 1 == 4
    sentences, vectors = encoder(batch)
    bert = padded(encoder)
    for row, report in enumerate(REPORTS):
        alone = [bert(torch.tensor([[2, *each, 3]])).last_hidden_state[0, 1:-1].mean(dim=0) for each in report]
        torch.testing.assert_close(sentences[row, : len(report)], torch.stack(alone))
        torch.testing.assert_close(vectors[row], torch.stack(alone).mean(dim=0))
        assert sentences[row, len(report) :].abs().sum() == 0


def test_budget_keeps_whole_sentences_and_counts_what_it_leaves_out() -> None:
    sentences = [[1] * 4, [2] * 5, [3] * 2]
    assert fit_budget(sentences, 13, 16) == ([sentences[0], sentences[1], sentences[2]], 0)
    assert fit_budget(sentences, 12, 16) == (sentences[:2], 1)
    assert fit_budget(sentences, 99, 1) == (sentences[:1], 2)
    assert fit_budget(sentences, 5, 16) == ([[1] * 3], 2)  # no report ends up empty


def test_a_tokenizer_without_a_special_token_is_refused() -> None:
    tokenizer = Tokenizer(WordPiece({"[UNK]": 0, "[CLS]": 1, "[PAD]": 2}, unk_token="[UNK]"))
    with pytest.raises(InputError, match=r"no \[SEP\] among the word pieces"):
        SpecialTokens.of(tokenizer)


def test_projected_mean_is_the_mean_of_projections() -> None:
    torch.manual_seed(0)
    model = DualEncoder(SMALL, 9)
    tokens = torch.randn(2, 5, 16)
    mean = model.image_projection(tokens).mean(dim=1)
    torch.testing.assert_close(model.embed_global(tokens), mean / mean.norm(dim=-1, keepdim=True))


def test_stored_images_become_grey_between_0_and_1() -> None:
    stored = torch.tensor([[[0, 255], [255, 0]]], dtype=torch.uint8)
    assert to_input(stored, 2).tolist() == [[[0, 1], [1, 0]]]
    torch.testing.assert_close(to_input(torch.full((1, 8, 8), 51, dtype=torch.uint8), 4), torch.full((1, 4, 4), 0.2))


def test_checkpoint_round_trip_and_damage(tmp_path) -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(WordPiece({word: rank for rank, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    (tmp_path / "source").mkdir()
    tokenizer.save(str(tmp_path / "source" / "tokenizer.json"))
    model = DualEncoder(SMALL, len(WORDS)).eval()
    weights = {**model.state_dict(), "integrity_map": torch.arange(9.0)}
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, weights, checkpoint_record(model), tmp_path / "source")
    loaded = load_checkpoint(folder, torch.device("cpu"))
    images = torch.rand(2, 24, 24)
    torch.testing.assert_close(loaded.model.patch_tokens(images), model.patch_tokens(images))
    assert loaded.integrity_map.tolist() == list(range(9))
    texts = loaded.embed_sentences(["clear lungs", "no effusion"])
    torch.testing.assert_close(
        texts.report, model.embed_text(pack_reports([[[5, 6]], [[7, 8]]], SPECIAL, "report")).report
    )
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"model\.safetensors: damaged"):
        load_checkpoint(folder, torch.device("cpu"))
