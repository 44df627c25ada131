"""Training and evaluation standardise by the numbers of the training pixels, and the checkpoint carries them."""

import pytest
import torch

from stages.common.encoders.dual import build_encoder, checkpoint_record
from stages.common.errors import InputError
from stages.common.files.atomic_files import write_json, write_sidecar
from stages.common.records import write_record
from stages.pair_images_reports.contract import Distribution, Fingerprint, GreyValues, TrainingReports
from stages.pretrain.contract import PretrainSettings
from stages.pretrain.training import build
from stages.pretrain.weights import with_normalisation

SMALL = {
    "image": {"architecture": "custom", "input_size": 16, "patch_size": 4, "width": 16, "depth": 1, "heads": 2},
    "text": {"weights": None, "width": 16, "depth": 1, "heads": 2},
    "embedding_width": 8,
}


@pytest.fixture
def fingerprint(tmp_path):
    once = Distribution(mean=1, median=1, percentile_95=1, largest=1, counts={1: 1})
    grey = GreyValues(images=1, pixels=256, mean=0.375, standard_deviation=0.125, histogram=[1] * 256)
    reports = TrainingReports(reports=1, sentences=1, different_sentences=1, sentences_a_report=once,
                              pieces_a_report=once, words_a_sentence=once, most_frequent=[])  # fmt: skip
    record = Fingerprint(dataset="set", pairs_digest="0", splits={}, views={}, intensity=grey, reports=reports,
                         rejects={})  # fmt: skip
    write_record(tmp_path / "fingerprint.json", record)
    return tmp_path / "fingerprint.json"


def test_the_fingerprint_decides_and_the_checkpoint_carries_it(fingerprint):
    settings = PretrainSettings.model_validate({"model": SMALL})
    model = build(with_normalisation(settings, fingerprint), vocabulary=9)
    loaded = build_encoder(checkpoint_record(model.encoder))
    images = torch.tensor([0.375, 0.5]).reshape(2, 1, 1).expand(2, 16, 16)
    for encoder in (model.encoder, loaded):
        assert encoder.image.normalise(images)[:, 0, 0, 0].tolist() == [0, 1]
    assert with_normalisation(settings, fingerprint).model.text == settings.model.text


def test_given_numbers_are_used_and_never_in_vain(fingerprint):
    image = SMALL["image"] | {"mean": 0.5, "standard_deviation": 0.25}
    given = PretrainSettings.model_validate({"normalisation": "given", "model": SMALL | {"image": image}})
    assert with_normalisation(given, fingerprint) == given
    with pytest.raises(InputError, match="set `normalisation: given`"):
        PretrainSettings.from_text("{model: {image: {mean: 0.5}}}")
    whole = PretrainSettings().model_dump_json()  # as the workflow hands settings over, defaults spelt out
    assert PretrainSettings.from_text(whole) == PretrainSettings()


def test_a_damaged_or_foreign_fingerprint_is_one_line(fingerprint):
    settings = PretrainSettings.model_validate({"model": SMALL})
    write_json(fingerprint, {"intensity": {}})
    with pytest.raises(InputError, match="damaged"):
        with_normalisation(settings, fingerprint)
    write_sidecar(fingerprint)
    with pytest.raises(InputError, match=r"fingerprint\.json: .*run its stage again"):
        with_normalisation(settings, fingerprint)
