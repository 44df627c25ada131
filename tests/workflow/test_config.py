"""config.yaml and the profiles' overlays: valid as shipped, and every mistake is named at once."""

import copy
from pathlib import Path

import pytest
import yaml

from stages.common.errors import InputError
from stages.config import check
from stages.config_layers import merged
from stages.configuration import Config
from stages.contracts import BLOCKS

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = yaml.safe_load((ROOT / "config.yaml").read_text())
OVERLAYS = {
    path.parent.name: yaml.safe_load(path.read_text()) for path in ROOT.glob("workflow/profiles/*/settings.yaml")
}


def test_the_shipped_configuration_is_valid() -> None:
    config = check(SHIPPED)
    assert config.settings("pretrain", variant="clip").mask_ratio == 0
    assert config.settings("pretrain", variant="mlip").mask_ratio == 0.5


def test_the_random_encoder_is_random_whatever_the_others_start_from() -> None:
    started = {"pretrain": {"model": {"image": {"weights": "vit_base_patch16_224.mae"}}, "normalisation": "given"}}
    config = check(merged(SHIPPED, started))
    assert config.settings("pretrain", variant="mlip").model.image.weights == "vit_base_patch16_224.mae"
    image = config.settings("pretrain", variant="random").model.image
    assert (image.weights, image.architecture) == (None, "vit_base_patch16_224")
    assert config.settings("pretrain", variant="random").normalisation == "given"


def test_without_starting_weights_the_random_variant_keeps_its_digest() -> None:
    plain = merged(SHIPPED, {"variants": {"plain": {"optimisation": {"epochs": 0}}}, "compare": ["mlip", "plain"]})
    named, bare = (check(plain).settings("pretrain", variant=variant) for variant in ("random", "plain"))
    assert named.digest() == bare.digest()


@pytest.mark.parametrize("profile", sorted(OVERLAYS))
def test_every_profile_is_valid_over_it(profile: str) -> None:
    config = check(merged(SHIPPED, OVERLAYS[profile]))
    assert config.workspace == f"runs/{profile}"


def test_every_stage_with_settings_is_a_block_and_a_folder() -> None:
    assert set(BLOCKS) <= set(Config.model_fields)
    assert all((ROOT / "stages" / stage / "contract.py").is_file() for stage in BLOCKS)


def test_one_key_gives_all_evaluations_the_precision_of_their_encoders() -> None:
    stages = [stage for stage, model in BLOCKS.items() if "encoder_precision" in model.model_fields]
    assert stages == ["select_checkpoint", "extract_features", "zero_shot_classification", "phrase_grounding",
                      "retrieval"]  # fmt: skip
    changed = {"encoder_precision": "fp32", "retrieval": {"encoder_precision": "bf16"}}
    before, after = check(SHIPPED), check(merged(SHIPPED, changed))
    for stage in stages:
        found = [config.settings(stage, *after.measured_on(stage)[:1]).encoder_precision for config in (before, after)]
        assert found == ["auto", "bf16" if stage == "retrieval" else "fp32"]
    assert before.settings("pretrain", variant="clip").digest() == after.settings("pretrain", variant="clip").digest()


def test_all_mistakes_are_named_at_once_one_a_line() -> None:
    wrong = copy.deepcopy(SHIPPED)
    wrong["pretrain"]["optimisation"]["learning_rat"] = 1
    wrong["dicom_to_arrow"]["size"] = "large"
    wrong["datasets"]["rsna"]["label_images"] = {"findingz": "x"}
    wrong["variants"]["clip"]["local"]["weight"] = -1
    with pytest.raises(InputError) as error:
        check(wrong)
    lines = str(error.value).splitlines()
    for part in ("learning_rat: unknown key", "size:", "datasets.rsna.label_images: findingz: unknown key",
                 "variants.clip (over pretrain): local.weight:"):  # fmt: skip
        assert any(part in line for line in lines), (part, lines)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pretrain_on": "mimic"}, "pretrain_on: 'mimic' is not a key of `datasets`"),
        ({"evaluate_on": ["rsna", "nih"]}, "evaluate_on: 'nih' is not a key of `datasets`"),
        ({"compare": ["mlip", "ours"]}, "compare: 'ours' is not a key of `variants`"),
        ({"pretrian": {}}, "pretrian: unknown key"),
        ({"encoder_precision": "fp16"}, "encoder_precision: Input should be 'auto', 'fp32', 'tf32' or 'bf16'"),
        ({"workspace": "../elsewhere"}, "workspace"),
        ({"pretrain_retries": -1}, "pretrain_retries"),
    ],
)
def test_names_that_lead_nowhere(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        check({**SHIPPED, **change})


def test_a_root_without_its_folder_says_what_to_add() -> None:
    config = check(merged(SHIPPED, OVERLAYS["sample"]))
    with pytest.raises(InputError, match="--config sample_root=FOLDER"):
        config.root("rsna_sample")


def test_retries_of_a_training_are_the_site_s_affair_and_no_part_of_its_settings() -> None:
    few = check(SHIPPED | {"pretrain_retries": 1})
    assert (few.pretrain_retries, check(SHIPPED).pretrain_retries) == (1, 6)
    assert few.settings("pretrain", variant="mlip") == check(SHIPPED).settings("pretrain", variant="mlip")
    assert "retries: CONFIG.pretrain_retries if" in (ROOT / "workflow" / "rules" / "pretrain.smk").read_text()


def test_overlays_replace_leaves_and_keep_the_rest() -> None:
    assert merged({"a": {"b": 1, "c": [1]}, "d": 2}, {"a": {"c": [2]}}) == {"a": {"b": 1, "c": [2]}, "d": 2}


def test_labels_write_ids_as_the_index_does() -> None:
    """Else no label would have an image, which label_images says only after all images are converted."""
    own = {"layout": "folder", "table": "t.csv", "identifiers": "distributed", "finding": "lung_opacity",
           "columns": {"image": "file", "target": "x"}}  # fmt: skip
    with pytest.raises(InputError) as caught:
        check(merged(SHIPPED, {"datasets": {"rsna": {"label_images": own, "index_inputs": {"identifiers": "keyed"}}}}))
    assert str(caught.value).startswith(
        "config.yaml: datasets.rsna.label_images: ids are distributed, but those of index_inputs are keyed; set "
    )
