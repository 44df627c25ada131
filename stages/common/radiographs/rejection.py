"""Reasons why a file does not become an image: one exception with a code, which costs one row of `rejects`."""

REASONS = {
    # the file itself
    "file_missing": "the index names a file that is not there",
    "path_outside_root": "the path is absolute, has '..', or a link leads out of the data set's root and `roots`",
    "not_a_regular_file": "a folder, pipe, socket or device",
    "unreadable_file": "the operating system refuses to read it",
    "too_large": "more bytes or pixels than the settings allow",
    "too_small": "fewer rows or columns than the settings' min_side",
    "checksum_mismatch": "the file's sha256 is not the one that the distribution published",
    "not_an_image": "neither DICOM nor JPEG nor PNG",
    "unreadable_header": "a DICOM file whose elements cannot be parsed",
    "truncated_header": "the file ends within its DICOM header",
    # the selection
    "wrong_modality": "Modality is not among the settings' modalities",
    "wrong_sop_class": "SOPClassUID is not among the settings' sop_classes",
    "wrong_view": "the view is not among the settings' views",
    "unknown_view": "neither the index nor the header names a view",
    "wrong_body_part": "BodyPartExamined is not among the settings' body parts",
    "burned_in": "the header says that the pixels hold identifying text or a recognisable face",
    "multi_frame": "more than one frame",
    # the header compared with the pixel data
    "missing_element": "an element is absent without which the pixels cannot be read",
    "invalid_element": "an element has a value that the standard does not allow",
    "photometric_unsupported": "PhotometricInterpretation is unknown or does not fit SamplesPerPixel",
    "transfer_syntax_unsupported": "no decoder for the transfer syntax, or it contradicts the pixel data",
    "no_pixel_data": "no PixelData, or empty",
    "size_mismatch": "native pixel data longer or shorter than rows x columns x samples x bits",
    "bits_inconsistent": "BitsAllocated, BitsStored, HighBit and the values contradict each other",
    "codestream_mismatch": "the compressed image has another size than Rows x Columns x SamplesPerPixel",
    "truncated_frame": "the compressed image has no end marker",
    "decode_failed": "the decoder gave up, or warns of damage",
    "decoder_died": "the process that decoded the file aborted or crashed",
    "too_slow": "decoding took more processor time than the settings allow",
    "out_of_memory": "decoding would take more memory than the settings allow",
    # from values to grey
    "rescale_slope_zero": "RescaleSlope is 0",
    "lookup_table_invalid": "a modality or VOI lookup table contradicts its descriptor",
    "constant_image": "one value everywhere, before or after the window",
    # unforeseen
    "unexpected_error": "an error in this stage; please report it",
}


class RejectionError(Exception):
    """A file that cannot become an image. The message is one line without any text copied from the file.

    It may hold numbers and terms of the standard's own lists, but no free text, since any element can hold a name.
    """

    def __init__(self, reason: str, message: str) -> None:
        if reason not in REASONS:
            raise ValueError(f"reason {reason!r} is not in REASONS")
        super().__init__(message)
        self.reason = reason
