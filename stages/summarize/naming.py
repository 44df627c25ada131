"""Names of variants and few-shot protocols; a published name is used only where every setting is the published one."""

from collections.abc import Collection, Mapping, Sequence

from ..common.few_shot.protocols import in_words
from ..common.records import has_several
from ..common.replicates import Replicate
from ..few_shot_classification.contract import FewShotResult
from ..few_shot_segmentation.contract import SegmentationResult
from .inputs import Inputs
from .numbers import words

Results = Sequence[FewShotResult] | Sequence[SegmentationResult]


_SHORT = 8  # characters of an id


def short_id(image_id: str) -> str:
    """Return the end of a long id, where ids of one data set differ; the page has the whole one in a title."""
    return image_id if len(image_id) <= _SHORT + 1 else f"…{image_id[-_SHORT:]}"


def findings_label(measured: Collection[str], not_measured: Collection[str] = ()) -> str:
    """Return the finding that figures are of, or of how many findings they are the mean."""
    if not has_several(measured, not_measured):
        return words(next(iter(measured)))
    left = f" of {len(measured) + len(not_measured)}" if not_measured else ""
    return f"{len(measured)}{left} findings"


def protocol_name(protocol: str, results: Results) -> str:
    """Return the protocol's name, marked where a job departs from the published protocol."""
    return f"{protocol} (changed)" if any(each.departures for each in results) else protocol


def protocol_note(protocol: str, results: Results) -> str | None:
    """Return in which settings jobs depart from the published protocol, or None."""
    found = in_words([each.departures for each in results])
    return f"This is not the published protocol {protocol}: {found}." if found else None


def pooling_note(pooling: Mapping[str, str]) -> str:
    """Return what few-shot classification classifies: which of each variant's tokens."""
    others = ", ".join(variant for variant, kind in pooling.items() if kind == "cls")
    return f"Classified is the mean of the patch tokens{f'; of {others} it is [CLS]' if others else ''}."


def always_note(results: Results) -> str | None:
    """Return how the protocol differs from the published one even where no setting departs, or None."""
    found = dict.fromkeys(line for each in results for line in each.always_different)
    return f"Always different here: {'; '.join(found)}." if found else None


def variant_label(inputs: Inputs, variant: str) -> str:
    """Return a variant's name, marked where it was not trained here or has several seeds."""
    if variant in inputs.tree.image_only:
        return f"{variant} (ready-made, images alone)"
    seeds = len(inputs.tree.replicates_of(variant))
    marks = [*([] if inputs.trained(variant) else ["untrained"]), *([f"{seeds} seeds"] if seeds > 1 else [])]
    return f"{variant} ({', '.join(marks)})" if marks else variant


def replicate_label(inputs: Inputs, replicate: Replicate) -> str:
    """Return the name of one training of a variant, with its seed where it has several."""
    if replicate.seed is None:
        return variant_label(inputs, replicate.variant)
    marks = [*([] if inputs.trained(replicate.variant) else ["untrained"]), f"seed {replicate.seed}"]
    return f"{replicate.variant} ({', '.join(marks)})"
