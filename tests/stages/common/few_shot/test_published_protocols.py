"""A job that is not as published says so, in every setting that the protocol fixes and in none that it leaves open."""

import pytest

from stages.common.encoders.settings import AugmentationSettings
from stages.common.few_shot.protocols import in_words
from stages.few_shot_classification import contract as classification
from stages.few_shot_segmentation import contract as segmentation


@pytest.mark.parametrize("protocol", ["linear", "finetune", "benchx"])
@pytest.mark.parametrize("fraction", [1, 10, 100])
def test_the_defaults_are_as_published_whatever_is_repeated_drawn_or_shown(protocol, fraction) -> None:
    free = {"seeds": 9, "seed": 4, "draws": 7}
    job = classification.FewShotClassificationSettings(**free, findings=["x"]).job(protocol, fraction)
    assert classification.departures_of(job, protocol) == {}
    outlines = segmentation.FewShotSegmentationSettings(**free, finding="x", publish_samples=True, samples=1)
    outlined = {} if protocol != "benchx" or fraction == 100 else {"fraction": [fraction, 100]}  # by BenchX: with all
    assert segmentation.departures_of(outlines.job(protocol, fraction), protocol, 512) == outlined


def test_a_shortened_job_names_every_setting_with_the_published_one() -> None:
    block = classification.FewShotClassificationSettings.model_validate(
        {"finetune": {"batch_size": 16, "precision": "bf16", "augmentation": {"min_area": 0.9},
                      "schedule": {1: {"steps": 100, "learning_rate": 3e-3}}}, "fractions": [1]}
    )  # fmt: skip
    assert classification.departures_of(block.job("finetune", 1), "finetune") == {
        "steps": [100, 2000], "batch_size": [16, 96], "augmentation.min_area": [0.9, AugmentationSettings().min_area]
    }  # fmt: skip


def test_a_fraction_that_nobody_published_is_a_departure() -> None:
    job = classification.FewShotClassificationSettings(fractions=[5], protocols=["linear"]).job("linear", 5)
    assert classification.departures_of(job, "linear") == {"fraction": [5, 100]}


def test_images_that_were_enlarged_are_a_departure() -> None:
    job = segmentation.FewShotSegmentationSettings(allow_upsampling=True).job("linear", 10)
    assert segmentation.departures_of(job, "linear", stored_size=128) == {"stored_size": [128, 224]}
    assert segmentation.departures_of(job, "linear", stored_size=224) == {}


def test_departures_of_several_jobs_are_one_phrase() -> None:
    jobs = [{"steps": [100, 2000], "batch_size": [16, 96]}, {}, {"steps": [200, 10_000], "batch_size": [16, 96]}]
    assert in_words(jobs) == "steps 100, 200 instead of 2,000, 10,000; batch size 16 instead of 96"
    assert in_words([{"augmentation.min_area": [0.9, 0.6], "decoder_widths": [[8, 4], [512, 256]]}]) == (
        "augmentation: min area 0.9 instead of 0.6; decoder widths 8-4 instead of 512-256"
    )
    assert in_words([{}, {}]) == ""
    assert in_words([{"epochs": [3, None], "head_norm": [True, False]}]) == (
        "epochs 3 instead of none; head norm yes instead of no"
    )
