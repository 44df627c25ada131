"""All shards of a data set: each verified, every indexed file accounted for, one manifest and one table of rejects."""

import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stages.common import schemas
from stages.common.arrow_tables import read_table, write_table
from stages.common.atomic_files import read_sidecar, write_record
from stages.common.errors import InputError
from stages.dicom_to_arrow.settings import DicomToArrowSettings

SHARD_BYTES = 500_000_000  # what a shard should have; see index_inputs.shards

# Metric -> column: copies of an image are kept here and counted; `duplicates` lists them, the audit of pairs decides.
DUPLICATES = {"duplicate_images": "pixels_sha256", "duplicate_pictures": "picture_sha256",
              "duplicate_instances": "instance_uid"}  # fmt: skip


@dataclass(frozen=True)
class Shard:
    path: Path
    images: pa.Table  # memory-mapped
    rejects: pa.Table

    def entry(self, manifest: Path) -> dict[str, Any]:
        relative = Path(os.path.relpath(self.path, manifest.parent)).as_posix()
        return {
            "path": relative,
            "sha256": read_sidecar(self.path),
            "bytes": self.path.stat().st_size,
            "rows": len(self.images),
            "rejects": len(self.rejects),
        }


def gather_shards(
    files: Path,
    shard_images: list[Path],
    shard_rejects: list[Path],
    manifest: Path,
    rejects: Path,
    settings: DicomToArrowSettings,
) -> dict[str, int]:
    """Check the shards (in order: 0, 1, ...) against the index, write `manifest` and `rejects`, return the counts."""
    table = read_table(files, schemas.FILES)
    if not len(table):
        raise InputError(f"{files}: no files are indexed; check the root and the layout of index_inputs")
    if len(shard_images) != len(shard_rejects):
        raise InputError(f"{len(shard_images)} files of images and {len(shard_rejects)} of rejects; give one a shard")
    shards = [
        read_shard(images, rejected, settings.size)
        for images, rejected in zip(shard_images, shard_rejects, strict=True)
    ]
    reconcile(table, shards)
    rejected = pa.concat_tables([shard.rejects for shard in shards])
    images = sum(len(shard.images) for shard in shards)
    if not images:
        raise InputError(_all_rejected(files, rejected))
    write_table(rejects, schemas.REJECTS, rejected)
    counts = {"indexed": len(table), "images": images, "rejects": len(rejected)}
    dataset = table["dataset"][0].as_py()
    entries = [shard.entry(manifest) for shard in shards]
    pictures = {"pictures": images - sum(shard.images["picture_sha256"].null_count for shard in shards)}
    write_record(manifest, {"dataset": dataset, "size": settings.size, **counts, **pictures, "shards": entries})
    _warn_of_large_shards(entries, files)
    reasons = sorted(Counter(rejected["reason"].to_pylist()).items())
    duplicates = {name: _repeated(shards, column) for name, column in DUPLICATES.items()}
    return counts | duplicates | {f"rejects_{reason}": count for reason, count in reasons}


def _repeated(shards: list[Shard], column: str) -> int:
    """Images that share the value of `column` with an earlier one."""
    values = pa.chunked_array([chunk for shard in shards for chunk in shard.images[column].chunks], pa.string())
    values = values.drop_null()
    return len(values) - len(pc.unique(values))


def _warn_of_large_shards(entries: list[dict[str, Any]], files: Path) -> None:
    """A shard is a job's unit of work, of damage and of copying: about 500 MB serve all three."""
    largest, total = max(entry["bytes"] for entry in entries), sum(entry["bytes"] for entry in entries)
    if largest > 2 * SHARD_BYTES:
        print(f"warning: {files}: shards of up to {largest / 1e6:.0f} MB; with index_inputs.shards at "
              f"{-(-total // SHARD_BYTES)} they would have about 500 MB", file=sys.stderr)  # fmt: skip


def read_shard(images: Path, rejects: Path, size: int) -> Shard:
    """Both tables of a shard, verified against their side-cars and the contract."""
    return Shard(images, read_table(images, schemas.images(size)), read_table(rejects, schemas.REJECTS))


def reconcile(files: pa.Table, shards: list[Shard]) -> None:
    """Every indexed file is exactly one row of its shard's images or rejects, in the order of the index."""
    datasets = pc.unique(files["dataset"]).to_pylist()
    if len(datasets) != 1:
        raise InputError(f"files of several data sets ({', '.join(datasets)}); gather one data set at a time")
    ids = files["image_id"].to_pylist()
    if len(set(ids)) != len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise InputError(f"image {twice} is indexed twice; correct the index and run index_inputs again")
    highest = pc.max(files["shard"]).as_py()
    if highest >= len(shards):
        raise InputError(f"the index has shards 0 to {highest}, {len(shards)} were given; give them all, in order")
    for number, shard in enumerate(shards):
        indexed = files.filter(pc.equal(files["shard"], number))["image_id"].to_pylist()
        _reconcile_shard(number, shard, indexed)


def _reconcile_shard(number: int, shard: Shard, indexed: list[str]) -> None:
    images, rejects = shard.images["image_id"].to_pylist(), shard.rejects["source_id"].to_pylist()
    wrong = (set(indexed) ^ {*images, *rejects}) | (set(images) & set(rejects))
    if not wrong and len(images) + len(rejects) == len(indexed):
        accepted, rejected = set(images), set(rejects)
        in_order = images == [i for i in indexed if i in accepted] and rejects == [i for i in indexed if i in rejected]
        if in_order:
            return
    example = f", e.g. {min(wrong)}" if wrong else ""
    raise InputError(
        f"{shard.path}: shard {number} does not match the index ({len(images)} images + {len(rejects)} rejects, "
        f"{len(indexed)} files indexed{example}); delete it and run dicom_to_arrow convert --shard {number} again"
    )


def _all_rejected(files: Path, rejects: pa.Table) -> str:
    reason, count = Counter(rejects["reason"].to_pylist()).most_common(1)[0]
    example = rejects.filter(pc.equal(rejects["reason"], reason)).slice(0, 1).to_pylist()[0]
    return (
        f"{files}: all {len(rejects)} files were rejected, {count} of them as {reason}, e.g. {example['source_id']}: "
        f"{example['message']}; check the root and the settings of dicom_to_arrow"
    )
