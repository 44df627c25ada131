"""The published presets, and which settings a job sees of the block."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from stages.common.errors import InputError
from stages.config import check
from stages.few_shot_classification.contract import FewShotClassificationSettings

ROOT = Path(__file__).resolve().parents[3]


def test_presets_are_the_published_ones() -> None:
    block = FewShotClassificationSettings()
    assert block.fractions == [1, 10, 100]
    assert block.seeds >= 3
    linear = block.job("linear", 10)
    assert (linear.batch_size, linear.learning_rate, linear.epochs, linear.patience) == (48, 5e-4, 50, 10)
    finetune = {fraction: block.job("finetune", fraction) for fraction in block.fractions}
    assert {job.batch_size for job in finetune.values()} == {96}
    assert [(job.steps, job.learning_rate) for job in finetune.values()] == [
        (2_000, 3e-3), (10_000, 5e-4), (50_000, 5e-4)
    ]  # fmt: skip


def test_benchx_is_as_in_its_files_for_a_vit_whatever_the_fraction() -> None:
    """Zhou et al., NeurIPS 2024: config/classification/*/{mrm,mgca_vit}.yml of their code."""
    block = FewShotClassificationSettings(fractions=[5], protocols=["benchx"])
    for fraction in (1, 5, 100):
        job = block.job("benchx", fraction)
        assert (job.batch_size, job.learning_rate, job.encoder_rate, job.momentum) == (64, 1e-2, 0.1, 0.9)
        assert (job.steps, job.warmup_steps, job.epochs, job.patience, job.clip_norm) == (3000, 50, 200, 10, 1.0)
        assert (job.head_norm, job.augmentation.min_area) == (True, 0.08)  # RandomResizedCrop of torchvision


def test_a_job_does_not_see_the_settings_of_another() -> None:
    one = FewShotClassificationSettings()
    other = FewShotClassificationSettings.model_validate(
        {"protocols": ["linear"], "fractions": [1], "finetune": {"momentum": 0}}
    )
    assert one.job("linear", 1).digest() == other.job("linear", 1).digest()
    assert one.job("finetune", 1).digest() != other.job("finetune", 1).digest()
    assert one.job("linear", 1).digest() != one.job("linear", 10).digest()


def test_a_fraction_without_schedule_is_named() -> None:
    with pytest.raises(ValidationError, match=r"finetune\.schedule has no entry for fraction 5"):
        FewShotClassificationSettings(fractions=[5])
    FewShotClassificationSettings(fractions=[5], protocols=["linear"])


def test_a_fraction_that_is_no_subset_of_the_labels_is_named() -> None:
    block = {"protocols": ["linear"], "fractions": [5]}
    with pytest.raises(InputError, match=r"datasets\.rsna\.few_shot_classification: fractions: 5 is not among"):
        check(yaml.safe_load((ROOT / "config.yaml").read_text()) | {"few_shot_classification": block})
