"""Masking, integrity, contrastive loss, reconstruction and sentence weights, each against a closed form."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from stages.common.encoders.image import draw_visible, visibility, visible_count
from stages.pretrain.batches import MAX_WEIGHT, idf_weights, normalised, weight_of
from stages.pretrain.losses import (
    MaskedImageDecoder,
    SemanticIntegrity,
    contrastive_loss,
    cross_entropy_both_ways,
    reconstruction_loss,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(ratio=st.floats(0, 0.99), patches=st.integers(1, 200))
def test_exactly_v_distinct_patches_are_visible(ratio: float, patches: int) -> None:
    visible = draw_visible(3, patches, ratio, generator())
    assert visible.shape == (3, visible_count(patches, ratio))
    mask = visibility(visible, patches)
    assert (mask.sum(dim=1) == max(1, round((1 - ratio) * patches))).all()
    assert (visible.diff(dim=1) > 0).all()


def test_every_patch_is_equally_likely_to_be_visible() -> None:
    share = visibility(draw_visible(20_000, 16, 0.5, generator()), 16).float().mean(dim=0)
    assert (share - 0.5).abs().max() < 5 * math.sqrt(0.25 / 20_000)


def test_integrity_starts_where_the_design_says() -> None:
    visible = draw_visible(4, 16, 0.5, generator())
    for kind, start in (("softplus", math.log(2)), ("share", 1.0), ("none", 1.0)):
        torch.testing.assert_close(SemanticIntegrity(kind, 16)(visible), torch.full((4,), start))


def test_integrity_follows_its_formulas() -> None:
    visible = draw_visible(5, 12, 0.25, generator())
    mask = visibility(visible, 12).float()
    phi = torch.randn(12, generator=generator(1))
    softplus, share = SemanticIntegrity("softplus", 12), SemanticIntegrity("share", 12)
    with torch.no_grad():
        softplus.phi.copy_(phi)
        softplus.bias.fill_(0.3)
        share.phi.copy_(phi)
    torch.testing.assert_close(softplus(visible), torch.log1p(torch.exp(mask @ phi + 0.3)))
    torch.testing.assert_close(share(visible), (mask @ phi.softmax(dim=0)) / 0.75)
    torch.testing.assert_close(softplus.centred_map().sum(), torch.tensor(0.0), atol=1e-5, rtol=0)


def reference_contrastive(cosine, inverse, s, excluded):
    """The formula written out, one pair at a time, in float64."""
    count = len(cosine)
    total = 0.0
    for rows, masked in ((cosine.double(), excluded), (cosine.double().T, excluded.T)):
        for i in range(count):
            kept = [j for j in range(count) if not masked[i, j]]
            for scale, weight in ((s[i] * inverse, 1 / count), (inverse, s[i] / s.sum())):
                logits = torch.stack([rows[i, j] * scale for j in kept])
                total += weight * (torch.logsumexp(logits, 0) - rows[i, i] * scale) / 4
    return float(total)


def test_contrastive_loss_equals_the_formula_with_false_negatives() -> None:
    cosine = torch.rand(6, 6, generator=generator(2)) * 2 - 1
    s = torch.rand(6, generator=generator(3)) + 0.2
    excluded = torch.zeros(6, 6, dtype=torch.bool)
    excluded[0, 3] = excluded[3, 0] = True
    loss = contrastive_loss(cosine, torch.tensor(10.0), s, excluded)
    assert float(loss.total) == pytest.approx(reference_contrastive(cosine, 10.0, s.double(), excluded), rel=1e-5)
    assert float(loss.total) == pytest.approx(float((loss.scaled + loss.weighted) / 2), rel=1e-6)


def test_integrity_scales_rows_in_both_directions_not_the_transpose() -> None:
    cosine = torch.rand(4, 4, generator=generator(4))
    s = torch.tensor([0.2, 1.0, 2.0, 3.0])
    none = torch.zeros(4, 4, dtype=torch.bool)
    wrong = cross_entropy_both_ways(cosine * s.unsqueeze(1) * 10)  # transposing the scaled matrix
    assert abs(float(contrastive_loss(cosine, torch.tensor(10.0), s, none).scaled) - float(wrong)) > 1e-3


def test_without_integrity_the_loss_is_plain_infonce() -> None:
    cosine = torch.rand(5, 5, generator=generator(5))
    none = torch.zeros(5, 5, dtype=torch.bool)
    loss = contrastive_loss(cosine, torch.tensor(14.0), torch.ones(5), none)
    assert float(loss.total) == pytest.approx(float(cross_entropy_both_ways(cosine * 14)), rel=1e-6)


def test_phi_learns_from_the_scaled_terms_alone() -> None:
    cosine = torch.rand(4, 4, generator=generator(6))
    s = torch.rand(4, generator=generator(7)).add(0.5).requires_grad_()
    loss = contrastive_loss(cosine, torch.tensor(5.0), s, torch.zeros(4, 4, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(loss.total, s, retain_graph=True)
    (scaled,) = torch.autograd.grad(loss.scaled / 2, s)
    torch.testing.assert_close(gradient, scaled)
    assert not loss.weighted.requires_grad


def test_reconstruction_counts_masked_patches_only() -> None:
    target = torch.rand(2, 4, 9, generator=generator(8))
    visible = torch.tensor([[True, True, False, False], [True, False, True, False]])
    predicted = target.clone()
    predicted[visible] += 100
    assert float(reconstruction_loss(predicted, target, visible, normalise=False)) == 0
    predicted = target + torch.where(visible, 0.0, 0.5).unsqueeze(-1)
    assert float(reconstruction_loss(predicted, target, visible, normalise=False)) == pytest.approx(0.25)
    assert float(reconstruction_loss(predicted, target, torch.ones_like(visible), normalise=False)) == 0


def test_normalised_reconstruction_ignores_brightness_and_contrast_of_the_patch() -> None:
    target = torch.rand(2, 4, 9, generator=generator(9))
    visible = torch.zeros(2, 4, dtype=torch.bool)
    predicted = torch.randn(2, 4, 9, generator=generator(10))
    one, other = (reconstruction_loss(predicted, each, visible, normalise=True) for each in (target, 7 * target + 3))
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_decoder_puts_visible_tokens_in_their_places() -> None:
    torch.manual_seed(0)
    decoder = MaskedImageDecoder(8, 3, 4, width=16, depth=0, heads=2)
    tokens = torch.randn(1, 2, 8)
    one, other = decoder(tokens, torch.tensor([[1, 7]])), decoder(tokens, torch.tensor([[0, 5]]))
    hidden = decoder.norm(decoder.mask_token + decoder.positions)
    untouched = decoder.predict(hidden)
    same = [place for place in range(9) if torch.allclose(one[0, place], untouched[place], atol=1e-5)]
    assert same == [0, 2, 3, 4, 5, 6, 8]
    assert not F.cosine_similarity(other[0, 0], untouched[0], dim=0).isclose(torch.tensor(1.0))


def test_idf_folds_case_digits_and_blanks() -> None:
    assert normalised("A 1.5 cm  Nodule.") == normalised("a 2.0 CM nodule.")


def test_idf_is_log_of_reports_over_reports_with_the_sentence() -> None:
    reports = (
        [["Clear lungs.", "No pneumothorax."]] * 60 + [["No pneumothorax."]] * 37 + [["Odd.", "No pneumothorax."]] * 3
    )
    weights = idf_weights(reports)
    assert weight_of("no pneumothorax.", weights) == 0  # in every report: says nothing
    assert weight_of("Clear lungs.", weights) == pytest.approx(math.log(100 / 60))
    assert weight_of("Odd.", weights) == pytest.approx(math.log(100 / 5))  # counted as five
    assert weight_of("Never seen.", weights) == max(weights.values()) <= MAX_WEIGHT
