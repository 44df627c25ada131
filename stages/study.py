"""Check that the compared variants are a study of the key over which the report draws them."""

from .common.errors import InputError
from .common.settings import did_you_mean, dotted_fields
from .config_layers import Origins
from .configuration import Config
from .pretrain.contract import PretrainSettings
from .summarize.contract import SummarizeSettings


def check_study(config: Config, origins: Origins) -> list[InputError]:
    """Return an error where the study's axis is no key of `pretrain`, or has fewer than two numbers to draw."""
    axis = config.settings(SummarizeSettings).study_axis
    if axis is None:
        return []
    where = f"{origins.of('summarize', 'study_axis')}: summarize.study_axis: {axis}"
    variants = [config.settings(PretrainSettings, variant=name) for name in config.compare]
    known = dotted_fields(variants[0])
    if axis not in known:
        return [InputError(f"{where} is no key of `pretrain`", f"correct the name{did_you_mean(axis, known)}")]
    values = {dotted_fields(each)[axis] for each in variants if each.optimisation.epochs}
    if sum(isinstance(value, int | float) and not isinstance(value, bool) for value in values) < 2:
        what = f"{where} has fewer than two numbers among the trained variants of `compare`"
        return [InputError(what, "compare variants that differ in it, or set study_axis: null")]
    return []
