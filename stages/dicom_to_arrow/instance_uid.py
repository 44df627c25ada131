"""SOPInstanceUID (0008,0018), by which copies of one image are found; it identifies, so it may be carried keyed."""

import re
from io import BytesIO

from pydicom.filereader import read_partial
from pydicom.tag import Tag

from stages.common.identifiers import keyed
from stages.dicom_to_arrow.elements import text

_SOP_INSTANCE_UID = Tag("SOPInstanceUID")


def read_instance_uid(data: bytes, key: bytes | None) -> str | None:
    """The UID of a DICOM file that was read before; keyed where there is a `key`; None where it is no UID.

    Parsing ends behind the element: it is among the first of the data set, whose elements are sorted (PS3.5 7.1).
    """
    dataset = read_partial(BytesIO(data), stop_when=lambda tag, _vr, _length: tag > _SOP_INSTANCE_UID, force=True)
    uid = text(dataset, "SOPInstanceUID")
    if not re.fullmatch(r"[0-9.]{1,64}", uid):  # PS3.5 9.1; anything else may be a name in the wrong place
        return None
    return keyed(uid, "instance", key) if key else uid
