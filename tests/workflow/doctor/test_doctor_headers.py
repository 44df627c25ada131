"""DICOM files without Modality are told of before a run rejects them all."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from written_dicom import make_dataset

from stages.config import check
from stages.configuration import Config
from workflow.doctor import headers
from workflow.doctor.headers import check_headers
from workflow.doctor.indexes import Indexes
from workflow.doctor.inputs import check_datasets

ROOT = Path(__file__).parents[3]
BARE = {"Modality": None, "SOPClassUID": None}
Make = Callable[..., Config]


def dicom(**elements: object) -> bytes:
    """A file; without SOPClassUID as some de-identification leaves it, so that the meta group names none either."""
    buffer = BytesIO()
    make_dataset(np.arange(48, dtype=np.uint16).reshape(6, 8), **elements).save_as(buffer, enforce_file_format=False)
    return buffer.getvalue()


@pytest.fixture
def ours(tmp_path: Path) -> Make:
    """`ours(files, **dicom_to_arrow)`: a data set of the files, by name."""

    def make(files: dict[str, bytes], **dicom_to_arrow: object) -> Config:
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        names = list(files)
        pl.DataFrame({"file": names, "who": names, "text": ["No."] * len(names)}).write_csv(tmp_path / "t.csv")
        raw = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"workspace": str(tmp_path / "runs")}
        index = {"layout": "folder", "table": "t.csv", "columns": {"image": "file", "patient": "who", "report": "text"}}
        raw["datasets"]["ours"] = {"root": str(tmp_path), "dicom_to_arrow": dicom_to_arrow, "index_inputs": index}
        return check(raw | {"pretrain_on": "ours", "evaluate_on": []})

    return make


def test_files_without_modality_are_told_with_the_key_that_accepts_them(ours: Make) -> None:
    config = ours({f"{number}.dcm": dicom(**BARE) for number in range(12)})
    (finding,) = check_headers(config, "ours", Indexes(config))
    assert finding.status == "warning"
    assert finding.what.startswith("no Modality and no SOP class in the headers of 5 of 12 DICOM files; dicom_to_arrow")
    assert finding.remedy.endswith("set datasets.ours.dicom_to_arrow.modality_missing: accept")
    assert finding in list(check_datasets(config, Indexes(config)))
    config = ours({"0.dcm": dicom(Modality=None)})
    (finding,) = check_headers(config, "ours", Indexes(config))
    assert finding.what.startswith("no Modality in the headers of 1 of 1 DICOM files")


@pytest.mark.parametrize(
    ("files", "settings"),
    [
        ({"a.dcm": dicom(**BARE), "b.dcm": dicom()}, {}),
        ({"a.dcm": dicom(**BARE)}, {"modality_missing": "accept"}),
        ({"a.dcm": dicom(**BARE)}, {"modalities": []}),
        ({"a.png": b"\x89PNG"}, {}),
        ({"a": b"\x89PNG", "b.dcm": b"", "c.dcm": b"\x08\0" + b"\xff" * 500}, {}),
    ],
    ids=["one has it", "accepted", "any modality", "raster", "no or damaged DICOM"],
)
def test_nothing_is_said_where_nothing_is_known_to_be_rejected(ours: Make, files: dict, settings: dict) -> None:
    config = ours(files, **settings)
    assert check_headers(config, "ours", Indexes(config)) == []


def test_without_pydicom_it_is_not_checked(ours: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(headers, "import_module", lacking)
    config = ours({"a.dcm": dicom(**BARE)})
    (finding,) = check_headers(config, "ours", Indexes(config))
    assert (finding.status, "lacks pydicom" in finding.what) == ("not checked", True)
