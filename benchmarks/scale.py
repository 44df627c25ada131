"""Run every stage that holds whole tables on tables of the size of MIMIC-CXR: many rows, few pixels.

    python -m benchmarks.scale --rows 40000 400000 --output scale.json
    python -m benchmarks.scale --dag                  the DAG of the current config.yaml

Each stage runs as its own process, as the workflow calls it. Processor seconds, wall seconds and the largest resident
memory are those of the process. With two sizes, the last column gives the growth of the cost.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.common.files import schemas
from stages.common.files.arrow_tables import read_table, write_table

ROOT = Path(__file__).resolve().parents[1]
SHARDS = 64
SIDE = 16  # pixels
REPORTS_A_FILE = 230_000 / 400_000
SENTENCES = (
    "The lungs are clear.", "No pneumothorax.", "There is a small left pleural effusion.", "Heart size is normal.",
    "Stable cardiomegaly measuring {n} cm.", "A {n} mm nodule projects over the right upper lobe.",
    "No focal consolidation.", "Bibasilar atelectasis, unchanged from study {n}.",
    "Right internal jugular line, tip {n} cm above the carina.",
)  # fmt: skip


def measured(stage: str, *arguments: object) -> dict[str, float]:
    """Run `python -m stages.<stage>`; return processor seconds, wall seconds and bytes."""
    command = [sys.executable, "-m", f"stages.{stage}", *map(str, arguments)]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE)
    assert process.stderr is not None
    errors = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, errors
    return {
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "clock_s": time.perf_counter() - started,
        "peak_bytes": usage.ru_maxrss * 1024,
    }


def write_distribution(root: Path, rows: int, rng: np.random.Generator) -> None:
    """Write MIMIC-CXR's lists for `rows` images, and reports as files; image files are absent."""
    studies = round(rows * REPORTS_A_FILE)
    study_of = np.sort(np.concatenate([np.arange(studies), rng.integers(0, studies, rows - studies)]))
    patient_of_study = 10_000_000 + np.arange(studies) // 4
    (root / "files").mkdir(parents=True)
    with gzip.open(root / "cxr-record-list.csv.gz", "wt", compresslevel=1) as list_of_files:
        list_of_files.write("subject_id,study_id,dicom_id,path\n")
        for row, study in enumerate(study_of):
            patient, name = patient_of_study[study], f"{row:08x}-0000"
            place = f"files/p{str(patient)[:2]}/p{patient}/s{50_000_000 + study}/{name}.dcm"
            list_of_files.write(f"{patient},{50_000_000 + study},{name},{place}\n")
    with gzip.open(root / "cxr-study-list.csv.gz", "wt", compresslevel=1) as list_of_reports:
        list_of_reports.write("subject_id,study_id,path\n")
        for study in range(studies):
            patient, number = patient_of_study[study], 50_000_000 + study
            folder = root / "files" / f"p{str(patient)[:2]}" / f"p{patient}"
            folder.mkdir(parents=True, exist_ok=True)
            words = [SENTENCES[k].format(n=rng.integers(1, 100)) for k in rng.integers(0, len(SENTENCES), 6)]
            (folder / f"s{number}.txt").write_text(
                f"FINDINGS: {' '.join(words[:4])}\n\nIMPRESSION: {' '.join(words[4:])}\n"
            )
            list_of_reports.write(f"{patient},{number},{(folder / f's{number}.txt').relative_to(root)}\n")


def write_shards(files: Path, folder: Path, rng: np.random.Generator) -> None:
    """Write what dicom_to_arrow would write for the files: random pixels, no rejects."""
    table = read_table(files, schemas.FILES)
    schema = schemas.images(SIDE)
    for shard in range(SHARDS):
        rows = table.filter(pc.equal(table["shard"], shard))
        count = len(rows)
        pixels = rng.integers(0, 256, (count, SIDE * SIDE), dtype=np.uint8)
        columns = {
            "pixels": [each.tobytes() for each in pixels],
            "content_box": [[0, 0, SIDE, SIDE]] * count,
            "original_rows": [2500] * count,
            "original_columns": [3000] * count,
            "photometric": ["MONOCHROME2"] * count,
            "window": ["none"] * count,
            "pixels_sha256": [f"{shard:04x}{row:060x}" for row in range(count)],
            "picture_sha256": [f"{shard:04x}{row:060x}" for row in range(count)],
            "instance_uid": [f"2.25.{shard}.{row}" for row in range(count)],
        }
        have = {name: rows[name] for name in rows.column_names}
        arrays = [
            pa.chunked_array([pa.array(columns[field.name], field.type)]) if field.name in columns
            else have[field.name].cast(field.type) if field.name in have
            else pa.chunked_array([pa.nulls(count, field.type)])
            for field in schema
        ]  # fmt: skip
        write_table(folder / f"{shard}.arrow", schema, pa.Table.from_arrays(arrays, schema=schema))
        write_table(folder / f"{shard}_rejects.arrow", schemas.REJECTS, schemas.REJECTS.empty_table())


def run(rows: int, folder: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Run every stage once, in the order of the DAG."""
    rng = np.random.default_rng(0)
    root, out = folder / "mimic", folder / "results"
    write_distribution(root, rows, rng)
    files, reports = out / "files.arrow", out / "reports.arrow"

    def journal(name: str) -> tuple[object, ...]:
        return "--journal", out / f"{name}.json"

    yield "index_inputs", measured(
        "index_inputs", "--root", root, "--dataset", "mimic_cxr", "--files", files, "--reports", reports,
        "--settings", json.dumps({"layout": "mimic_cxr", "shards": SHARDS}), *journal("index"),
    )  # fmt: skip
    absent = out / "absent"
    yield "dicom_to_arrow convert, 1 of 64 shards, every file missing", measured(
        "dicom_to_arrow", "convert", "--root", root, "--files", files, "--shard", 0, "--state", out / "state",
        "--images", absent / "0.arrow", "--rejects", absent / "0_rejects.arrow", "--workers", 1, *journal("convert"),
    )  # fmt: skip
    shards = out / "mimic_cxr" / "shards"
    write_shards(files, shards, rng)
    manifest, rejects = out / "mimic_cxr" / "manifest.json", out / "mimic_cxr" / "rejects.arrow"
    size = json.dumps({"size": SIDE})
    yield "dicom_to_arrow gather", measured(
        "dicom_to_arrow", "gather", "--files", files, "--manifest", manifest, "--rejects", rejects,
        "--shard-images", *[shards / f"{number}.arrow" for number in range(SHARDS)],
        "--shard-rejects", *[shards / f"{number}_rejects.arrow" for number in range(SHARDS)],
        "--settings", size, *journal("gather"),
    )  # fmt: skip
    yield "dicom_to_arrow duplicates", measured(
        "dicom_to_arrow", "duplicates", "--manifests", manifest, "--duplicates", out / "duplicates.arrow",
        "--settings", size, *journal("duplicates"),
    )  # fmt: skip
    sentences, report_rejects = out / "sentences.arrow", out / "report_rejects.arrow"
    yield "split_reports, vocabulary trained", measured(
        "split_reports", "--root", root, "--reports", reports, "--sentences", sentences, "--rejects", report_rejects,
        "--quality", out / "quality.json", "--tokenizer", out / "tokenizer",
        "--settings", json.dumps({"tokenizer": {"weights": None, "vocabulary_size": 2000}}), *journal("split"),
    )  # fmt: skip
    yield "pair_images_reports, leakage audit and fingerprint", measured(
        "pair_images_reports", "--images", manifest, "--sentences", sentences, "--files", files,
        "--image-rejects", rejects, "--report-rejects", report_rejects, "--pairs", out / "pairs.arrow",
        "--rejects", out / "pair_rejects.arrow", "--audit", out / "audit.json",
        "--fingerprint", out / "fingerprint.json", *journal("pair"),
    )  # fmt: skip


def dag() -> dict[str, float]:
    """Dry-run the current config.yaml on minimal trees of index files."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for part in ("workflow", "stages", "envs", "docker", "config.yaml"):
            (folder / part).symlink_to(ROOT / part)
        for name in ("mimic-cxr/cxr-record-list.csv.gz", "mimic-cxr/cxr-study-list.csv.gz",
                     "rsna-pneumonia/stage_2_train_labels.csv", "siim-acr-pneumothorax/train-rle.csv"):  # fmt: skip
            (folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "data" / name).write_bytes(b"\n")
        started = time.perf_counter()
        command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--cores", "1"]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout is not None
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, text
        jobs = next(int(line.split()[1]) for line in text.splitlines() if line.startswith("total"))
        return {"jobs": jobs, "cpu_s": usage.ru_utime + usage.ru_stime, "clock_s": time.perf_counter() - started,
                "peak_bytes": usage.ru_maxrss * 1024}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[40_000, 400_000], help="numbers of images; 0.575 times as many reports"
    )
    parser.add_argument("--dag", action="store_true", help="only the DAG")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    if arguments.dag:
        of_dag = dag()
        found: dict[str, Any] = {"dag": of_dag}
        print("DAG: {jobs} jobs, {cpu_s:.1f} s of processor, {clock_s:.1f} s, {peak_bytes:,} bytes".format(**of_dag))
    else:
        found = {}
        for rows in arguments.rows:
            with tempfile.TemporaryDirectory() as folder:
                for stage, figures in run(rows, Path(folder)):
                    found.setdefault(stage, {})[rows] = figures
                    first = found[stage][arguments.rows[0]]
                    grown = figures["cpu_s"] / first["cpu_s"]
                    print(f"{rows:>8,}  {stage:55} {figures['cpu_s']:8.1f} s CPU {figures['clock_s']:8.1f} s "
                          f"{figures['peak_bytes'] / 2**20:7.0f} MiB  x{grown:.1f}", flush=True)  # fmt: skip
    if arguments.output:
        arguments.output.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
