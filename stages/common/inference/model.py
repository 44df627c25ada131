"""The chosen checkpoint as a model: from radiographs and classes in words to probabilities and heatmaps.

MLflow loads this module by name (`_load_pyfunc`) with the code, weights and requirements that lie in the model's own
folder (select_checkpoint/mlflow_model.py): no checkout, no pickle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from ..encoders.dual import (
    Checkpoint,
    load_checkpoint,
    mean_embeddings,
    prompt_sentences,
    to_input,
)
from ..encoders.image import grid_of
from ..encoders.settings import READINGS, HeatmapKind, InferenceRecord
from ..errors import InputError, kind_or_empty
from ..radiographs.radiograph import SquareImage
from ..records import read_record
from .arguments import check_classes, check_list
from .heatmaps import heatmap_reader
from .squares import reading_settings, square_of_array, squares_of_files

INFERENCE = "inference.json"  # beside the weights
INPUTS = ("image", "path", "pixels")


@dataclass(frozen=True)
class Reading:
    """Answer of the model for one radiograph, by class.

    `probabilities` are the softmax of `cosines` / temperature over the requested classes. The temperature was fitted to
    image-report pairs of validation, not to labels: probabilities rank and compare, but are not calibrated risks.

    `heatmaps` are cosines of patches less their mean over radiographs at the same place, row-major on the patch grid
    over the square (raw cosines where they were asked for). `content` is the position of the image in that square: x,
    y, width, height as shares of its side.
    """

    cosines: dict[str, float]
    probabilities: dict[str, float]
    heatmaps: dict[str, Float[np.ndarray, "grid grid"]]
    content: tuple[float, float, float, float]

    def record(self) -> dict[str, Any]:
        """Return the reading as JSON values, by the names of its fields."""
        return {
            "probabilities": self.probabilities,
            "cosines": self.cosines,
            "heatmaps": {name: heatmap.tolist() for name, heatmap in self.heatmaps.items()},
            "content": list(self.content),
        }


class RadiographModel:
    """A checkpoint with everything needed to read radiographs as it was trained on them."""

    def __init__(self, folder: Path, device: torch.device | str = "cpu") -> None:
        record = read_record(Path(folder) / INFERENCE, InferenceRecord)
        self.temperature = record.temperature
        self.settings = reading_settings(record.size)
        self.device = torch.device(device)
        self.checkpoint: Checkpoint = load_checkpoint(folder, self.device)

    @torch.inference_mode()
    def read(
        self, square: SquareImage, classes: Mapping[str, str | Sequence[str]], reading: HeatmapKind = "centred"
    ) -> Reading:
        """Compare a radiograph with classes; `classes` maps a name to the sentences that describe it.

        `reading` says how heatmaps are read. Raises InputError for fewer than two classes, or one without
        sentences, and for centred heatmaps of a checkpoint without a mean.
        """
        sentences = check_classes(classes)
        model = self.checkpoint.model
        pixels = torch.from_numpy(square.pixels).unsqueeze(0).to(self.device)
        tokens = model.patch_tokens(to_input(pixels, model.settings.image.input_size))
        image = model.embed_global(tokens)[0]
        cosines = mean_embeddings(self.checkpoint, list(sentences.values())) @ image
        probabilities = torch.softmax(cosines / self.temperature, dim=0)
        grid = grid_of(tokens.shape[1])
        reader = heatmap_reader(self.checkpoint, READINGS[reading])
        maps = [reader(tokens, prompt_sentences(self.checkpoint, each))[0].mean(dim=0) for each in sentences.values()]
        side, box = len(square.pixels), square.content
        return Reading(
            dict(zip(sentences, cosines.tolist(), strict=True)),
            dict(zip(sentences, probabilities.tolist(), strict=True)),
            {name: values.reshape(grid, grid).cpu().numpy() for name, values in zip(sentences, maps, strict=True)},
            (box.x / side, box.y / side, box.width / side, box.height / side),
        )

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """Predict for a table as MLflow passes it, one radiograph per row.

        A row has exactly one of `image` (bytes), `path` and `pixels`, and `prompts`. Returns the columns probabilities,
        cosines, heatmaps and content. Raises InputError, which names the row, for other input.
        """
        if "prompts" not in model_input:
            raise InputError("no column `prompts`: add one that maps each class to its sentences")
        classes = [check_classes(each, f"row {row}: prompts") for row, each in enumerate(model_input["prompts"])]
        squares = self._squares(model_input)
        records = [self.read(square, each).record() for square, each in zip(squares, classes, strict=True)]
        columns = ["probabilities", "cosines", "heatmaps", "content"]
        return pd.DataFrame(records, index=model_input.index, columns=columns)

    def _squares(self, table: pd.DataFrame) -> list[SquareImage]:
        squares: dict[int, SquareImage] = {}
        files: dict[int, bytes | Path] = {}
        columns = [name for name in INPUTS if name in table]
        for row in range(len(table)):
            given = {name: table[name].iloc[row] for name in columns}
            given = {name: value for name, value in given.items() if _is_there(value)}
            if len(given) != 1:
                found = ", ".join(given) or "none"
                raise InputError(f"row {row}: give one of {', '.join(INPUTS)}", remedy=f"found {found}")
            [(kind, value)] = given.items()
            if kind == "pixels":
                rows = _rectangle(value, f"row {row}")
                squares[row] = square_of_array(rows, f"row {row}", self.settings.size)
            elif kind == "path" and isinstance(value, str | Path) and value != "":
                files[row] = Path(value)
            elif kind == "image" and isinstance(value, bytes | bytearray | memoryview):
                files[row] = bytes(value)
            else:
                remedy = "give the path of a file as text" if kind == "path" else "give the bytes of a file, not base64"
                raise InputError(f"row {row}: {kind}: {kind_or_empty(value)}", remedy)
        decoded = squares_of_files(list(files.values()), [f"row {row}" for row in files], self.settings)
        squares |= dict(zip(files, decoded, strict=True))
        return [squares[row] for row in range(len(table))]


def _is_there(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and np.isnan(value)) and value is not pd.NA


def _rectangle(value: Any, name: str) -> np.ndarray:
    """Return nested lists, or the array of arrays that MLflow passes, as one array."""
    try:
        rows = [np.asarray(row) for row in check_list(value, f"{name}: pixels")]
    except ValueError:
        raise InputError(f"{name}: pixels are no rows of numbers", "give rows x columns of numbers") from None
    if len({row.shape for row in rows}) != 1:
        raise InputError(f"{name}: rows of pixels differ in length")
    return np.stack(rows)


def _load_pyfunc(data_path: str) -> RadiographModel:
    """Load the model from the folder of the weights; mlflow.pyfunc.load_model calls this."""
    return RadiographModel(Path(data_path))
