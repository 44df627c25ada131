"""What variants and few-shot protocols are called: by the published name only where every setting is published."""

from collections.abc import Mapping, Sequence

from ..common.few_shot.protocols import in_words
from ..few_shot_classification.contract import FewShotResult
from ..few_shot_segmentation.contract import SegmentationResult
from .inputs import Inputs

Results = Sequence[FewShotResult] | Sequence[SegmentationResult]


def protocol_name(protocol: str, results: Results) -> str:
    """With a word where a job is not as published."""
    return f"{protocol} (changed)" if any(each.departures for each in results) else protocol


def protocol_note(protocol: str, results: Results) -> str | None:
    """In which settings jobs are not as published; None where all are."""
    found = in_words([each.departures for each in results])
    return f"This is not the published protocol {protocol}: {found}." if found else None


def pooling_note(pooling: Mapping[str, str]) -> str:
    """Of few-shot classification: what of each variant's tokens is classified."""
    others = ", ".join(variant for variant, kind in pooling.items() if kind == "cls")
    return f"Classified is the mean of the patch tokens{f'; of {others} it is [CLS]' if others else ''}."


def always_note(results: Results) -> str | None:
    """How the protocol is not as published even where no setting departs."""
    found = dict.fromkeys(line for each in results for line in each.always_different)
    return f"Always different here: {'; '.join(found)}." if found else None


def variant_label(inputs: Inputs, variant: str) -> str:
    """The name, with a word where the variant was not trained here."""
    if variant in inputs.tree.image_only:
        return f"{variant} (ready-made, images alone)"
    return variant if inputs.trained(variant) else f"{variant} (untrained)"
