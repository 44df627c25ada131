"""Seeds of pre-training are an axis of the DAG: each replicate of a variant has its own name, folders and settings."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.cli import parse_config

from stages.common.errors import InputErrors
from stages.common.replicates import Replicate
from stages.config import check
from stages.config_layers import Layer, merged
from stages.configuration import Config
from stages.contracts import JOBS, job_of
from stages.pretrain.contract import PretrainSettings
from workflow.estimate.jobs import Amount, jobs_of

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = yaml.safe_load((ROOT / "config.yaml").read_text())
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,12}", fullmatch=True)
SEEDS = st.lists(st.integers(0, 2**32), min_size=1, max_size=5, unique=True)


def config_with(**blocks: object) -> Config:
    return check(merged(SHIPPED, blocks))


def compared(config: Config) -> list[str]:
    return [each.name for each in config.compared]


@given(NAMES, st.none() | st.integers(0, 2**64))
def test_a_name_of_a_replicate_means_it_unless_a_variant_is_named_so(variant: str, seed: int | None) -> None:
    replicate = Replicate(variant, seed)
    looks_like_one = seed is None and re.search(r".-seed(0|[1-9]\d*)$", variant)
    assert looks_like_one or Replicate.parse(replicate.name) == replicate
    assert Replicate.parse(replicate.name).name == replicate.name


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_each_seed_is_a_training_whose_settings_know_no_other_seed(seeds: list[int]) -> None:
    config = config_with(variants={"mlip": {"seeds": seeds}})
    assert compared(config)[: len(seeds) + 1] == [*(f"mlip-seed{seed}" for seed in seeds), "mlip_relaxed"]
    for seed in seeds:
        own = config.settings(PretrainSettings, variant=f"mlip-seed{seed}")
        assert own.seed == seed
        alone = config_with(variants={"mlip": {"seeds": [seed]}}).settings("pretrain", variant=f"mlip-seed{seed}")
        assert own.digest() == alone.digest() == config_with(pretrain={"seed": seed}).settings(
            "pretrain", variant="mlip").digest()  # fmt: skip


def test_without_seeds_names_and_settings_are_those_of_the_variants() -> None:
    config = check(SHIPPED)
    assert compared(config) == config.compare
    assert {each.seed for each in config.compared} == {None}


def test_the_default_is_for_variants_without_seeds_or_seed_of_their_own_and_not_for_published_encoders() -> None:
    published = {"encoder": {"source": "timm", "weights": "vit_base_patch16_224.mae"}}
    variants = {"clip": {"seeds": [5]}, "random": {"seeds": None}, "no_mim": {"seed": 4}, "mae": published}
    config = config_with(seeds=[0, 1], variants=variants, compare=["mlip", "clip", "random", "no_mim", "mae"])
    assert compared(config) == ["mlip-seed0", "mlip-seed1", "clip-seed5", "random", "no_mim", "mae"]
    assert config.settings("pretrain", variant="no_mim").seed == 4
    assert config.with_text == ["mlip", "clip", "random", "no_mim"]


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ({"seeds": []}, "seeds: Value should have at least 1 item"),
        ({"seeds": [1, 1]}, "seeds: 1 stands there twice: remove one"),
        ({"seeds": [True]}, "seeds: True is no number"),
        ({"seeds": 3}, "seeds: Input should be a valid list"),
        ({"variants": {"mlip": {"seeds": [0, -1]}}}, "variants.mlip.seeds.1: Input should be greater than"),
        ({"variants": {"mlip": {"seeds": ["x"]}}}, "variants.mlip.seeds.0: Input should be a valid integer"),
        ({"variants": {"mlip": {"seeds": [1], "seed": 0}}},
         "variants.mlip.seeds: stand beside `seed`; keep one of them"),
        ({"variants": {"mae": {"encoder": {"source": "timm", "weights": "a"}, "seeds": [1]}}},
         "variants.mae.seeds: a published encoder is not trained here; remove them"),
        ({"variants": {"mlip": {"seeds": [1]}, "mlip-seed1": {}}},
         "variants.mlip-seed1: is also the name of mlip with its seed 1; rename the variant"),
        ({"variants": {"mlip-seed1": {}}, "seeds": [0, 1]},
         "variants.mlip-seed1: is also the name of mlip with its seed 1; rename the variant"),
    ],
)  # fmt: skip
def test_wrong_seeds_are_one_line_with_file_and_key(block: dict, line: str) -> None:
    with pytest.raises(InputErrors) as caught:
        check(merged(SHIPPED, block), [Layer("config.yaml", SHIPPED), Layer("other.yaml", block)])
    (said,) = str(caught.value).splitlines()
    assert said.startswith(f"other.yaml: {line}")


def test_seeds_of_the_command_line_are_numbers_though_snakemake_gives_them_as_text() -> None:
    found = parse_config(["seeds=[0, 2]", "variants={mlip: {seeds: [1]}}"])
    config = check(merged(SHIPPED, found), [Layer("config.yaml", SHIPPED), Layer("--config", found)])
    assert (config.seeds_of("mlip"), config.seeds_of("clip")) == ([1], [0, 2])


def test_a_variant_named_like_a_replicate_of_none_is_a_variant() -> None:
    config = config_with(variants={"mlip-seed1": {"seed": 1}}, compare=["mlip", "mlip-seed1"])
    assert compared(config) == ["mlip", "mlip-seed1"]
    assert config.settings("pretrain", variant="mlip-seed1").seed == 1


def test_a_wrong_key_of_a_variant_is_said_once_whatever_its_seeds() -> None:
    with pytest.raises(InputErrors) as caught:
        config_with(variants={"mlip": {"seeds": [0, 1, 2], "mask_ratios": 0}})
    assert len(str(caught.value).splitlines()) == 1


def test_the_estimate_counts_trainings() -> None:
    amounts = {name: Amount(900, 900, 1e6, "test") for name in ("mimic_cxr", "rsna", "siim")}
    config = config_with(variants={"mlip": {"seeds": [0, 1, 2]}}, compare=["mlip", "random"])
    names = [each.name for each in jobs_of(config, amounts) if each.stage == "pretrain"]
    assert names == ["mlip-seed0", "mlip-seed1", "mlip-seed2", "random"]


def test_runs_are_tagged_with_variant_and_seed_for_mlflow() -> None:
    """Every stage that has a variant, and no other."""

    def tags_of(stage: str, name: str) -> dict[str, str]:
        job = object.__new__(job_of(stage))
        object.__setattr__(job, "name", name)
        return job.tags()

    assert tags_of("pretrain", "mlip-seed12") == {"variant": "mlip", "seed": "12"}
    assert tags_of("zero_shot_classification", "mlip-seed0/rsna") == {"variant": "mlip", "seed": "0"}
    assert tags_of("retrieval", "mlip") == {"variant": "mlip"}
    assert tags_of("label_images", "rsna") == tags_of("summarize", "") == tags_of("pretrain", "") == {}
    assert {job.stage for job in JOBS if job.place.startswith("{variant}")} == {
        job.stage for job in JOBS if "{variant}" in job.place
    }


def test_every_rule_takes_a_replicate_for_its_variant(tmp_path: Path) -> None:
    overlay = tmp_path / "seeds.yaml"
    overlay.write_text(yaml.safe_dump({"variants": {"mlip": {"seeds": [0, 7]}}}))
    for part in ("config.yaml", "workflow", "stages", "envs"):
        (tmp_path / part).symlink_to(ROOT / part)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--dry-run", "--nolock", "--profile", "workflow/profiles/demo",
         "--configfile", "workflow/profiles/demo/settings.yaml", str(overlay), "--printshellcmds"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path)},
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-2000:]
    places = set(re.findall(r"results/(\w+)/((?:mlip|random)(?:-seed\d+)?)/", said))
    stages = {stage for stage, _ in places}
    assert {"pretrain", "select_checkpoint", "extract_features", "zero_shot_classification", "retrieval"} <= stages
    assert places == {(stage, name) for stage in stages for name in ("mlip-seed0", "mlip-seed7", "random")}
    assert "--variants mlip=0,7 random" in said


@pytest.mark.parametrize("block", [{"pretrain": {"resume_from": "step_9.pt"}},
                                   {"variants": {"mlip": {"resume_from": "step_9.pt"}}}])  # fmt: skip
def test_seeds_that_would_all_go_on_from_one_state_are_refused(block: dict) -> None:
    with pytest.raises(InputErrors, match="several trainings of mlip, but resume_from is set"):
        check(merged(merged(SHIPPED, {"variants": {"mlip": {"seeds": [0, 1]}}}), block))
    check(merged(merged(SHIPPED, {"variants": {"mlip": {"seeds": [1]}}}), block))
