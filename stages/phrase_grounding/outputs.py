"""What the stage writes: figures, the values behind them, and samples where they may be shown."""

from collections.abc import Mapping

import numpy as np

from stages.common.run_lengths import encode
from stages.phrase_grounding.evaluation import Grounded
from stages.phrase_grounding.pointing import peak


def grounding_record(finding: str, sets: Mapping[str, Grounded]) -> dict:
    """result.json: figures by measure, set of prompts and pointer."""
    test = next(iter(sets.values())).test
    measures = {name: grounded.record() for name, grounded in sets.items()}
    keys = ("pointing", "contrast_to_noise", "iou", "iou_threshold")
    return {
        "finding": finding,
        "images": len(test.labels),
        "resampled_by": test.resampled[0],
        "place_words": {name: list(grounded.slots) for name, grounded in sets.items()},
        **{key: {name: record[key] for name, record in measures.items()} for key in keys},
    }


def value_rows(name: str, grounded: Grounded) -> list[dict]:
    """Rows of GROUNDING_VALUES: what paired tests between variants need."""
    columns = {}
    for measure, pointers in grounded.values.items():
        columns |= {(measure, pointer): each.tolist() for pointer, each in pointers.items()}
    pointers = [pointer for measure, pointer in columns if measure == "pointing"]
    labels = grounded.test.labels
    return [
        {"image_id": image, "patient_id": patient, "prompt_set": name, "pointer": pointer}
        | {measure: columns[measure, pointer][place] if (measure, pointer) in columns else None
           for measure in ("pointing", "contrast_to_noise", "iou")}
        for pointer in pointers
        for place, (image, patient) in enumerate(labels.select("image_id", "patient_id").iter_rows())
    ]  # fmt: skip


def sample_rows(grounded: Grounded, count: int, seed: int) -> list[dict]:
    """Rows of the samples table: images drawn by seed, in the order of the draw."""
    test, maps = grounded.test, grounded.maps
    rows = []
    for place in np.random.default_rng(seed).permutation(len(maps))[:count]:
        at = peak(maps[place], test.content[place])
        rows.append(
            {
                "image_id": test.labels["image_id"][int(place)],
                "pixels": test.pixels[place].tobytes(),
                "heatmap": maps[place].ravel().tolist(),
                "region": encode(test.regions[place]),
                "peak": list(at),
                "hit": bool(test.regions[place][at]),
            }
        )
    return rows
