"""The fingerprint of a data set of pairs: what a reader has to know about the data before any result.

Views are counted in every split. Whatever else describes images and reports comes from the training split only: nothing
of validation or test is looked at, and pre-training takes its normalisation from here. Ages and sexes are not included,
because no table of the pipeline holds them.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
from jaxtyping import Int

from ..common.data.image_store import ImageStore
from ..common.digests import seed_from
from .contract import (
    Audit,
    Distribution,
    Fingerprint,
    FrequentSentence,
    GreyValues,
    PairImagesReportsSettings,
    TrainingReports,
)
from .leakage_audit import SPLITS

LEVELS = 256


@dataclass(frozen=True)
class Intensity:
    """Pixels per grey level inside the content boxes.

    Padding is not tissue, and its share depends only on the format.
    """

    images: int
    histogram: Int[np.ndarray, "256"]

    @property
    def pixels(self) -> int:
        """Return the number of pixels."""
        return int(self.histogram.sum())

    @property
    def mean(self) -> float:
        """Return the mean over all pixels, grey values 0..1."""
        return self._sum(1) / (self.pixels * (LEVELS - 1))

    @property
    def standard_deviation(self) -> float:
        """Return the standard deviation over all pixels (divided by their number), grey values 0..1.

        n sum k^2 - (sum k)^2 is computed in whole numbers of any size: nothing is lost before the one division.
        """
        count = self.pixels
        return math.sqrt((count * self._sum(2) - self._sum(1) ** 2) / (count * (LEVELS - 1)) ** 2)

    def record(self) -> GreyValues:
        """Return the record for the fingerprint."""
        return GreyValues(
            images=self.images,
            pixels=self.pixels,
            mean=self.mean,
            standard_deviation=self.standard_deviation,
            histogram=self.histogram.tolist(),
        )

    def _sum(self, power: int) -> int:
        return sum(level**power * int(pixels) for level, pixels in enumerate(self.histogram))


def count_intensity(store: ImageStore, rows: Int[np.ndarray, "images"], limit: int, seed: int) -> Intensity:
    """Count grey levels of the images at `rows` of the store, or of `limit` of them drawn by `seed`.

    One image at a time is in memory.
    """
    if len(rows) > limit:
        rows = np.random.default_rng(seed).choice(rows, limit, replace=False)
    boxes = store.table["content_box"].combine_chunks().flatten().to_numpy().reshape(-1, 4)
    histogram = np.zeros(LEVELS, np.int64)
    for row in np.sort(rows):  # in the order of the files
        x, y, width, height = boxes[row]
        content = store.pixels(int(row))[y : y + height, x : x + width]
        histogram += np.bincount(content.ravel(), minlength=LEVELS)
    return Intensity(len(rows), histogram)


MOST_FREQUENT = 20
UNKNOWN = "unknown"


def fingerprint(
    store: ImageStore,
    pairs: pl.DataFrame,
    sentences: pl.DataFrame,
    audit: Audit,
    rejects: Mapping[str, Mapping[str, int]],
    settings: PairImagesReportsSettings,
) -> Fingerprint:
    """Describe the data set.

    Args:
        store: images of the data set.
        pairs: of the last Pairing.
        sentences: as `read_sentences` returns them.
        audit: of the pairs.
        rejects: rows by stage and reason.
        settings: how many images are counted, and whether text may be published.
    """
    training = pairs.filter(pl.col("split") == "train")
    rows = np.array([store.row_of(image_id) for image_id in training["image_id"]])
    seed = seed_from("intensity_images", settings.patient_split.seed)
    intensity = count_intensity(store, rows, settings.intensity_images, seed)
    spoken = sentences.join(training, on="study_id", how="semi", maintain_order="left")
    return Fingerprint(
        dataset=audit.dataset,
        pairs_digest=audit.pairs_digest,
        splits=audit.splits,
        views={split: _views(pairs.filter(pl.col("split") == split)) for split in SPLITS},
        intensity=intensity.record(),
        reports=report_statistics(spoken, settings.publish_samples),
        rejects=rejects,
    )


def reject_counts(tables: Mapping[str, pa.Table]) -> dict[str, dict[str, int]]:
    """Count rejects: stage -> reason -> rows, the most frequent reason first."""
    return {stage: _descending(Counter(table["reason"].to_pylist())) for stage, table in tables.items()}


def report_statistics(sentences: pl.DataFrame, publish_samples: bool) -> TrainingReports:
    """Measure lengths, and list the sentences, after `folded`, that most reports have.

    Their text is included if `publish_samples` is true.
    """
    reports = sentences.group_by("study_id").agg(sentences=pl.len(), pieces=pl.col("pieces").sum())
    frequency = (
        sentences.select("study_id", text=folded(pl.col("text")))
        .unique()
        .group_by("text")
        .agg(reports=pl.len())
        .sort("reports", "text", descending=[True, False])
    )
    shown = ["reports", "text"] if publish_samples else ["reports"]
    return TrainingReports(
        reports=len(reports),
        sentences=len(sentences),
        different_sentences=len(frequency),
        sentences_a_report=distribution(reports["sentences"]),
        pieces_a_report=distribution(reports["pieces"]),
        words_a_sentence=distribution(sentences["text"].str.count_matches(r"\S+")),
        most_frequent=[FrequentSentence(**row) for row in frequency.head(MOST_FREQUENT).select(shown).to_dicts()],
    )


def folded(text: pl.Expr) -> pl.Expr:
    """Return sentences with case, digits and blanks folded, as the idf weights of pre-training fold them."""
    return text.str.to_lowercase().str.replace_all(r"\d", "0").str.replace_all(r"\s+", " ").str.strip_chars()


def distribution(values: pl.Series) -> Distribution:
    """Return how often each whole number occurs, in ascending order."""
    counts, numbers = values.value_counts().sort(values.name), values.to_numpy()
    median, percentile_95 = np.quantile(numbers, (0.5, 0.95), method="lower")
    return Distribution(
        mean=float(numbers.mean()),
        median=int(median),
        percentile_95=int(percentile_95),
        largest=int(numbers.max()),
        counts=dict(counts.iter_rows()),
    )


def _views(pairs: pl.DataFrame) -> dict[str, int]:
    return _descending(Counter(pairs["view"].fill_null(UNKNOWN)))


def _descending(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
