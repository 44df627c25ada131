"""Random access to the images of one data set, memory-mapped from the shards of dicom_to_arrow."""

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Int, UInt8

from ..errors import InputError
from ..files.arrow_tables import map_table
from ..files.atomic_files import check_in_background, settle, verify
from ..files.schemas import images
from ..records import read_record
from .manifest import Manifest
from .node_copies import node_copies


class ImageStore:
    """Images that a manifest lists, in the order of its shards.

    `table` holds every column but the pixels. Pixels are views into memory maps: an image is read when it is touched.
    Open the store inside each worker process; a pickled copy would ship the pixels.

    The shards' checksums are computed in the background (stages/common/files/atomic_files.py) and awaited before an
    output gets its name. In a job of several ranks only rank 0 computes them, because it writes the outputs.

    `often` is for stages that read the images many times: they read copies on the node's own disk, where config.yaml
    names a folder for them (`node_copies`).
    """

    def __init__(self, manifest: Path, often: bool = False) -> None:
        record = read_record(manifest, Manifest)
        self.dataset: str = record.dataset
        self.size: int = record.size
        paths = [Path(manifest).parent / shard.path for shard in record.shards]
        for path in paths:
            if not path.is_file():
                raise InputError(f"{path}: no such file, but {manifest} lists it", remedy="run dicom_to_arrow again")
        digests = [shard.sha256 for shard in record.shards]
        if often:
            paths = node_copies(list(zip(paths, digests, strict=True)))
        checks = [partial(_check_shard, *each, manifest) for each in zip(paths, digests, strict=True)]
        if os.environ.get("RANK", "0") == "0":
            check_in_background(checks)
        try:
            self._map(paths)
        except Exception:
            settle()  # a damaged shard fails in many ways; the checksum error says that it was damage
            raise

    def _map(self, paths: list[Path]) -> None:
        tables = []
        for path in paths:
            table = map_table(path)
            if not table.schema.equals(images(self.size)):
                raise InputError(
                    f"{path}: columns differ from stages/common/files/schemas.py", remedy="run dicom_to_arrow again"
                )
            tables.append(table)
        whole = pa.concat_tables(tables)
        self.table: pa.Table = whole.drop_columns(["pixels"])
        self.ids: list[str] = self.table["image_id"].to_pylist()
        self._row = {image_id: row for row, image_id in enumerate(self.ids)}
        blocks = [self._view(chunk) for chunk in whole["pixels"].chunks if len(chunk)]
        self._blocks = blocks
        self._starts = np.cumsum([0] + [len(block) for block in blocks])

    def _view(self, chunk: pa.FixedSizeBinaryArray) -> UInt8[np.ndarray, "n size size"]:
        width = self.size * self.size
        flat = np.frombuffer(chunk.buffers()[1], dtype=np.uint8, offset=chunk.offset * width, count=len(chunk) * width)
        return flat.reshape(len(chunk), self.size, self.size)

    def __len__(self) -> int:
        return len(self.ids)

    def row_of(self, image_id: str) -> int:
        """Return the row of an image. Raises InputError for an image that the data set does not have."""
        try:
            return self._row[image_id]
        except KeyError:
            raise InputError(
                f"image {image_id} is not in the data set {self.dataset}", remedy="run dicom_to_arrow again"
            ) from None

    def draw_rows(self, image_ids: Iterable[str], most: int, seed: int) -> Int[np.ndarray, "rows"]:
        """Return the rows of distinct images, ascending; of more than `most` those that the seed draws."""
        distinct = sorted(set(image_ids))
        drawn = np.random.default_rng(seed).permutation(len(distinct))[:most]
        return np.array(sorted(self.row_of(distinct[place]) for place in drawn), dtype=np.int64)

    def pixels(self, row: int) -> UInt8[np.ndarray, "size size"]:
        """Return one image; 0 black, 255 white."""
        block = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._blocks[block][row - self._starts[block]]

    def gather(self, rows: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n size size"]:
        """Return the images of `rows`, copied into one new array."""
        out = np.empty((len(rows), self.size, self.size), dtype=np.uint8)
        blocks = np.searchsorted(self._starts, rows, side="right") - 1
        inner = np.asarray(rows) - self._starts[blocks]
        for place, (block, row) in enumerate(zip(blocks.tolist(), inner.tolist(), strict=True)):
            out[place] = self._blocks[block][row]
        return out


def _check_shard(path: Path, listed: str, manifest: Path) -> None:
    if verify(path) != listed:
        raise InputError(f"{path}: not the shard that {manifest} lists", remedy="run dicom_to_arrow again")
