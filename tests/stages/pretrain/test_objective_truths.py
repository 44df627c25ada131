"""The objective as a whole: CLIP when everything is off, a table by hand, a planted region, masks, bf16."""

import math
from collections import Counter
from itertools import combinations

import pytest
import torch
from planted_pairs import VOCABULARY, data, small
from torch.nn import functional as F

from stages.common.encoders.image import draw_visible
from stages.pretrain.contract import IntegrityKind
from stages.pretrain.losses import SemanticIntegrity, contrastive_loss
from stages.pretrain.training import build

OFF = {
    "mask_ratio": 0,
    "contrastive": {"integrity": "none"},
    "local": {"weight": 0},
    "reconstruction": {"weight": 0},
}


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_subset_of_patches_is_as_likely() -> None:
    drawn = Counter(map(tuple, draw_visible(20_000, 6, 0.5, generator(0)).tolist()))
    assert set(drawn) == set(combinations(range(6), 3))
    assert sum((count - 1000) ** 2 / 1000 for count in drawn.values()) < 49.9  # 19 degrees of freedom, p = 1e-4


def test_masks_differ_between_samples_and_follow_the_seed() -> None:
    one = draw_visible(50, 64, 0.5, generator(1))
    assert len({tuple(row) for row in one.tolist()}) == 50
    assert torch.equal(one, draw_visible(50, 64, 0.5, generator(1)))
    assert not torch.equal(one, draw_visible(50, 64, 0.5, generator(2)))


def test_with_everything_off_the_loss_is_clips() -> None:
    settings = small(**OFF)
    model = build(settings, VOCABULARY).eval()
    batch = data(settings).draw(0)
    image = model.encoder.embed_global(model.encoder.patch_tokens(model.augmented(batch)))
    report = model.encoder.embed_text(batch.reports).report
    logits = image @ report.T / 0.07
    logits[batch.false_negatives] = -math.inf
    rows = -(logits.diagonal() - logits.logsumexp(dim=1)).mean()
    columns = -(logits.diagonal() - logits.logsumexp(dim=0)).mean()
    torch.testing.assert_close(model(batch).total, (rows + columns) / 2)


def test_the_four_terms_of_a_table_of_three_by_hand() -> None:
    """cosine / tau = [[2,0,1],[0,1,0],[1,0,3]], s = (1, 2, 1/2); each cross-entropy is log sum exp - match.

    Rows scaled by s, then s-weighted rows; the table is symmetric, so both directions have the same four sums.
    """
    logits = torch.tensor([[2.0, 0, 1], [0, 1, 0], [1, 0, 3]])
    s = torch.tensor([1.0, 2.0, 0.5])
    e = math.e
    scaled = [
        math.log(e**2 + 1 + e) - 2,  # row 1 as it is
        math.log(1 + e**2 + 1) - 2,  # row 2 doubled
        math.log(e**0.5 + 1 + e**1.5) - 1.5,  # row 3 halved
    ]
    plain = [math.log(e**2 + 1 + e) - 2, math.log(2 + e) - 1, math.log(e + 1 + e**3) - 3]
    weighted = (1 * plain[0] + 2 * plain[1] + 0.5 * plain[2]) / 3.5
    loss = contrastive_loss(logits / 4, torch.tensor(4.0), s, torch.zeros(3, 3, dtype=torch.bool))
    assert float(loss.scaled) == pytest.approx(sum(scaled) / 3, rel=1e-6)
    assert float(loss.weighted) == pytest.approx(weighted, rel=1e-6)
    assert float(loss.total) == pytest.approx((2 * sum(scaled) / 3 + 2 * weighted) / 4, rel=1e-6)


@pytest.mark.parametrize("kind", ["softplus", "share"])
def test_phi_recovers_the_patches_that_tell_images_apart(kind: IntegrityKind) -> None:
    """A pair is told apart by as much as its mask shows of 4 of 16 patches: s should grow with them, phi rise there."""
    region = torch.zeros(16)
    region[[5, 6, 9, 10]] = 1
    integrity = SemanticIntegrity(kind, 16)
    optimiser = torch.optim.Adam(integrity.parameters(), lr=0.02)
    nothing = torch.zeros(32, 32, dtype=torch.bool)
    for step in range(150):
        visible = draw_visible(32, 16, 0.5, generator(step))
        shown = region[visible].sum(dim=1) / 4
        noise = torch.randn(32, 32, generator=generator(1000 + step))
        cosine = torch.diag(shown) + 0.3 * noise
        optimiser.zero_grad()
        contrastive_loss(cosine, torch.tensor(4.0), integrity(visible), nothing).total.backward()
        optimiser.step()
    phi = integrity.centred_map()
    assert phi[region == 1].min() > phi[region == 0].max()


@pytest.mark.parametrize(
    "change", [{}, {"local": {"rho": 0.1}}, {"local": {"score": "attention"}}, {"contrastive": {"integrity": "share"}}]
)
def test_under_bf16_autocast_the_objective_is_nearly_the_same(change: dict) -> None:
    settings = small(**change)
    model, batch = build(settings, VOCABULARY).eval(), data(settings).draw(0)
    exact = model(batch)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(batch)
    assert rounded.total.dtype == torch.float32
    assert rounded.total.item() == pytest.approx(exact.total.item(), rel=0.02)
    rounded.total.backward()
    gradients = [each.grad for each in model.parameters() if each.grad is not None]
    assert all(torch.isfinite(each).all() for each in gradients)


def test_visible_patches_alone_are_encoded_as_with_the_others_hidden_from_attention() -> None:
    settings = small()
    encoder = build(settings, VOCABULARY).eval().encoder.image
    images = torch.rand(2, 1, 16, 16, generator=generator(3))
    visible = draw_visible(2, 16, 0.5, generator(4))
    hidden = torch.full((2, 1, 17, 17), -math.inf)
    for row in range(2):
        hidden[row, 0, :, 0] = 0  # [CLS]
        hidden[row, 0, :, visible[row] + 1] = 0
    vit = encoder.vit
    tokens = vit.patch_embed(images) + vit.pos_embed[:, 1:]
    tokens = torch.cat([(vit.cls_token + vit.pos_embed[:, :1]).expand(2, -1, -1), tokens], dim=1)
    for block in vit.blocks:
        normed = block.norm1(tokens)
        q, k, v = block.attn.qkv(normed).unflatten(2, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=hidden).transpose(1, 2).flatten(2)
        tokens = tokens + block.attn.proj(mixed)
        tokens = tokens + block.mlp(block.norm2(tokens))
    full = vit.norm(tokens)[:, 1:]
    expected = torch.stack([full[row, visible[row]] for row in range(2)])
    torch.testing.assert_close(encoder(images, visible), expected, atol=1e-5, rtol=1e-4)
