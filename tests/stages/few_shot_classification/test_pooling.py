"""Probes and fine-tuning take the same vector of an image: the one that the encoder's settings name."""

import copy

import numpy as np
import pytest
import torch

from stages.common.data.image_store import ImageStore
from stages.common.encoders.dual import DualEncoder, load_checkpoint, to_input
from stages.common.files.schemas import features
from stages.extract_features.embedding import embed_images
from stages.few_shot_classification.finetuning import Classifier

CPU = torch.device("cpu")
PLANTED = 7.0


@pytest.fixture
def model(files) -> DualEncoder:
    """Its last norm is gone and [CLS] is far from every patch: taking the wrong one cannot pass."""
    model = load_checkpoint(files.checkpoint, CPU).model
    model.image.vit.norm = torch.nn.Identity()
    model.image.vit.blocks = torch.nn.Identity()
    model.image.vit.cls_token.data.fill_(PLANTED)
    model.image.vit.pos_embed.data[:, 0] = 0
    return model


def pooled_by(model: DualEncoder, pooling: str) -> DualEncoder:
    changed = copy.deepcopy(model)
    changed.image.settings = changed.image.settings.model_copy(update={"pooling": pooling})
    return changed


def embedded(model: DualEncoder, store: ImageStore) -> dict[str, np.ndarray]:
    schema = features(model.settings.embedding_width, model.image.width)
    table = next(embed_images(model, store, 5, schema))
    return {name: np.array(table[name].to_pylist()) for name in ("embedding", "pooled")}


def test_features_are_pooled_as_the_encoder_says(files, model) -> None:
    store = ImageStore(files.images)
    mean, cls = (embedded(pooled_by(model, pooling), store) for pooling in ("mean", "cls"))
    np.testing.assert_array_equal(cls["pooled"], PLANTED)
    tokens = model.patch_tokens(to_input(torch.from_numpy(store.gather(np.arange(5))), 16))
    np.testing.assert_allclose(mean["pooled"], tokens.mean(dim=1).numpy(), rtol=1e-5)
    assert np.abs(mean["pooled"]).max() < PLANTED - 1
    np.testing.assert_array_equal(mean["embedding"], cls["embedding"])  # the joint space is of patches


@torch.no_grad()
def test_fine_tuning_classifies_the_same_vector(files, model) -> None:
    store = ImageStore(files.images)
    images = to_input(torch.from_numpy(store.gather(np.arange(5))), 16)
    for pooling in ("mean", "cls"):
        changed = pooled_by(model, pooling)
        classifier = Classifier(changed).eval()
        torch.nn.init.constant_(classifier.head.weight, 1.0)
        expected = embedded(changed, store)["pooled"].sum(axis=1)
        np.testing.assert_allclose(classifier(images)[:, 0].numpy(), expected, rtol=1e-4)
