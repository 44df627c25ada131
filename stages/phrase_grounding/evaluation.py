"""Pointing at a finding on test images, beside what fools it: chance in the lungs and one fixed point."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, UInt8

from stages.common.dual_encoder import Checkpoint
from stages.common.errors import InputError
from stages.common.image_store import ImageStore
from stages.common.labelled_images import region, to_stored
from stages.common.ranking_metrics import Estimate, draw_weights, estimate
from stages.common.run_lengths import decode, encode
from stages.phrase_grounding.heatmaps import prompt_heatmaps
from stages.phrase_grounding.pointing import fixed_peak_hits, hits, peak, random_in_lung_hits

_BATCH = 64


@dataclass(frozen=True)
class Located:
    """Images with a finding whose place is known, on the stored square."""

    labels: pl.DataFrame
    pixels: UInt8[np.ndarray, "images size size"]
    regions: Bool[np.ndarray, "images size size"]
    content: Bool[np.ndarray, "images size size"]  # inside the padding
    lungs: Bool[np.ndarray, "images size size"] | None  # None: unknown


def locate(labels: pl.DataFrame, store: ImageStore, split: str) -> Located:
    """Positives of one part whose region covers at least one stored pixel; none is an error."""
    columns = store.table.select(["image_id", "content_box", "original_rows", "original_columns"])
    chosen = labels.filter((pl.col("split") == split) & (pl.col("target") == 1))
    chosen = chosen.join(pl.from_arrow(columns), on="image_id", how="inner", maintain_order="left")
    rows = chosen.to_dicts()
    regions = [_on_square(region(row, row["original_rows"], row["original_columns"]), row, store.size) for row in rows]
    keep = [place for place, each in enumerate(regions) if each.any()]
    if not keep:
        raise InputError(f"labels: no {split} image has a box or mask of the finding; grounding needs them")
    kept = [rows[place] for place in keep]
    whole = [np.ones((row["original_rows"], row["original_columns"]), dtype=bool) for row in kept]
    lungs = None
    if all(row["lung_mask"] is not None for row in kept):
        shapes = [(row["lung_mask"], row["original_rows"], row["original_columns"]) for row in kept]
        lungs = np.stack([_on_square(decode(*shape), row, store.size) for shape, row in zip(shapes, kept, strict=True)])
    return Located(
        labels=chosen[keep],
        pixels=store.gather(np.array([store.row_of(row["image_id"]) for row in kept])),
        regions=np.stack([regions[place] for place in keep]),
        content=np.stack([_on_square(each, row, store.size) for each, row in zip(whole, kept, strict=True)]),
        lungs=lungs,
    )


def _on_square(mask: Bool[np.ndarray, "rows columns"], row: dict, size: int) -> Bool[np.ndarray, "{size} {size}"]:
    return to_stored(mask, row["content_box"], size)


def heatmaps_of(checkpoint: Checkpoint, prompts: list[str], located: Located) -> Float[np.ndarray, "images size size"]:
    parts = [
        prompt_heatmaps(checkpoint, prompts, located.pixels[first : first + _BATCH])
        for first in range(0, len(located.pixels), _BATCH)
    ]
    return np.concatenate(parts)


def pointing_game(
    heatmaps: Float[np.ndarray, "images size size"], test: Located, training: Located, draws: int, seed: int
) -> dict[str, Estimate | None]:
    """Share of hits of the heatmap (its peak anywhere, and its peak inside the lungs), and of what it has to beat.

    A random point in the lungs is told where the lungs are: its fair rival is the peak inside the lungs.
    """
    patients = test.labels["patient_id"]
    groups = (test.labels["image_id"] if patients.null_count() else patients).to_numpy()
    weights = draw_weights(groups, draws, seed)
    each = {
        "heatmap": hits(heatmaps, test.regions, test.content),
        "heatmap_in_lung": None if test.lungs is None else hits(heatmaps, test.regions, test.lungs),
        "random_in_lung": None if test.lungs is None else random_in_lung_hits(test.regions, test.lungs),
        "fixed_peak_of_training": fixed_peak_hits(test.regions, training.regions),
    }
    return {
        name: None if hit is None else estimate(lambda w, h=hit: _mean(h, w), weights) for name, hit in each.items()
    }


def _mean(
    values: Float[np.ndarray, "images"], weights: Float[np.ndarray, "draws images"]
) -> Float[np.ndarray, "draws"]:
    return weights @ values / weights.sum(axis=1)


def sample_rows(heatmaps: Float[np.ndarray, "images size size"], test: Located, count: int, seed: int) -> list[dict]:
    """Rows of the samples table: images drawn by seed, in the order of the draw."""
    chosen = np.random.default_rng(seed).permutation(len(heatmaps))[:count]
    rows = []
    for place in chosen:
        at = peak(heatmaps[place], test.content[place])
        rows.append(
            {
                "image_id": test.labels["image_id"][int(place)],
                "pixels": test.pixels[place].tobytes(),
                "heatmap": heatmaps[place].ravel().tolist(),
                "region": encode(test.regions[place]),
                "peak": list(at),
                "hit": bool(test.regions[place][at]),
            }
        )
    return rows
