"""Labels of the public sets: which of their words a drawn image gets, and the readings of three radiologists.

Readers of labels refuse a finding that no row has. Findings that the phantom does not draw are therefore given at
random; nothing in the image shows them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .contract import Dataset, Finding, TruthImage

_AT_RANDOM, _UNCERTAIN = 0.15, 0.08  # shares of images, of each word
_READERS, _MISSED, _ALONE = (
    17,
    0.3,
    0.2,
)  # readers; shares of images with a word that one of three misses, or sees alone
_JITTER = 0.05  # of a box's sides

Labels = dict[str, list[list[int]]]


@dataclass(frozen=True)
class Vocabulary:
    """Words of a data set's labels."""

    drawn: Mapping[Finding, tuple[str, ...]]
    at_random: tuple[str, ...]
    located: frozenset[str] = frozenset()  # words that have boxes
    located_share: float = 1.0  # of images
    has_uncertain: bool = False
    unlabelled_share: float = 0.0  # of images


_CHEXPERT = Vocabulary(
    drawn={
        "lung_opacity": ("Lung Opacity", "Consolidation"), "pneumothorax": ("Pneumothorax",),
        "pleural_effusion": ("Pleural Effusion",), "cardiomegaly": ("Cardiomegaly",), "nodule": ("Lung Lesion",),
        "support_device": ("Support Devices",),
    },
    at_random=("Atelectasis", "Edema"),
    has_uncertain=True,
)  # fmt: skip

# Of VinDr-CXR, in the order of their numbers.
VINDR_CLASSES = (
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Consolidation", "ILD", "Infiltration",
    "Lung Opacity", "Nodule/Mass", "Other lesion", "Pleural effusion", "Pleural thickening", "Pneumothorax",
    "Pulmonary fibrosis", "No finding",
)  # fmt: skip
_VINDR_DRAWN: dict[Finding, tuple[str, ...]] = {
    "lung_opacity": ("Lung Opacity",), "pneumothorax": ("Pneumothorax",), "nodule": ("Nodule/Mass",),
    "pleural_effusion": ("Pleural effusion",), "cardiomegaly": ("Cardiomegaly",),
}  # fmt: skip

VOCABULARIES: dict[Dataset, Vocabulary] = {
    "mimic_cxr": _CHEXPERT,
    "chexpert": _CHEXPERT,
    "nih": Vocabulary(
        drawn={"lung_opacity": ("Infiltration",), "pneumothorax": ("Pneumothorax",), "nodule": ("Nodule",),
               "pleural_effusion": ("Effusion",), "cardiomegaly": ("Cardiomegaly",)},
        at_random=("Atelectasis", "Consolidation", "Edema", "Emphysema", "Fibrosis", "Hernia", "Mass",
                   "Pleural_Thickening", "Pneumonia"),
        located=frozenset({"Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia",
                           "Pneumothorax"}),
        located_share=0.5,
    ),
    "openi": Vocabulary(
        drawn={"lung_opacity": ("Opacity",), "pneumothorax": ("Pneumothorax",), "nodule": ("Nodule",),
               "pleural_effusion": ("Pleural Effusion",), "cardiomegaly": ("Cardiomegaly",)},
        at_random=("Calcified Granuloma", "Calcinosis", "Emphysema", "Fractures, Bone", "Granuloma",
                   "Pulmonary Atelectasis", "Scoliosis"),
        unlabelled_share=0.05,
    ),
    "padchest": Vocabulary(
        drawn={"lung_opacity": ("alveolar pattern",), "pneumothorax": ("pneumothorax",), "nodule": ("nodule",),
               "pleural_effusion": ("pleural effusion",), "cardiomegaly": ("cardiomegaly",)},
        at_random=("COPD signs", "aortic elongation", "apical pleural thickening", "calcified granuloma", "infiltrates",
                   "interstitial pattern", "kyphosis", "laminar atelectasis", "pneumonia", "rib fracture", "scoliosis"),
        unlabelled_share=0.2,
    ),
    "vindr": Vocabulary(
        drawn=_VINDR_DRAWN,
        at_random=tuple(word for word in VINDR_CLASSES[:-1] if (word,) not in _VINDR_DRAWN.values()),
        located=frozenset(VINDR_CLASSES[:-1]),
    ),
}  # fmt: skip

CHEXPERT_COLUMNS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip


def with_labels(truth: TruthImage, vocabulary: Vocabulary, rng: np.random.Generator) -> TruthImage:
    """Return the truth of an image with what the table of its data set says."""
    if rng.random() < vocabulary.unlabelled_share:
        return truth.model_copy(update={"labels": None})
    labels: Labels = {}
    for found in truth.findings:
        for word in vocabulary.drawn.get(found.finding, ()):
            if found.box or not vocabulary.located:  # a box cannot be drawn around what lies outside the image
                labels.setdefault(word, []).extend([found.box] if found.box else [])
    for word in vocabulary.at_random:
        if rng.random() < _AT_RANDOM:
            labels[word] = [_box_at_random(rng, truth)]
    if rng.random() >= vocabulary.located_share:
        labels = {word: [] for word in labels}
    labels = {word: boxes if word in vocabulary.located else [] for word, boxes in labels.items()}
    if not vocabulary.has_uncertain:
        return truth.model_copy(update={"labels": labels})
    words = [word for of_finding in vocabulary.drawn.values() for word in of_finding] + [*vocabulary.at_random]
    uncertain = [word for word in words if rng.random() < _UNCERTAIN]
    certain = {word: boxes for word, boxes in labels.items() if word not in uncertain}
    return truth.model_copy(update={"labels": certain, "uncertain": uncertain})


def _box_at_random(rng: np.random.Generator, truth: TruthImage) -> list[int]:
    width, height = (int(rng.uniform(0.1, 0.4) * side) for side in (truth.columns, truth.rows))
    return [int(rng.integers(truth.columns - width)), int(rng.integers(truth.rows - height)), width, height]


def chexpert_cells(truth: TruthImage, columns: Sequence[str], number: int) -> list[str]:
    """Return the cells of a row of CheXpert's labels; absent findings are 0.0 or, as most are, blank."""
    labels, uncertain = truth.labels or {}, truth.uncertain or []
    values = dict.fromkeys(labels, "1.0") | dict.fromkeys(uncertain, "-1.0")
    if not values.keys() - {"Support Devices"}:
        values["No Finding"] = "1.0"
    return [
        values.get(word, "0.0" if word != "No Finding" and (number + place) % 3 == 0 else "")
        for place, word in enumerate(columns)
    ]


def readings(truth: TruthImage, rng: np.random.Generator) -> Iterator[tuple[str, str, list[float] | None]]:
    """Yield reader, word and box as x_min, y_min, x_max, y_max of all that three readers say of an image.

    Each draws a box a little differently. One may miss a finding, and one may see a further one alone, so that at least
    two agree on what is true and on nothing else.
    """
    labels = truth.labels or {}
    readers = [f"R{number + 1}" for number in sorted(rng.choice(_READERS, 3, replace=False))]
    missed = str(rng.choice(sorted(labels))) if labels and rng.random() < _MISSED else ""
    others = [word for word in VINDR_CLASSES[:-1] if word not in labels]
    alone: Labels = {str(rng.choice(others)): [_box_at_random(rng, truth)]} if rng.random() < _ALONE else {}
    for rank, reader in enumerate(readers):
        seen = {word: boxes for word, boxes in labels.items() if rank != 0 or word != missed}
        seen |= alone if rank == 1 else {}
        if not seen:
            yield reader, "No finding", None
        for word, boxes in seen.items():
            for box in boxes:
                yield reader, word, _jittered(box, truth, rng)


def _jittered(box: Sequence[int], truth: TruthImage, rng: np.random.Generator) -> list[float]:
    """Return corners, each moved by at most a twentieth of the box's sides, within the image."""
    x, y, width, height = box
    moved = np.array([x, y, x + width, y + height]) + rng.uniform(-_JITTER, _JITTER, 4) * ([width, height] * 2)
    return np.round(np.clip(moved, 0, [truth.columns, truth.rows] * 2), 1).tolist()
