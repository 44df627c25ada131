"""The three layouts read as their users read them: polars, pydicom, and decoders of their own."""

import gzip
import hashlib
from collections import Counter

import numpy as np
import polars as pl
import pydicom
import pydicom.config
import pytest
from pydicom.pixels import apply_voi_lut
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from stages.common.data import run_lengths
from stages.common.files.atomic_files import read_json
from stages.make_phantom.dicom_files import Identity, Storage, uid_of, uncompressed_dicom
from stages.make_phantom.patients import draw_image, sample_study


def _truth(root, dataset):
    return {image["image_id"]: image for image in read_json(root / "truth" / f"{dataset}.json")["images"]}


def _siim_mask(runs: str, rows: int, columns: int) -> np.ndarray:
    """Absolute starts by cumulative sums, filled in column-major order."""
    numbers = np.array(runs.split(), int).reshape(-1, 2)
    ends = numbers.sum(axis=1).cumsum()
    flat = np.zeros(rows * columns, bool)
    for end, length in zip(ends, numbers[:, 1], strict=True):
        flat[end - length : end] = True
    return flat.reshape(columns, rows).T


def _row_major(text: str, image: dict) -> np.ndarray:
    return run_lengths.decode([int(number) for number in text.split()], image["rows"], image["columns"])


# MIMIC-CXR


def test_mimic_lists_name_the_tree(small_phantom):
    root = small_phantom[0] / "mimic_cxr"
    records = pl.read_csv(gzip.decompress((root / "cxr-record-list.csv.gz").read_bytes()))
    studies = pl.read_csv(gzip.decompress((root / "cxr-study-list.csv.gz").read_bytes()))
    assert records.columns == ["subject_id", "study_id", "dicom_id", "path"]
    assert studies.columns == ["subject_id", "study_id", "path"]
    for subject, study, dicom, path in records.iter_rows():
        assert path == f"files/p{str(subject)[:2]}/p{subject}/s{study}/{dicom}.dcm"
        assert 10_000_000 <= subject < 20_000_000
        assert 50_000_000 <= study < 60_000_000
    for subject, study, path in studies.iter_rows():
        assert path == f"files/p{str(subject)[:2]}/p{subject}/s{study}.txt"
        assert (root / path).read_text().lstrip().startswith("FINAL REPORT")
    assert studies["study_id"].is_unique().all()
    assert records["dicom_id"].is_unique().all()


def test_bad_inputs_are_planted_as_the_truth_says(small_phantom):
    root = small_phantom[0] / "mimic_cxr"
    bad = read_json(small_phantom[0] / "truth" / "mimic_cxr.json")["bad_inputs"]
    listed = pl.read_csv(gzip.decompress((root / "cxr-record-list.csv.gz").read_bytes()))
    studies = pl.read_csv(gzip.decompress((root / "cxr-study-list.csv.gz").read_bytes()))
    assert Counter(entry["reason"] for entry in bad) == dict.fromkeys(
        ("not_an_image", "file_missing", "report_without_image", "image_without_report"), 2
    )
    missing = [path for path in listed["path"] if not (root / path).exists()]
    assert sorted(missing) == sorted(entry["path"] for entry in bad if entry["reason"] == "file_missing")
    for path in listed["path"]:
        expected = any(entry["path"] == path and entry["reason"] == "not_an_image" for entry in bad)
        if path not in missing:
            assert pydicom.misc.is_dicom(root / path) != expected
    without_image = set(studies["study_id"]) - set(listed["study_id"])
    assert without_image == {int(e["source_id"]) for e in bad if e["reason"] == "report_without_image"}
    without_report = listed.filter(~pl.col("study_id").is_in(studies["study_id"].to_list()))
    assert set(without_report["dicom_id"]) == {e["source_id"] for e in bad if e["reason"] == "image_without_report"}
    assert not any((root / path).parent.with_suffix(".txt").exists() for path in without_report["path"])


def test_checksums_cover_the_tree(small_phantom):
    root = small_phantom[0] / "mimic_cxr"
    sums = dict(line.split()[::-1] for line in (root / "SHA256SUMS.txt").read_text().splitlines())
    on_disk = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} - {"SHA256SUMS.txt"}
    assert on_disk < set(sums)
    assert all(hashlib.sha256((root / path).read_bytes()).hexdigest() == sums[path] for path in on_disk)
    assert len(set(sums) - on_disk) == 2  # the planted missing files


def test_mimic_dicom_geometry_and_photometric(small_phantom):
    root = small_phantom[0] / "mimic_cxr"
    truth = _truth(small_phantom[0], "mimic_cxr")
    seen = Counter()
    for path in sorted(root.rglob("*.dcm")):
        if not pydicom.misc.is_dicom(path):
            continue
        dataset = pydicom.dcmread(path)
        image = truth[path.stem]
        assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert (dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit) == (16, 12, 11)
        assert dataset.pixel_array.shape == (dataset.Rows, dataset.Columns) == (image["rows"], image["columns"])
        assert int(dataset.pixel_array.max()) < 4096
        assert 256 <= max(dataset.Rows, dataset.Columns) <= 288
        assert dataset.PatientID == image["patient_id"] == path.parts[-3][1:]
        assert dataset.StudyID == image["study_id"] == path.parts[-2][1:]
        assert dataset.ViewPosition == image["view"]
        assert dataset.SOPInstanceUID.is_valid
        assert dataset.StudyInstanceUID.is_valid
        assert 0.5 < float(dataset.ImagerPixelSpacing[0]) < 2.5  # mm
        seen.update([dataset.ViewPosition, dataset.PhotometricInterpretation])
        seen.update(["lut"] if "VOILUTSequence" in dataset else [])
        seen.update(["square" if dataset.Rows == dataset.Columns else "oblong"])
    assert {"PA", "AP", "LATERAL", "MONOCHROME1", "MONOCHROME2", "lut", "square", "oblong"} <= set(seen)


@pytest.mark.parametrize("voi", ["window", "windows", "lut", "none"])
def test_display_comes_back_from_both_photometric_interpretations(small_settings, voi, tmp_path):
    """The display pipeline of the standard, step by step, recovers the drawing."""
    study = sample_study(small_settings, "mimic_cxr", 0, 0)
    drawn = draw_image(small_settings, study, 0, 128, 110).radiograph.display
    identity = Identity(uid_of("a"), uid_of("b"), uid_of("c"), "1", "050Y", "F", "21800101", "PA", 1.4)
    shown = {}
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        content = uncompressed_dicom(drawn, identity, Storage(photometric, voi, 200, 3300, 1.0, True))
        (tmp_path / "x.dcm").write_bytes(content)
        dataset = pydicom.dcmread(tmp_path / "x.dcm")
        values = apply_voi_lut(dataset.pixel_array, dataset).astype(float)
        grey = (values - values.min()) / (values.max() - values.min())
        shown[photometric] = 1 - grey if photometric == "MONOCHROME1" else grey
    np.testing.assert_allclose(shown["MONOCHROME1"], shown["MONOCHROME2"], atol=2e-3)
    expected = (drawn - drawn.min()) / (drawn.max() - drawn.min())
    np.testing.assert_allclose(shown["MONOCHROME2"], expected, atol=0.06 if voi == "lut" else 2e-3)


def test_two_studies_have_two_frontal_images_of_the_same_findings(small_phantom):
    images = [i for i in _truth(small_phantom[0], "mimic_cxr").values() if i["view"] != "LATERAL"]
    per_study = Counter(image["study_id"] for image in images)
    twice = [study for study, count in per_study.items() if count == 2]
    assert len(twice) == 2
    for study in twice:
        first, second = [image for image in images if image["study_id"] == study]
        names = [[(f["finding"], f["side"], f["zone"], f["size"]) for f in i["findings"]] for i in (first, second)]
        assert names[0] == names[1]
        assert first["lung_mask"] != second["lung_mask"]


# RSNA


def test_rsna_tables_as_polars_reads_them(small_phantom):
    root = small_phantom[0] / "rsna"
    truth = _truth(small_phantom[0], "rsna")
    labels = pl.read_csv(root / "stage_2_train_labels.csv")
    assert labels.columns == ["patientId", "x", "y", "width", "height", "Target"]
    assert set(labels["patientId"]) == set(truth) == {p.stem for p in (root / "stage_2_train_images").glob("*.dcm")}
    for image_id, image in truth.items():
        rows = labels.filter(pl.col("patientId") == image_id)
        boxes = [f["box"] for f in image["findings"] if f["finding"] == "lung_opacity"]
        assert rows["Target"].to_list() == ([1] * len(boxes) or [0])
        found = rows.select("x", "y", "width", "height").rows()
        assert found == ([tuple(map(float, box)) for box in boxes] or [(None,) * 4])
    assert labels.group_by("patientId").len()["len"].max() > 1


def test_rsna_classes_follow_the_findings(small_phantom):
    root = small_phantom[0] / "rsna"
    truth = _truth(small_phantom[0], "rsna")
    classes = pl.read_csv(root / "stage_2_detailed_class_info.csv")
    labels = pl.read_csv(root / "stage_2_train_labels.csv")
    assert classes["patientId"].to_list() == labels["patientId"].to_list()  # a row a box
    for image_id, name in classes.unique().iter_rows():
        found = {f["finding"] for f in truth[image_id]["findings"]} - {"support_device"}
        expected = "Lung Opacity" if "lung_opacity" in found else "No Lung Opacity / Not Normal" if found else "Normal"
        assert name == expected
    assert classes["class"].n_unique() == 3


@pytest.mark.parametrize("dataset", ["rsna", "siim"])
def test_jpeg_files_have_the_header_of_the_distribution(small_phantom, dataset):
    root = small_phantom[0] / dataset
    truth = _truth(small_phantom[0], dataset)
    with pydicom.config.disable_value_validation():  # ages as "62" are no valid AS, as distributed
        for path in sorted(root.rglob("*.dcm")):
            file = pydicom.dcmread(path)
            assert file.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
            assert file.PhotometricInterpretation == "MONOCHROME2"
            assert (file.BitsAllocated, file.BitsStored, file.SamplesPerPixel) == (8, 8, 1)
            assert file.pixel_array.shape == (256, 256)
            assert 19 <= int(file.PatientAge) < 92
            assert file.ViewPosition == truth[path.stem]["view"]
            assert str(file.SOPInstanceUID).startswith("2.25.")
            assert file.SOPInstanceUID.is_valid
            if dataset == "siim":
                assert path.parts[-3:] == (file.StudyInstanceUID, file.SeriesInstanceUID, f"{file.SOPInstanceUID}.dcm")
            else:
                assert file.PatientID == path.stem


@pytest.mark.real_data
def test_rsna_header_has_the_elements_of_a_real_file(small_phantom, test_data):
    real = pydicom.dcmread(next(iter(sorted((test_data / "rsna_sample").rglob("*.dcm")))), stop_before_pixels=True)
    ours = pydicom.dcmread(next(iter(sorted((small_phantom[0] / "rsna").rglob("*.dcm")))), stop_before_pixels=True)
    assert {element.keyword for element in real} == {element.keyword for element in ours}
    assert real.file_meta.TransferSyntaxUID == ours.file_meta.TransferSyntaxUID


# SIIM


def test_siim_runs_decode_to_the_true_masks(small_phantom):
    root = small_phantom[0] / "siim"
    truth = _truth(small_phantom[0], "siim")
    table = pl.read_csv(root / "train-rle.csv")
    assert table.columns == ["ImageId", " EncodedPixels"]
    assert set(table["ImageId"]) == set(truth)
    for image_id, image in truth.items():
        runs = table.filter(pl.col("ImageId") == image_id)[" EncodedPixels"].to_list()
        regions = [f for f in image["findings"] if f["finding"] == "pneumothorax"]
        if not regions:
            assert runs == [" -1"]
            continue
        assert len(runs) == len(regions)
        for text, region in zip(runs, regions, strict=True):
            mask = _siim_mask(text, image["rows"], image["columns"])
            np.testing.assert_array_equal(mask, _row_major(region["mask"], image))
            x, y, width, height = region["box"]
            assert mask[y : y + height, x : x + width].sum() == mask.sum() > 0


def test_some_siim_images_have_several_rows(small_settings):
    several = [
        study
        for patient in range(200)
        for study in [sample_study(small_settings, "siim", patient, 0)]
        if sum(item.finding == "pneumothorax" for item in study.findings) > 1
    ]
    assert several
    assert all({i.side for i in s.findings if i.finding == "pneumothorax"} == {"right", "left"} for s in several)


@pytest.mark.parametrize("dataset", ["rsna", "siim"])
def test_lung_masks_and_patients_agree_with_the_truth(small_phantom, dataset):
    root = small_phantom[0] / dataset
    truth = _truth(small_phantom[0], dataset)
    masks = pl.read_csv(root / "lung_masks.csv")
    patients = dict(pl.read_csv(root / "patients.csv").iter_rows())
    assert masks.columns == ["ImageId", "EncodedPixels"]
    assert patients == {image_id: image["patient_id"] for image_id, image in truth.items()}
    for image_id, runs in masks.iter_rows():
        image = truth[image_id]
        mask = _siim_mask(runs, image["rows"], image["columns"])
        np.testing.assert_array_equal(mask, _row_major(image["lung_mask"], image))
        assert 0.08 < mask.mean() < 0.5
