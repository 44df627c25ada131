"""Identifiers that stay inside: with `identifiers: keyed`, nothing that identifies a patient is written anywhere.

Canaries stand in every text element of the DICOM files (of each value representation, in sequences, private elements
and File Meta Information, and in bytes outside them), in the names of files and folders, in the ids and in the headers
of the reports. Files are damaged and the decoder is made to crash while it quotes them. Then every byte that the run
wrote outside `private/` is searched for the canaries: as text, base64 and hexadecimal, and for unsalted hashes of ids.
Out of scope: names inside the sections of a report that are kept (its text is the training data).
"""

import base64
import csv
import hashlib
import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fake_mlflow import FakeMlflow, serving
from pydicom.config import disable_value_validation
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from stages.common.files.arrow_tables import read_table
from stages.common.files.schemas import FILES, REJECTS, REPORTS, SENTENCES

CANARIES = {
    **{vr: f"QX{vr}canary7Z" for vr in ("AE", "LO", "LT", "SH", "ST", "UC", "UR", "UT")},
    "PN": "QXPNcanary^Wilhelmine", "CS": "QXCSCANARY7Z", "UN": "QXUNcanary7Z", "UI": "1.2.840.73194731.5.81",
    "DA": "19470313", "TM": "031415.926535", "DT": "19470313031415.9265", "AS": "087Y", "IS": "731947313",
    "DS": "73194.73131", "private": "QXprivatecanary", "meta": "QXMETACANARY", "bytes": "QXpreamblecanary",
    "file": "QXfilecanary", "folder": "QXfoldercanary", "patient": "QXpatientcanary", "study": "QXstudycanary",
    "header": "QXheadercanary", "indication": "QXindicationcanary", "institution": "QXhospitalcanary",
    "view": "QXVIEWCANARY", "report file": "QXreportfilecanary",
}  # fmt: skip
# Elements without which there is no image, or that decide how it looks.
TECHNICAL = {
    "SpecificCharacterSet", "SOPClassUID", "Modality", "ViewPosition", "PhotometricInterpretation", "NumberOfFrames",
    "PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "WindowCenter",
    "WindowWidth", "VOILUTFunction", "RescaleIntercept", "RescaleSlope", "PresentationLUTShape", "BurnedInAnnotation",
    "RecognizableVisualFeatures", "PatientOrientation", "PixelPresentation",
}  # fmt: skip

# Appended to the copy of the reader: it quotes the header in an exception, on standard error, and dies.
CRASHES = """

_read = read_radiograph


def read_radiograph(data, view, settings):
    import os
    from io import BytesIO

    from pydicom import dcmread

    name = str(dcmread(BytesIO(data), force=True).get("PatientName", ""))
    os.write(2, f"decoder: {name}\\n".encode())
    if b"CRASH-PANIC" in data:
        raise BaseException(f"panic while reading {name}")
    if b"CRASH-ABORT" in data:
        os.abort()
    return _read(data, view, settings)
"""

PATIENTS = 8


def identifying(dataset: Dataset) -> None:
    """A canary in every element of a text representation that PS3.6 knows."""
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        if vr in CANARIES and vr != "UN" and keyword and keyword not in TECHNICAL and tag >= 0x00080000:
            dataset.add_new(tag, vr, CANARIES[vr])


def radiograph(number: int, comment: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPInstanceUID = CANARIES["UI"]
    dataset.file_meta.SourceApplicationEntityTitle = CANARIES["meta"]
    dataset.preamble = CANARIES["bytes"].encode().ljust(128, b"\0")
    identifying(dataset)
    item = Dataset()
    identifying(item)
    dataset.RequestAttributesSequence = [item]
    dataset.private_block(0x0099, CANARIES["private"], create=True).add_new(1, "UN", CANARIES["UN"].encode())
    dataset.SOPClassUID, dataset.Modality, dataset.ViewPosition = DigitalXRayImageStorageForPresentation, "DX", "PA"
    dataset.ImageComments = f"{CANARIES['LT']} {comment}"
    pixels = (np.add.outer(np.arange(40), np.arange(32)) * (number + 1)).astype(np.uint16)
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.add_new(0xFFFCFFFC, "OB", CANARIES["bytes"].encode())  # Data Set Trailing Padding
    return dataset


def report(number: int) -> str:
    return (
        f"{CANARIES['institution']}\nPatient: {CANARIES['header']}\nINDICATION: Cough of {CANARIES['indication']}.\n\n"
        f"FINDINGS: The lungs are clear on image {number}. No pleural effusion.\n\nIMPRESSION: No acute disease."
    )


def write_data(root: Path) -> int:
    """One patient an image; the last ones are damaged, missing, or crash the reader. Returns the number of files."""
    special = {"panic": "CRASH-PANIC", "abort": "CRASH-ABORT", "view": "", "cut": "", "text": "", "missing": ""}
    kinds = [*["good"] * PATIENTS, *special]
    rows = []
    for number, kind in enumerate(kinds):
        path = Path(f"{CANARIES['folder']}{number}", f"{CANARIES['file']}{number}.dcm")
        dataset = radiograph(number, special.get(kind, ""))
        if kind == "view":
            dataset.ViewPosition = CANARIES["view"]
        (root / path).parent.mkdir(parents=True)
        with disable_value_validation():
            dataset.save_as(root / path, enforce_file_format=True)
        if kind == "cut":
            (root / path).write_bytes((root / path).read_bytes()[:-700])
        if kind == "text":
            (root / path).write_text(CANARIES["header"] * 20)
        if kind == "missing":
            (root / path).unlink()
        rows.append([path, f"{CANARIES['patient']}{number}", f"{CANARIES['study']}{number}", report(number), ""])
    with (root / "table.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([["file", "person", "exam", "text", "nothing"], *rows])
    return len(rows)


# They end when the server has heard of them, however slow the machine is.
SHORT_STAGES_SPEAK = """
_SECONDS_BEFORE, _SHARE, _LONGEST_WAIT = 0.0, 1000.0, 300.0
_end = LiveRun.end


def _end_when_heard(live, *how):
    while live._run is None and not live.failures:
        time.sleep(0.01)
    _end(live, *how)


LiveRun.end = _end_when_heard
"""


@pytest.fixture(scope="module")
def keyed_run(tmp_path_factory: pytest.TempPathFactory, new_checkout: Any) -> tuple[Any, int]:
    """A workflow over the three stages that see identifiers, its imported journals among what it wrote."""
    data = tmp_path_factory.mktemp("data")
    files = write_data(data)
    columns = {"image": "file", "patient": "person", "study": "exam", "report": "text"}
    block = {"layout": "folder", "table": "table.csv", "columns": columns, "shards": 2}
    overlay = {
        "pretrain_on": "ours",
        "datasets": {"ours": {"root": str(data), "index_inputs": block}},
        "dicom_to_arrow": {"size": 32},
        "split_reports": {"tokenizer": {"vocabulary_size": 300}},
    }
    checkout = new_checkout(tmp_path_factory.mktemp("checkout"), "canary.yaml")
    (checkout.folder / "canary.yaml").write_text(yaml.safe_dump(overlay))
    with (checkout.folder / "stages" / "dicom_to_arrow" / "convert.py").open("a") as code:
        code.write(CRASHES)
    live_logging = checkout.folder / "stages" / "common" / "journal" / "live_logging.py"
    live_logging.write_text(live_logging.read_text() + SHORT_STAGES_SPEAK)
    results = "runs/demo/results"
    targets = (f"{results}/dicom_to_arrow/ours/manifest.json", f"{results}/split_reports/ours/sentences.arrow")
    server = FakeMlflow()
    with serving(server) as uri:
        done = replace(checkout, variables={"MLFLOW_TRACKING_URI": uri}).snakemake("--verbose", *targets)
    (checkout.folder / "snakemake.log").write_text(done.stdout + done.stderr)
    (checkout.folder / "live.json").write_text(json.dumps(server.runs))
    sync = [sys.executable, "-m", "stages.sync", "--journals", results]
    subprocess.run(sync, cwd=checkout.folder, check=True, capture_output=True)
    return checkout, files


def encodings(canary: str, is_id: bool) -> Iterator[bytes]:
    for text in {canary, canary.lower(), canary.upper()}:
        raw = text.encode()
        yield raw
        if len(raw) < 8:  # shorter ones are found by chance
            continue
        yield text.encode("utf-16-le")
        yield raw.hex().encode()
        yield raw.hex().upper().encode()
        for shift in range(3):  # base64 of a longer text that holds it: without the characters at its ends
            yield base64.b64encode(b"\0" * shift + raw)[4:-4]
    if is_id:
        for algorithm in ("md5", "sha1", "sha256", "sha512"):
            digest = hashlib.new(algorithm, canary.encode())
            yield digest.hexdigest()[:16].encode()
            yield digest.digest()[:12]


def ids(files: int) -> Iterator[str]:
    for number in range(files):
        yield f"{CANARIES['patient']}{number}"
        yield f"{CANARIES['study']}{number}"
        yield f"{CANARIES['file']}{number}.dcm"
        yield f"{CANARIES['folder']}{number}/{CANARIES['file']}{number}.dcm"
    yield CANARIES["UI"]
    yield CANARIES["PN"]


@pytest.mark.slow
def test_no_canary_leaves_the_private_folder(keyed_run):
    checkout, files = keyed_run
    needles = {needle: name for name, canary in CANARIES.items() for needle in encodings(canary, is_id=False)}
    needles |= {needle: f"id {name}" for name in ids(files) for needle in encodings(name, is_id=True)}
    written = [path for path in checkout.folder.rglob("*") if path.is_file()]
    private = [path for path in written if "private" in path.relative_to(checkout.folder).parts]
    parts = {"stages", "workflow", "envs"}
    searched = [path for path in set(written) - set(private) if path.relative_to(checkout.folder).parts[0] not in parts]
    leaks = {
        f"{name} in {path.relative_to(checkout.folder)}"
        for path in searched
        for content in [path.read_bytes(), str(path.relative_to(checkout.folder)).encode()]
        for needle, name in needles.items()
        if needle in content
    }
    assert not leaks, sorted(leaks)
    kinds = {path.name for path in searched} | {path.suffix for path in searched}
    assert {
        "files.arrow",
        "sentences.arrow",
        "journal.json",
        "mlflow.db",
        "snakemake.log",
        ".log",
        "live.json",
    } <= kinds
    shown = {run["run_name"] for run in json.loads((checkout.folder / "live.json").read_text()).values()}
    assert {"index_inputs/ours", "split_reports/ours"} <= shown  # live logging did speak
    assert any(".snakemake" in path.parts for path in searched)
    assert any(needle in path.read_bytes() for path in private for needle in needles)  # the search does find


@pytest.mark.slow
def test_the_private_folder_is_private(keyed_run):
    private = keyed_run[0].folder / "runs" / "demo" / "private"
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in private.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert {"identifiers.key", "ours.csv", "ours_files.arrow", "ours_reports.arrow"} <= set(modes)


@pytest.mark.slow
def test_every_file_and_report_is_still_accounted_for(keyed_run):
    checkout, files = keyed_run
    results = checkout.folder / "runs" / "demo" / "results"
    index = read_table(results / "index_inputs" / "ours" / "files.arrow", FILES)
    reports = read_table(results / "index_inputs" / "ours" / "reports.arrow", REPORTS)
    assert len(index) == files == index["path"].null_count
    assert len(reports) == reports["text"].null_count == reports["path"].null_count == files
    rejects = read_table(results / "dicom_to_arrow" / "ours" / "rejects.arrow", REJECTS).to_pylist()
    found = sorted(row["reason"] for row in rejects)
    assert {"decoder_died", "unexpected_error", "wrong_view", "file_missing"} <= set(found)
    assert len(rejects) == files - PATIENTS, found
    sentences = read_table(results / "split_reports" / "ours" / "sentences.arrow", SENTENCES)
    assert len(set(sentences["study_id"].to_pylist())) == files
    assert "No pleural effusion." in sentences["text"].to_pylist()
