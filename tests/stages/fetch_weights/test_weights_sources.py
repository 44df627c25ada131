"""What `weights` names: a hub id, a timm name, or a path."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.fetch_weights.contract import HUB_ID, folder_name, hub_id, identifier_of


@pytest.mark.parametrize(
    ("weights", "image", "identifier"),
    [
        ("emilyalsentzer/Bio_ClinicalBERT", False, "emilyalsentzer/Bio_ClinicalBERT"),
        ("bert-base-cased", False, "bert-base-cased"),
        ("vit_base_patch16_224.mae", True, "timm/vit_base_patch16_224.mae"),
        ("timm/vit_base_patch16_224.mae", True, "timm/vit_base_patch16_224.mae"),
        ("weights/mae_pretrain_vit_base.pth", True, None),
        ("mae.safetensors", True, None),
        ("./encoders/bert", False, None),
        ("/data/bert", False, None),
        ("a/b/c", False, None),
        ("../bert", False, None),
    ],
)
def test_hub_ids_timm_names_and_paths(weights, image, identifier):
    assert hub_id(weights, image=image) == identifier


def test_what_exists_here_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hub_id("encoders/bert") == "encoders/bert"
    (tmp_path / "encoders" / "bert").mkdir(parents=True)
    assert hub_id("encoders/bert") is None


NAME = st.text("aZ9._", max_size=8).map(lambda rest: f"m{rest}-x")


@settings(deadline=None, max_examples=50)
@given(st.one_of(NAME, st.tuples(NAME, NAME).map("/".join)))
def test_a_folder_leads_back_to_its_model(identifier):
    assert HUB_ID.match(identifier)
    assert identifier_of(folder_name(identifier)) == identifier
    assert "/" not in folder_name(identifier)
