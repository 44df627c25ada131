"""The image of a file, whichever kind it is: what dicom_to_arrow stores and what the exported model is given."""

from stages.dicom_to_arrow.dicom_file import is_dicom, read_dicom
from stages.dicom_to_arrow.radiograph import Radiograph
from stages.dicom_to_arrow.raster_file import is_raster, read_raster
from stages.dicom_to_arrow.rejection import RejectionError
from stages.dicom_to_arrow.settings import DicomToArrowSettings


def read_radiograph(data: bytes, index_view: str | None, settings: DicomToArrowSettings) -> Radiograph:
    """The image of a file by its content, whatever its name. Raises RejectionError."""
    if is_raster(data):
        return read_raster(data, index_view, settings)
    if is_dicom(data):
        return read_dicom(data, index_view, settings)
    raise RejectionError("not_an_image", "neither DICOM nor JPEG nor PNG")
