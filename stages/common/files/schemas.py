"""The data contracts between stages: one Arrow schema per table, each column with its unit or meaning.

Masks are run lengths: `[start, length, start, length, ...]` over the row-major pixels of the original image (rows x
columns), 0-based. Boxes are `[x, y, width, height]` in pixels of the original image.
"""

import pyarrow as pa

NULLABLE = True


def _column(name: str, kind: pa.DataType, meaning: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"meaning": meaning})


_IMAGE_ID = _column("image_id", pa.string(), "unique in its data set; for DICOM of MIMIC-CXR the dicom_id")
_STUDY_ID = _column("study_id", pa.string(), "one report a study")
_PATIENT_ID = _column("patient_id", pa.string(), "unit of all splits")
_PATIENT_ID_OR_NONE = _column("patient_id", pa.string(), "null: patients unknown, split by image", NULLABLE)
_DATASET = _column("dataset", pa.string(), "key of `datasets` in config.yaml")
_SPLIT = _column("split", pa.string(), "train | validation | test")
_IN_PRIVATE = "null if identifiers are keyed: see stages/common/data/identifiers.py"
_SEX = _column("sex", pa.string(), "of the patient: female | male | other; null: not stated", NULLABLE)
_AGE = _column("age", pa.float32(), "of the patient, years; 90 means 90 or more; null: not stated", NULLABLE)
_DISTRIBUTED_SPLIT = _column("distributed_split", pa.string(), "the distribution's own split", NULLABLE)

# Written by index_inputs: every image file that the distribution's index names.
FILES = pa.schema(
    [
        _IMAGE_ID,
        _STUDY_ID,
        _PATIENT_ID_OR_NONE,
        _DATASET,
        _column("path", pa.string(), f"relative to the data set's root, '/' between folders; {_IN_PRIVATE}", NULLABLE),
        _column("sha256", pa.string(), "sha256 of the file, hex, if the distribution publishes it", NULLABLE),
        _column("view", pa.string(), "ViewPosition as the index gives it", NULLABLE),
        _DISTRIBUTED_SPLIT,
        _column(
            "inverted",
            pa.bool_(),
            "whether the index says that a JPEG or PNG holds MONOCHROME1 pixels, of which 0 is white; null: unstated",
            NULLABLE,
        ),
        _SEX,
        _AGE,
        _column("shard", pa.int32(), "0-based; which dicom_to_arrow job converts it"),
    ]
)

# Written by index_inputs: every report. Exactly one of path and text is set, or neither where identifiers are keyed.
REPORTS = pa.schema(
    [
        _STUDY_ID,
        _PATIENT_ID,
        _DISTRIBUTED_SPLIT,
        _column("path", pa.string(), f"relative to the data set's root; {_IN_PRIVATE}", NULLABLE),
        _column("text", pa.string(), "the report, if the index itself holds it", NULLABLE),
    ]
)

# Every indexed file or report ends up either in the stage's output or in its rejects.
REJECTS = pa.schema(
    [
        _DATASET,
        _column("source_id", pa.string(), "image_id or study_id of what was rejected"),
        _column("reason", pa.string(), "code, snake_case"),
        _column("message", pa.string(), "one line; no value of an identifying element"),
    ]
)


# Written by dicom_to_arrow duplicates: images that share something with another one, of the same data set or of
# another.
DUPLICATES = pa.schema(
    [
        _column("kind", pa.string(), "instance | picture | pixels (if there is no digest of the picture)"),
        _column(
            "value",
            pa.string(),
            "instance_uid, picture_sha256 or pixels_sha256; rows with the same value are one group",
        ),
        _DATASET,
        _IMAGE_ID,
    ]
)


def images(size: int) -> pa.Schema:
    """Return the schema of dicom_to_arrow's shards: grey square images of `size` x `size` pixels."""
    return pa.schema(
        [
            _IMAGE_ID,
            _STUDY_ID,
            _PATIENT_ID_OR_NONE,
            _DATASET,
            _column("view", pa.string(), "PA | AP | ..., from the index, else from ViewPosition", NULLABLE),
            _SEX,
            _AGE,
            _column("pixels", pa.binary(size * size), f"uint8, {size} x {size}, row-major, 0 black, 255 white"),
            _column("content_box", pa.list_(pa.int32(), 4), "x y width height inside the square; outside is padding"),
            _column("original_rows", pa.int32(), "size in pixels of the original"),
            _column("original_columns", pa.int32(), "size in pixels of the original"),
            _column("row_spacing", pa.float32(), "mm", NULLABLE),
            _column("column_spacing", pa.float32(), "mm", NULLABLE),
            _column("photometric", pa.string(), "PhotometricInterpretation as stored"),
            _column("window", pa.string(), "mapping from values to grey: lut | window C/W FUNCTION | minmax | none"),
            _column("pixels_sha256", pa.string(), "sha256 of `pixels`: finds duplicates of one size"),
            _column(
                "picture_sha256",
                pa.string(),
                "sha256 of the original's grey levels, independent of `size`: finds duplicates; null: decoded "
                "at reduced size",
                NULLABLE,
            ),
            _column("instance_uid", pa.string(), "SOPInstanceUID, or its keyed hash: finds duplicates", NULLABLE),
        ],
        metadata={"size": str(size)},
    )


SENTENCES = pa.schema(
    [
        _STUDY_ID,
        _column("section", pa.string(), "findings | impression | ... as configured"),
        _column("position", pa.int32(), "0-based rank of the sentence in its report"),
        _column("start", pa.int32(), "character offset in the report, inclusive"),
        _column("end", pa.int32(), "character offset in the report, exclusive"),
        _column("text", pa.string(), "the report's characters start:end, blanks folded"),
        _column("token_ids", pa.list_(pa.int32()), "word pieces without [CLS] and [SEP]"),
    ]
)

PAIRS = pa.schema([_IMAGE_ID, _STUDY_ID, _PATIENT_ID, _SPLIT])

# One row per image and finding.
LABELS = pa.schema(
    [
        _IMAGE_ID,
        _PATIENT_ID_OR_NONE,
        _column("finding", pa.string(), "finding that `target` marks, e.g. lung_opacity"),
        _column("target", pa.int8(), "1 present, 0 absent"),
        _column("boxes", pa.list_(pa.list_(pa.float32(), 4)), "x y width height, original pixels; may be empty"),
        _column("mask", pa.list_(pa.int32()), "run lengths; null: no mask is distributed or none is present", NULLABLE),
        _column("lung_mask", pa.list_(pa.int32()), "run lengths; null: unknown", NULLABLE),
        _SPLIT,
        _column("subset", pa.int8(), "train rows: smallest of 1, 10, 100 (%) that holds the row; else 100"),
        _SEX,
        _AGE,
        _column("view", pa.string(), "PA | AP | ... of the image; null: not stated", NULLABLE),
    ]
)

# Written by label_images: the sentences that boxes are of; one row per image, finding and sentence.
PHRASES = pa.schema(
    [
        _IMAGE_ID,
        _PATIENT_ID_OR_NONE,
        _column("finding", pa.string(), "finding that the sentence is about"),
        _column("phrase", pa.string(), "the sentence, blanks folded; text of a report: never published"),
        _column("boxes", pa.list_(pa.list_(pa.float32(), 4)), "x y width height, original pixels; at least one"),
        _SPLIT,
    ]
)


def features(embedding_width: int, encoder_width: int) -> pa.Schema:
    """Return the schema of extract_features' output, read by zero-shot classification, linear probes and retrieval."""
    return pa.schema(
        [
            _IMAGE_ID,
            _column("embedding", pa.list_(pa.float32(), embedding_width), "W_v mean of patches, length 1"),
            _column("pooled", pa.list_(pa.float32(), encoder_width), "mean of patch tokens or [CLS], before W_v"),
        ]
    )


SCORES = pa.schema(
    [
        _IMAGE_ID,
        _PATIENT_ID_OR_NONE,
        _SPLIT,
        _column("finding", pa.string(), "finding that `target` marks"),
        _column("target", pa.int8(), "1 present, 0 absent"),
        _column("score", pa.float32(), "larger means present"),
    ]
)


# Written by multi_class_classification: every classified image, for paired tests between variants.
CLASS_SCORES = pa.schema(
    [
        _IMAGE_ID,
        _PATIENT_ID_OR_NONE,
        _column("true_class", pa.string(), "the image's only finding"),
        _column("predicted_class", pa.string(), "class of the largest score"),
        _column("scores", pa.list_(pa.float32()), "of each class, in the order of `classes` in result.json"),
    ]
)


# Written by retrieval: every query of both directions, for paired tests between variants
# (stages/common/metrics/retrieval.py).
RANKS = pa.schema(
    [
        _column("direction", pa.string(), "image_to_report | report_to_image"),
        _column("query_id", pa.string(), "image_id, or study_id of the report"),
        _PATIENT_ID,
        _column("above", pa.int32(), "candidates that score higher than the best hit"),
        _column("tied", pa.int32(), "candidates that score equally high and are not hits"),
        _column("hits", pa.int32(), "candidates that score equally high and are hits, including the best hit"),
    ]
)


# Written by retrieval: every query of one class, for paired tests between variants.
CLASS_PRECISION = pa.schema(
    [
        _column("direction", pa.string(), "image_to_report | report_to_image"),
        _column("query_id", pa.string(), "image_id, or study_id of the report"),
        _PATIENT_ID,
        _column("class", pa.string(), "the only finding of the query"),
        _column("k", pa.int32(), "number of candidates looked at"),
        _column("precision", pa.float64(), "share of the first k candidates that are of the query's class"),
    ]
)


# Written by phrase_grounding: every test positive under every prompt set, for paired tests between variants. In the set
# `phrases` an image has a row for each of its phrases, in the order of PHRASES.
GROUNDING_VALUES = pa.schema(
    [
        _IMAGE_ID,
        _PATIENT_ID_OR_NONE,
        _column("finding", pa.string(), "finding that the prompts name"),
        _column("prompt_set", pa.string(), "key of the prompt file's `sets`, or `phrases`"),
        _column(
            "pointer",
            pa.string(),
            "heatmap | heatmap_in_lung | random_in_lung | random_in_content | fixed_peak_of_training | word_prior | "
            "brightness | brightness_in_lung | random_encoders | random_encoders_in_lung | supervised_probe",
        ),
        _column("pointing", pa.float32(), "1 if the peak hits, else 0; for a random point the probability"),
        _column("contrast_to_noise", pa.float32(), "with its sign; null: not defined for this pointer", NULLABLE),
        _column("iou", pa.float32(), "at the threshold chosen on validation; null as above", NULLABLE),
        _column("mean_iou", pa.float32(), "mean of the IoU at .1 .2 .3 .4 .5; null as above", NULLABLE),
    ]
)


def samples(size: int) -> pa.Schema:
    """Return the schema of phrase_grounding's samples: radiographs that may be shown, with heatmap and true region.

    The table is empty unless `publish_samples` is set.
    """
    return pa.schema(
        [
            _IMAGE_ID,
            _column("finding", pa.string(), "finding that the prompts name"),
            _column("pixels", pa.binary(size * size), f"uint8, {size} x {size}, row-major"),
            _column("prompts", pa.list_(pa.string()), "what was asked; empty for phrases, which are text of reports"),
            _column("reading", pa.string(), "name of the heatmap's reading"),
            _column("heatmap", pa.list_(pa.float32(), size * size), "mean cosine with the prompts, row-major"),
            _column("content", pa.list_(pa.int32()), f"run lengths over {size} x {size}: inside the padding"),
            _column("region", pa.list_(pa.int32()), f"run lengths over {size} x {size}: the true finding"),
            _column("peak", pa.list_(pa.int32(), 2), "row and column of the heatmap's maximum"),
            _column("hit", pa.bool_(), "the peak lies in the region"),
        ],
        metadata={"size": str(size)},
    )


def judged_images(size: int) -> pa.Schema:
    """Return the schema of zero_shot_classification's samples: radiographs that may be shown, with the outcome.

    The table is empty unless `publish_samples` is set.
    """
    return pa.schema(
        [
            _IMAGE_ID,
            _column("finding", pa.string(), "finding that was looked for"),
            _column(
                "outcome", pa.string(), "true_positive | false_positive | false_negative | true_negative, at Youden's"
            ),
            _column("score", pa.float32(), "larger means present"),
            _column("pixels", pa.binary(size * size), f"uint8, {size} x {size}, row-major"),
        ],
        metadata={"size": str(size)},
    )


# Written by few_shot_segmentation: test images of one repetition, counted at the input size and the chosen threshold.
OVERLAPS = pa.schema(
    [
        _IMAGE_ID,
        _PATIENT_ID_OR_NONE,
        _column("truth", pa.int32(), "pixels of the finding; 0: absent"),
        _column("predicted", pa.int32(), "pixels of the prediction"),
        _column("both", pa.int32(), "pixels of both; Dice is 2 both / (truth + predicted), 1 where that is 0 / 0"),
    ]
)


def outlines(size: int) -> pa.Schema:
    """Return the schema of few_shot_segmentation's outlines: radiographs that may be shown, with both masks.

    The table is empty unless `publish_samples` is set.
    """
    return pa.schema(
        [
            _IMAGE_ID,
            _column("pixels", pa.binary(size * size), f"uint8, {size} x {size}, row-major"),
            _column("truth", pa.list_(pa.int32()), f"run lengths over {size} x {size}"),
            _column("predicted", pa.list_(pa.int32()), f"run lengths over {size} x {size}, of the first repetition"),
            _column("dice", pa.float32(), "of this image"),
        ],
        metadata={"size": str(size)},
    )
