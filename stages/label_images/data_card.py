"""The card of a labelled data set: what it holds, how it was split, and the terms of its use."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ..common.data.distributions import WHERE_TO_GET
from ..common.data.patient_split import Split
from ..common.digests import digest_of
from .contract import Card, CardFinding, CardPart, CardRemainder, CardSplit, LabelImagesSettings
from .image_labels import ImageLabels
from .label_split import PARTS, ListedSplit, split_by

_NAMED = 20  # largest number of ids listed for each kind of remainder
_NOT_IN_INDEX = "not_in_index"  # beside the codes of dicom_to_arrow: the labels name an image that nothing else names

_NIH = "images of NIH ChestX-ray14 (Wang et al., CVPR 2017)"
_LICENSES = {
    "rsna": "RSNA Pneumonia Detection Challenge 2018 (Shih et al., Radiology: AI 1:e180041, 2019): for research and "
    f"education under the challenge's terms of use, with attribution; {_NIH}",
    "siim": "SIIM-ACR Pneumothorax Segmentation 2019 (Filice et al., J. Digit. Imaging 33:490, 2020): under the rules "
    f"of the competition, with attribution; {_NIH}",
    "folder": "not stated: set `license` of the data set, or its column",
}


def data_card(
    dataset: str,
    settings: LabelImagesSettings,
    labels: ImageLabels,
    rows: Sequence[Mapping[str, Any]],
    pixels: Mapping[str, str],
    listed: ListedSplit | None = None,
    rejected: Mapping[str, str] | None = None,
) -> Card:
    """Build the card. `rows` are complete rows of LABELS; `pixels` maps image_id to the digest of its pixels.

    `listed` is the split by the user's own lists, if that was followed. `rejected` maps image_id to the reason why
    dicom_to_arrow has no image; None where that is unknown.
    """
    images = by_image(rows)
    return Card(
        dataset=dataset,
        findings={finding: _of_finding(finding, settings, labels, rows) for finding in settings.by_finding},
        license=license_text(settings, labels.licenses),
        how_to_get=WHERE_TO_GET[settings.layout] if settings.layout != "folder" else "from the data set's owner",
        images=labels.labelled + len(labels.images_without_label),
        labelled=labels.labelled,
        positives=len({row["image_id"] for row in labels.rows if row["target"]}),
        boxes=sum(len(row["boxes"]) for row in labels.rows),
        boxes_beyond_the_edge=labels.boxes_beyond_the_edge,
        masks=sum(row["mask"] is not None for row in labels.rows),
        masks_of_overlapping_regions=labels.masks_of_overlapping_regions,
        lung_masks=len({row["image_id"] for row in labels.rows if row["lung_mask"] is not None}),
        phrases=sum(len(each) for each in labels.phrases.values()),
        split_by=_split_by(rows, settings),
        seed=settings.seed,
        shares=settings.split if settings.split_lists is None and settings.patient_split is None else None,
        patient_split=settings.patient_split,
        splits={part: _counts(each) for part, each in _by_part(images).items()},
        subsets={percent: _counts(each) for percent, each in _by_subset(images, settings).items()},
        pixels_in_several_splits=_in_several_splits(images, pixels),
        rejects={
            "label_without_image": _named(labels.labels_without_image, rejected),
            "image_without_label": _named(labels.images_without_row),
            "unlabelled": _named(labels.images_unlabelled),
            "blank_label": _named(labels.images_with_blank_label),
            "lung_mask_without_image": _named(labels.lung_masks_without_image, rejected),
            "image_in_no_list": _named(listed.images_in_no_list if listed else []),
            "listed_without_image": _named(listed.listed_without_image if listed else []),
        },
    )


def by_image(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per image and part; its target is 1 where any finding is present."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        each = found.setdefault((row["image_id"], row["split"]), dict(row))
        each["target"] = max(each["target"], row["target"])
    return list(found.values())


def _by_part(rows: Sequence[Mapping[str, Any]]) -> dict[Split, list[Mapping[str, Any]]]:
    return {part: [row for row in rows if row["split"] == part] for part in PARTS}


def _by_subset(rows: Sequence[Mapping[str, Any]], settings: LabelImagesSettings) -> dict[int, list[Mapping[str, Any]]]:
    trained = _by_part(rows)["train"]
    return {percent: [row for row in trained if row["subset"] <= percent] for percent in settings.subsets}


def _of_finding(
    finding: str, settings: LabelImagesSettings, labels: ImageLabels, rows: Sequence[Mapping[str, Any]]
) -> CardFinding:
    own = [row for row in labels.rows if row["finding"] == finding]
    split = [row for row in rows if row["finding"] == finding]
    return CardFinding(
        labelled=len(own),
        positives=sum(row["target"] for row in own),
        uncertain=labels.uncertain.get(finding, 0),
        uncertain_as=settings.uncertain_as(finding),
        boxes=sum(len(row["boxes"]) for row in own),
        masks=sum(row["mask"] is not None for row in own),
        splits={part: _size(each) for part, each in _by_part(split).items()},
        subsets={percent: _size(each) for percent, each in _by_subset(split, settings).items()},
    )


def _size(rows: Sequence[Mapping[str, Any]]) -> CardPart:
    return CardPart(images=len(rows), positives=sum(row["target"] for row in rows))


def card_metrics(card: Card) -> dict[str, int]:
    """Return the counts under the names that the journal uses."""
    totals = {key: getattr(card, key) for key in ("images", "labelled", "positives", "boxes", "masks", "lung_masks",
                                                    "phrases")}  # fmt: skip
    rejects = {f"rejects/{reason}": ids.count for reason, ids in card.rejects.items()}
    splits = {
        f"{part}/{key}": getattr(counts, key) for part, counts in card.splits.items() for key in ("images", "positives")
    }
    findings = {}
    if len(card.findings) > 1:
        findings = {f"{key}/{name}": getattr(each, key) for name, each in card.findings.items()
                    for key in ("labelled", "positives", "uncertain")}  # fmt: skip
    return totals | rejects | splits | findings


def card_bars(card: Card) -> dict[str, dict[str, int]]:
    """Return images, patients where they are known, and positives of each finding, by part and subset."""
    subsets = {f"{percent} % of train": each for percent, each in card.subsets.items()}
    parts = [*card.splits.items(), *subsets.items()]
    panels = {unit: {part: count for part, each in parts if (count := getattr(each, unit)) is not None}
              for unit in ("images", "patients")}  # fmt: skip
    for finding, own in card.findings.items():
        panels[f"positives of {finding}"] = {part: each.positives for part, each in own.splits.items()}
    return {title: counts for title, counts in panels.items() if counts}


_DECLARED = "unlabelled"  # the settings say so, so nobody needs a warning


def remainders(card: Card, table: str, rows: Mapping[str, int]) -> list[str]:
    """Return a line for each kind of id without a counterpart, with the first one's row in `table`."""
    lines = []
    for reason, ids in card.rejects.items():
        if ids.count and reason != _DECLARED:
            row = rows.get(ids.first[0])
            why = f" ({', '.join(_in_words(ids.reasons))})" if ids.reasons else ""
            place = f" in row {row} of {table}" if row else ""
            lines.append(f"{reason}: {ids.count}{why}, first {ids.first[0]}{place}")
    return lines


def _in_words(reasons: Mapping[str, int]) -> list[str]:
    return [f"{count} {'not in the index' if why == _NOT_IN_INDEX else why}" for why, count in reasons.items()]


def license_text(settings: LabelImagesSettings, values: Sequence[str]) -> str:
    """Return the license of the settings, else that of the rows (counted), else the terms of the layout."""
    if settings.license is not None:
        return settings.license
    if values:
        counts = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
        return "by image: " + "; ".join(f"{value}: {count}" for value, count in counts)
    return _LICENSES[settings.layout]


def _split_by(rows: Sequence[Mapping[str, Any]], settings: LabelImagesSettings) -> str:
    if settings.split_lists is not None:
        return "lists of the user"
    return split_by(rows) if settings.patient_split is None else "patient, as in pre-training"


def _counts(rows: Sequence[Mapping[str, Any]]) -> CardSplit:
    positives = sum(row["target"] for row in rows)
    patients = {row["patient_id"] for row in rows}
    return CardSplit(
        images=len(rows),
        patients=None if None in patients else len(patients),
        positives=positives,
        prevalence=positives / len(rows) if rows else None,
        sha256=digest_of(sorted(row["image_id"] for row in rows)),
    )


def _in_several_splits(rows: Sequence[Mapping[str, Any]], pixels: Mapping[str, str]) -> int:
    """Return the number of pictures that are in more than one split under different ids."""
    splits: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        splits[pixels[row["image_id"]]].add(row["split"])
    return sum(len(parts) > 1 for parts in splits.values())


def _named(ids: Sequence[str], rejected: Mapping[str, str] | None = None) -> CardRemainder:
    """Return the count, the first ids, and with `rejected` the number of each reason, the most frequent first."""
    why = Counter() if rejected is None else Counter(rejected.get(each, _NOT_IN_INDEX) for each in ids)
    reasons = dict(sorted(why.items(), key=lambda item: (item[0] == _NOT_IN_INDEX, -item[1], item[0])))
    return CardRemainder(count=len(ids), first=list(ids[:_NAMED]), reasons=reasons)
