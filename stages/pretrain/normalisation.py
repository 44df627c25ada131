"""Mean and standard deviation of the grey values that the image encoder subtracts and divides by."""

from pathlib import Path

from stages.common.atomic_files import read_json, verify
from stages.common.errors import InputError
from stages.pretrain.settings import PretrainSettings


def with_normalisation(settings: PretrainSettings, fingerprint: Path) -> PretrainSettings:
    """The settings with the numbers that training uses; the checkpoint carries them, and evaluation takes them there.

    `fingerprint` is fingerprint.json of pair_images_reports: its numbers are of training pixels alone. Raises
    InputError where it is damaged or lacks them.
    """
    if settings.normalisation == "given":
        return settings
    verify(fingerprint)
    try:
        grey = {key: float(read_json(fingerprint)["intensity"][key]) for key in ("mean", "standard_deviation")}
    except (KeyError, TypeError):
        raise InputError(f"{fingerprint}: no mean and standard deviation; run pair_images_reports again") from None
    image = settings.model.image.model_copy(update=grey)
    return settings.model_copy(update={"model": settings.model.model_copy(update={"image": image})})
