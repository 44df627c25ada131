"""Pack the model of a finished demo for a release: `make release`, or `python -m workflow.release`.

  NAME/README.md              what it is, its test figures, and the lines of Python that use it
  NAME/LICENSE                that of the project: everything in it was made by this project from synthetic patients
  NAME/checkpoint/            the folder of select_checkpoint with its model card; `mlip.load` reads it, or the .zip
  NAME/radiographs/           synthetic DICOM files of the test parts, and radiographs.csv, which says what they show
  NAME/SHA256SUMS             of every other file, for `sha256sum --check`

A demo that did not learn is refused. The archive is a .zip without compression, which weights hardly gain from: the
same files give the same bytes with every version of zlib, and it cannot unpack to more than its size.
"""

import csv
import hashlib
import io
import json
import tomllib
import zipfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stages.common.command_line import one_line_errors, program_name
from stages.common.errors import InputError
from stages.common.files.atomic_files import atomic_path, write_sidecar

ROOT = Path(__file__).resolve().parents[1]
# AUC on test, below the worst of five seeds: docs/decisions/0004
FLOORS = {"rsna": 0.65, "siim": 0.60}
VARIANT, UNTRAINED = "mlip", "random"
LARGEST = 20_000_000  # bytes of the archive
_DRAWN = {1: "", 0: "no_"}  # one radiograph with the finding, one without, per data set


@dataclass(frozen=True)
class Measured:
    """Zero-shot classification on the test part of a data set: AUC with its 95 % interval."""

    finding: str
    auc: float
    low: float
    high: float


def check_learned(results: Path) -> dict[str, Measured]:
    """Return what was measured on each data set of the demo.

    Raises InputError unless each AUC reaches its floor and lies above the interval of the untrained encoder.
    """
    found = {}
    for dataset, floor in FLOORS.items():
        measured, untrained = (_measured(results, each, dataset) for each in (VARIANT, UNTRAINED))
        if measured.auc < floor or measured.auc <= untrained.high:
            raise InputError(
                f"{results}: {VARIANT} did not learn {dataset}: AUC {measured.auc:.3f}, and it must reach {floor} and "
                f"exceed {untrained.high:.3f}, the upper end of the untrained encoder",
                "see its report",
            )
        found[dataset] = measured
    return found


def _measured(results: Path, variant: str, dataset: str) -> Measured:
    path = results / "zero_shot_classification" / variant / dataset / "result.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(
            f"{path}: cannot be read", "run `make demo`, or name the workspace of a finished one"
        ) from None
    try:
        auc = record["metrics"]["auc"]
        return Measured(next(iter(record["findings"])), auc["value"], auc["low"], auc["high"])
    except (KeyError, TypeError, StopIteration):
        raise InputError(f"{path}: holds no AUC", "run `make demo`, or name the workspace of a finished one") from None


def pack(checkpoint: Path, measured: Mapping[str, Measured], radiographs: Mapping[str, bytes], output: Path) -> Path:
    """Write the archive into the folder `output`, and return its path."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    name = f"mlip-phantom-{version}"
    files = {"LICENSE": (ROOT / "LICENSE").read_bytes(), "README.md": _readme(name, measured).encode()}
    if not (checkpoint / "inference.json").is_file():
        raise InputError(f"{checkpoint}: no inference.json", "run `make demo`, or name the workspace of a finished one")
    for path in checkpoint.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            files[f"checkpoint/{path.relative_to(checkpoint).as_posix()}"] = path.read_bytes()
    files |= {f"radiographs/{each}": content for each, content in radiographs.items()}
    sums = [f"{hashlib.sha256(files[each]).hexdigest()}  {each}\n" for each in sorted(files)]
    files["SHA256SUMS"] = "".join(sums).encode()
    if (size := sum(map(len, files.values()))) > LARGEST:
        raise InputError(f"{checkpoint}: {size:,} bytes with what belongs to it, and a release holds {LARGEST:,}")
    output.mkdir(parents=True, exist_ok=True)
    archive = output / f"{name}.zip"
    with atomic_path(archive) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
        for each in sorted(files):
            member = zipfile.ZipInfo(f"{name}/{each}")  # of 1980: a time would change the bytes
            member.create_system, member.external_attr = 3, 0o100644 << 16
            file.writestr(member, files[each])
    write_sidecar(archive)
    return archive


def radiographs_of(workspace: Path, measured: Mapping[str, Measured]) -> dict[str, bytes]:
    """Return a radiograph of each data set's test part with the finding and one without, and the table of them.

    Each is the one with the median score of all like it: neither the model's best nor its worst.
    """
    import polars as pl  # here, because --help needs no table library

    from stages.common.files.arrow_tables import read_table
    from stages.common.files.schemas import FILES, SCORES

    results, found, rows = workspace / "results", {}, []
    for dataset, each in measured.items():
        scores = results / "zero_shot_classification" / VARIANT / dataset / "scores.arrow"
        scored = pl.DataFrame(read_table(scores, SCORES)).filter(pl.col("split") == "test")
        files = pl.DataFrame(read_table(results / "index_inputs" / dataset / "files.arrow", FILES))
        test = scored.join(files, on="image_id").sort("score", "image_id")
        for target, word in _DRAWN.items():
            paths = test.filter(pl.col("target") == target)["path"]
            path = paths[len(paths) // 2]
            name = f"{dataset}_{word}{each.finding}.dcm"
            found[name] = (workspace / "phantom" / dataset / path).read_bytes()
            rows.append((name, dataset, each.finding, target))
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("file", "data_set", "finding", "present"), *rows])
    return found | {"radiographs.csv": table.getvalue().encode()}


def _readme(name: str, measured: Mapping[str, Measured]) -> str:
    rows = [f"| {each.finding.replace('_', ' ')} ({dataset}) | {each.auc:.3f} [{each.low:.3f}, {each.high:.3f}] |"
            for dataset, each in measured.items()]  # fmt: skip
    return _README.format(name=name, rows="\n".join(rows))


_README = """# {name}: a small model, trained on synthetic radiographs

The checkpoint of MLIP's demo. All patients, radiographs and reports were drawn by a program; no person is in them. It
shows what the package does. It is of no use on radiographs of people, and it is not a medical device.

With the package `mlip` installed, in this folder:

```python
import mlip

model = mlip.load("checkpoint")  # or the .zip itself
classes = {{"opacity": "There is opacity in the right lung.", "clear": "The lungs are clear."}}
for name in ("rsna_lung_opacity", "rsna_no_lung_opacity"):
    print(name, model.classify(f"radiographs/{{name}}.dcm", classes).probabilities)  # they compare; they are no risks
model.heatmap("radiographs/rsna_lung_opacity.dcm", "opacity in the right lung").write("heatmap.png")
```

Zero-shot classification of other synthetic patients, who were in no training:

| finding | AUC on test [95 % interval] |
|---|---|
{rows}

`radiographs/` has images of those test parts, each with the median score of its kind; `radiographs.csv` says what they
show. `checkpoint/README.md` is the model card. `sha256sum --check SHA256SUMS` checks the files. Licence: Apache-2.0
(`LICENSE`), weights and radiographs alike.
"""


def main(argv: list[str] | None = None) -> None:
    """Pack the model and print the archive's path and size."""
    options = ArgumentParser(program_name("python -m workflow.release"), description=__doc__,
                             formatter_class=RawDescriptionHelpFormatter)  # fmt: skip
    options.add_argument("--workspace", type=Path, default=Path("runs/demo"), help="of a finished demo [%(default)s]")
    options.add_argument("--output", type=Path, default=Path("dist"), help="folder of the archive [%(default)s]")
    arguments = options.parse_args(argv)
    with one_line_errors():
        results = arguments.workspace / "results"
        measured = check_learned(results)
        checkpoint = results / "select_checkpoint" / VARIANT / "checkpoint"
        archive = pack(checkpoint, measured, radiographs_of(arguments.workspace, measured), arguments.output)
    print(f"{archive}: {archive.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
