"""Gathering of a data set's shards: each is verified, every indexed file accounted for, one manifest written.

Copies of one image, within a data set and across data sets, are found by SOPInstanceUID and by the picture's digest.
"""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ..common.data.image_store import ImageStore
from ..common.data.manifest import DOUBTFUL_NAMED, Manifest, ShardEntry
from ..common.data.private_sources import how_to_name
from ..common.errors import InputError
from ..common.files import schemas
from ..common.files.arrow_tables import read_table, write_table
from ..common.files.atomic_files import read_sidecar
from ..common.journal.tracking import track_job
from ..common.records import write_record
from .contract import DuplicatesJob, GatherJob
from .quality import find_doubtful, warn_of_doubtful

SHARD_BYTES = 500_000_000  # recommended size of a shard; see index_inputs.shards

# Metric -> column: copies of an image are kept here and counted; `duplicates` lists them, the audit of pairs decides.
DUPLICATES = {"duplicate_images": "pixels_sha256", "duplicate_pictures": "picture_sha256",
              "duplicate_instances": "instance_uid"}  # fmt: skip


@dataclass(frozen=True)
class Shard:
    """Both tables of one shard."""

    path: Path
    images: pa.Table  # memory-mapped
    rejects: pa.Table

    def entry(self, manifest: Path) -> ShardEntry:
        """Return the shard's entry in `manifest`."""
        digest = read_sidecar(self.path)
        assert digest is not None, "read_table has verified it"
        return ShardEntry(
            path=Path(os.path.relpath(self.path, manifest.parent)).as_posix(),
            sha256=digest,
            bytes=self.path.stat().st_size,
            rows=len(self.images),
            rejects=len(self.rejects),
        )


def gather(job: GatherJob) -> None:
    """Gather all shards and keep the journal."""
    with track_job(job) as run:
        counts = gather_shards(job)
        run.log_metrics(counts)
        files = {name: count for name, count in counts.items() if not name.startswith("rejects_")}
        reasons = {name.removeprefix("rejects_"): count for name, count in counts.items() if name not in files}
        run.pictures.bars("files.svg", {"files and images": files, "rejects by reason": reasons})
        if job.settings.publish_samples:
            store = ImageStore(job.manifest)
            shown = store.draw_rows(store.ids, job.settings.samples, job.settings.seed)
            run.pictures.contact_sheet("contact_sheet.jpg", list(store.gather(shown)))


def gather_shards(job: GatherJob) -> dict[str, int]:
    """Check the shards (in order: 0, 1, ...) against the index, write manifest and rejects, and return the counts.

    Raises InputError where they do not match, or all files were rejected.
    """
    size, table = job.settings.size, read_table(job.files, schemas.FILES)
    if not len(table):
        raise InputError(f"{job.files}: no files are indexed", "check the root and the layout of index_inputs")
    if len(job.shard_images) != len(job.shard_rejects):
        raise InputError(
            f"{len(job.shard_images)} files of images, but {len(job.shard_rejects)} of rejects",
            "give one of each per shard",
        )
    shards = [read_shard(*paths, size) for paths in zip(job.shard_images, job.shard_rejects, strict=True)]
    reconcile(table, shards)
    rejected = pa.concat_tables([shard.rejects for shard in shards])
    images = sum(len(shard.images) for shard in shards)
    if not images:
        raise _all_rejected(job.files, rejected)
    write_table(job.rejects, schemas.REJECTS, rejected)
    counts = {"indexed": len(table), "images": images, "rejects": len(rejected)}
    doubtful: dict[str, list[str]] = {}
    for shard in shards:
        for kind, ids in find_doubtful(shard.images, size).items():
            doubtful.setdefault(kind, []).extend(ids)
    counts_of_doubtful = {kind: len(ids) for kind, ids in doubtful.items()}
    manifest = Manifest(
        dataset=table["dataset"][0].as_py(),
        size=size,
        **counts,
        **counts_of_doubtful,
        first_doubtful={kind: ids[:DOUBTFUL_NAMED] for kind, ids in doubtful.items() if ids},
        pictures=images - sum(shard.images["picture_sha256"].null_count for shard in shards),
        shards=[shard.entry(job.manifest) for shard in shards],
    )
    write_record(job.manifest, manifest)
    _warn_of_large_shards(manifest.shards, job.files)
    warn_of_doubtful(job.files, doubtful, images)
    reasons = sorted(Counter(rejected["reason"].to_pylist()).items())
    if reasons:
        listed = ", ".join(f"{reason} {count}" for reason, count in reasons)
        command = how_to_name(job.rejects)
        where = f"`{command}` names each file" if command else f"each is named in {job.rejects}"
        print(f"warning: {manifest.dataset}: {len(rejected)} of {len(table)} images were rejected: {listed}; {where}",
              file=sys.stderr)  # fmt: skip
    duplicates = {name: _repeated(shards, column) for name, column in DUPLICATES.items()}
    counts |= _inverted(table, shards, job.files)
    return counts | counts_of_doubtful | duplicates | {f"rejects_{reason}": count for reason, count in reasons}


def _inverted(files: pa.Table, shards: list[Shard], source: Path) -> dict[str, int]:
    """Count the images that the index calls inverted, and warn about DICOM files that say otherwise."""
    said = pc.unique(files.filter(files["inverted"])["image_id"])
    if not len(said):
        return {}
    images = pa.concat_tables([shard.images.select(["image_id", "photometric"]) for shard in shards])
    images = images.filter(pc.is_in(images["image_id"], value_set=said))
    other = images.filter(pc.not_equal(images["photometric"], "MONOCHROME1"))["image_id"]
    if len(other):
        print(f"warning: {source}: {len(other)} of {len(images)} images that are inverted by the index are DICOM files "
              f"that say otherwise, first {other[0]}: the file is believed; correct the column `inverted`",
              file=sys.stderr)  # fmt: skip
    return {"inverted_by_index": len(images), "inverted_by_index_alone": len(other)}


def _repeated(shards: list[Shard], column: str) -> int:
    """Return the number of images that share the value of `column` with an earlier one."""
    values = pa.chunked_array([chunk for shard in shards for chunk in shard.images[column].chunks], pa.string())
    values = values.drop_null()
    return len(values) - len(pc.unique(values))


def _warn_of_large_shards(entries: list[ShardEntry], files: Path) -> None:
    """Warn about large shards: a shard is the unit of work, damage and copying, and about 500 MB suit all three."""
    largest, total = max(entry.bytes for entry in entries), sum(entry.bytes for entry in entries)
    if largest > 2 * SHARD_BYTES:
        print(f"warning: {files}: shards of up to {largest / 1e6:.0f} MB; set index_inputs.shards to "
              f"{-(-total // SHARD_BYTES)} for about 500 MB each", file=sys.stderr)  # fmt: skip


def read_shard(images: Path, rejects: Path, size: int) -> Shard:
    """Read both tables of a shard, verified against their side-cars and the contract."""
    return Shard(images, read_table(images, schemas.images(size)), read_table(rejects, schemas.REJECTS))


def reconcile(files: pa.Table, shards: list[Shard]) -> None:
    """Check that every indexed file is exactly one row of its shard's images or rejects, in the order of the index.

    Raises InputError where it is not.
    """
    datasets = pc.unique(files["dataset"]).to_pylist()
    if len(datasets) != 1:
        raise InputError(f"files of several data sets ({', '.join(datasets)})", remedy="gather one data set at a time")
    ids = files["image_id"].to_pylist()
    if len(set(ids)) != len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise InputError(f"image {twice} is indexed twice", remedy="correct the index and run index_inputs again")
    highest = pc.max(files["shard"]).as_py()
    if highest >= len(shards):
        raise InputError(
            f"the index has shards 0 to {highest}, but {len(shards)} were given", remedy="give them all, in order"
        )
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
        f"{len(indexed)} files indexed{example})",
        remedy=f"delete it and run dicom_to_arrow convert --shard {number} again",
    )


def _all_rejected(files: Path, rejects: pa.Table) -> InputError:
    reasons = Counter(rejects["reason"].to_pylist()).most_common()
    reason, count = reasons[0]
    how = [f"`{command}` names each file"] if (command := how_to_name(files)) else []
    example = rejects.filter(pc.equal(rejects["reason"], reason)).slice(0, 1).to_pylist()[0]
    return InputError(
        f"{files}: all {len(rejects)} files were rejected, {count} of them as {reason}, e.g. {example['source_id']}: "
        f"{example['message']}",
        remedy="; ".join([_remedy([reason for reason, _ in reasons]), *how]),
    )


# Reason -> what accepts such files, where something does.
_REMEDIES = {
    "file_missing": "correct the root, or name the folder that holds them in the data set's `roots`",
    "path_outside_root": "name the folders into which links lead in the data set's `roots`",
    "checksum_mismatch": "set verify_checksums: false if the files were converted",
    "wrong_modality": "set `modalities`; modality_missing: accept is for files without Modality, as VinDr-CXR's",
    "wrong_sop_class": "set `sop_classes`",
    "wrong_view": "set `views`",
    "unknown_view": "name the views in the index, or set views_missing: accept",
    "wrong_body_part": "set `body_parts`",
    "burned_in": "set burned_in: accept",
    "too_large": "raise max_pixels or max_file_bytes",
    "too_small": "lower min_side",
    "too_slow": "raise max_seconds",
    "out_of_memory": "raise max_memory_bytes",
}


def _remedy(reasons: list[str]) -> str:
    """Return what may accept files that were rejected for `reasons`, the most frequent first."""
    known = [_REMEDIES[reason] for reason in reasons if reason in _REMEDIES]
    return "; ".join(["check the root and the settings of dicom_to_arrow", *known[:3]])


# Kind -> column. Stored pixels replace the digest of a picture that has none (jpeg2000_reduce), at equal `size` only.
_SHARED = {"instance": "instance_uid", "picture": "picture_sha256", "pixels": "pixels_sha256"}


def list_duplicates(job: DuplicatesJob) -> None:
    """Write the copies of images of all data sets."""
    with track_job(job) as run:
        table, counts = find_duplicates(job.manifests)
        write_table(job.duplicates, schemas.DUPLICATES, table)
        run.log_metrics(counts)


def find_duplicates(manifests: Sequence[Path]) -> tuple[pa.Table, dict[str, int]]:
    """Return the sorted table DUPLICATES over the data sets of `manifests`, and the number of groups of each kind.

    Pictures are compared whatever the `size` of their data sets is; convert.py says what that finds. UIDs are compared
    where both data sets carry them distributed, or both keyed under one key.
    """
    stores = [ImageStore(manifest) for manifest in manifests]
    names = [store.dataset for store in stores]
    if len(set(names)) != len(names):
        raise InputError(
            f"two manifests of one data set ({', '.join(sorted(names))})", remedy="give each data set once"
        )
    images = pa.concat_tables([store.table.select(["dataset", "image_id", *_SHARED.values()]) for store in stores])
    tables: list[pa.Table] = []
    counts: dict[str, int] = {}
    for kind, column in _SHARED.items():
        known = images.filter(pc.is_valid(images[column]))
        if kind == "pixels":
            known = known.filter(pc.is_null(known["picture_sha256"]))
        groups = known.group_by(column).aggregate([([], "count_all"), ("dataset", "count_distinct")])
        groups = groups.filter(pc.greater(groups["count_all"], 1))
        across = pc.sum(pc.greater(groups["dataset_count_distinct"], 1)).as_py() or 0
        counts |= {f"{kind}_groups": len(groups), f"{kind}_groups_across_data_sets": across}
        copies = known.filter(pc.is_in(known[column], value_set=pc.unique(groups[column])))
        copies = copies.sort_by([(name, "ascending") for name in (column, "dataset", "image_id")])
        columns = [pa.repeat(kind, len(copies)), copies[column], copies["dataset"], copies["image_id"]]
        tables.append(pa.table(columns, schema=schemas.DUPLICATES))
    return pa.concat_tables(tables), counts
