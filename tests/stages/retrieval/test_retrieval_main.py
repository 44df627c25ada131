"""The stage from files to a result, with an encoder whose weights are random."""

from pathlib import Path

import numpy as np
import pytest
import torch
from one_shard_store import write_manifest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from stages.common.command_line import run_stage
from stages.common.data.image_store import ImageStore
from stages.common.encoders.dual import DualEncoder, checkpoint_record, load_checkpoint, save_checkpoint
from stages.common.encoders.settings import DualEncoderSettings
from stages.common.files import schemas
from stages.common.files.arrow_tables import read_table, write_rows
from stages.common.files.atomic_files import read_json, verify
from stages.retrieval.__main__ import WORK
from stages.retrieval.embedded_pairs import embed_pairs, read_test_pairs

SIZE = 16
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{number}" for number in range(8))]
SMALL = DualEncoderSettings.model_validate(
    {
        "image": {"architecture": "custom", "input_size": SIZE, "patch_size": 4, "width": 16, "depth": 1, "heads": 2},
        "text": {"weights": None, "width": 16, "depth": 1, "heads": 2, "dropout": 0},
        "embedding_width": 8,
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """12 studies of 2 images; the last 8 are test, and of these the first two have one text."""
    folder = tmp_path_factory.mktemp("retrieval")
    noise = np.random.default_rng(0)
    ids = [(f"i{study}{image}", f"s{study:02d}", f"p{study // 2}") for study in range(12) for image in range(2)]
    images = [
        {"image_id": image, "study_id": study, "patient_id": patient, "dataset": "set", "view": None,
         "pixels": noise.integers(0, 256, (SIZE, SIZE)).astype(np.uint8).tobytes(),
         "content_box": [0, 0, SIZE, SIZE], "original_rows": SIZE, "original_columns": SIZE, "row_spacing": None,
         "column_spacing": None, "photometric": "MONOCHROME2", "window": "minmax",
         "picture_sha256": None, "sex": None, "age": None, "pixels_sha256": image,
         "instance_uid": None}
        for image, study, patient in ids
    ]  # fmt: skip
    write_rows(folder / "0.arrow", schemas.images(SIZE), images)
    write_manifest(folder, "set", SIZE, [len(images)])
    parts = ["train" if study < "s04" else "test" for _, study, _ in ids]
    pairs = [dict(zip(schemas.PAIRS.names, (*row, part), strict=True)) for row, part in zip(ids, parts, strict=True)]
    write_rows(folder / "pairs.arrow", schemas.PAIRS, pairs)
    write_rows(folder / "trained.arrow", schemas.PAIRS, [pair for pair in pairs if pair["split"] == "train"])
    sentences = [
        {"study_id": f"s{study:02d}", "section": "findings", "position": 0, "start": 0, "end": 5,
         "text": f"word{word}", "token_ids": [5 + word]}
        for study in range(12) for word in [max(0, study - 5)]
    ]  # fmt: skip
    write_rows(folder / "sentences.arrow", schemas.SENTENCES, sentences)
    (folder / "tokenizer").mkdir()
    Tokenizer(WordPiece({word: rank for rank, word in enumerate(WORDS)}, unk_token="[UNK]")).save(
        str(folder / "tokenizer" / "tokenizer.json")
    )
    torch.manual_seed(0)
    model = DualEncoder(SMALL, len(WORDS))
    save_checkpoint(folder / "checkpoint", model.state_dict(), checkpoint_record(model), folder / "tokenizer")
    return folder


def retrieve(folder: Path, output: Path, pairs: str = "pairs.arrow", *more: str) -> dict:
    arguments = [
        *("--checkpoint", str(folder / "checkpoint"), "--pairs", str(folder / pairs), "--device", "cpu"),
        *("--sentences", str(folder / "sentences.arrow"), "--images", str(folder / "manifest.json")),
        *(
            "--result",
            str(output / "result.json"),
            "--ranks",
            str(output / "ranks.arrow"),
            "--journal",
            str(output / "journal.json"),
        ),
        *("--class-precision", str(output / "class_precision.arrow")),
        *("--settings", "{draws: 50, batch_size: 3, precision_at: [1, 5, 9]}"),
        *more,
    ]
    run_stage(WORK, arguments)
    verify(output / "result.json")
    return read_json(output / "result.json")


def test_the_test_part_is_ranked_in_both_directions(folder, tmp_path) -> None:
    found = retrieve(folder, tmp_path)
    result = found["figures"]
    assert (result["images"], result["reports"], result["patients"], result["distinct_texts"]) == (16, 8, 4, 7)
    assert (found["skipped"], result["sentences_left_out"]) == (None, 0)
    recall = result["image_to_report"]["recall"]
    assert list(recall) == ["1", "5", "10"]
    assert recall["10"]["value"] == recall["10"]["chance"] == 1  # eight reports
    journal = read_json(tmp_path / "journal.json")
    logged = {each["key"]: each["value"] for each in journal["metrics"]}
    assert logged["test/image_to_report/recall_at_1"] == recall["1"]["value"]
    assert journal["status"] == "FINISHED"


def test_batches_do_not_change_an_embedding_and_texts_are_numbered(folder) -> None:
    checkpoint = load_checkpoint(folder / "checkpoint", torch.device("cpu"))
    reports = read_test_pairs(folder / "pairs.arrow", folder / "sentences.arrow", checkpoint.model)
    small, large = (embed_pairs(checkpoint, reports, ImageStore(folder / "manifest.json"), size) for size in (3, 99))
    np.testing.assert_allclose(small.images.embeddings, large.images.embeddings, atol=1e-6)
    np.testing.assert_allclose(small.reports.embeddings, large.reports.embeddings, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(large.images.embeddings, axis=1), 1, atol=1e-6)
    assert large.reports.texts.tolist() == [0, 0, 1, 2, 3, 4, 5, 6]
    assert large.images.texts.tolist() == np.repeat(large.reports.texts, 2).tolist()


def test_a_test_part_without_pairs_is_a_result_that_says_so(folder, tmp_path) -> None:
    result = retrieve(folder, tmp_path, "trained.arrow")
    assert result == {
        "split": "test",
        "skipped": "no pair is in the test part; raise `patient_split.test`",
        "figures": None,
        "by_class": None,
        "by_class_skipped": None,
    }


def write_labels(path: Path, classes: dict[str, tuple[int, int]]) -> list[str]:
    """Labels of edema and mass of the images of some studies; returns the option that names the file."""
    rows = [
        {"image_id": f"i{int(study[1:])}{image}", "patient_id": None, "finding": finding, "target": target, "boxes": [],
         "mask": None, "lung_mask": None, "sex": None, "age": None, "view": None, "split": "test", "subset": 100}
        for study, targets in classes.items()
        for image in range(2)
        for finding, target in zip(("edema", "mass"), targets, strict=True)
    ]  # fmt: skip
    write_rows(path, schemas.LABELS, rows)
    return ["--labels", str(path)]


def test_by_class_every_report_of_the_finding_is_a_hit(folder, tmp_path) -> None:
    """Of the eight test studies three have edema, three a mass, one both, and one is not labelled."""
    classes = {"s04": (1, 0), "s05": (0, 1), "s06": (1, 0), "s07": (0, 1), "s08": (1, 0), "s09": (0, 1), "s10": (1, 1)}
    found = retrieve(folder, tmp_path, "pairs.arrow", *write_labels(tmp_path / "labels.arrow", classes))["by_class"]
    assert found["classes"] == {name: {"images": 6, "reports": 3} for name in ("edema", "mass")}
    assert found["studies_left_out"] == 2
    checkpoint = load_checkpoint(folder / "checkpoint", torch.device("cpu"))
    studies = read_test_pairs(folder / "pairs.arrow", folder / "sentences.arrow", checkpoint.model)
    pairs = embed_pairs(checkpoint, studies, ImageStore(folder / "manifest.json"), 3)
    own = np.array([0, 1, 0, 1, 0, 1])
    scores = pairs.images.embeddings[:12] @ pairs.reports.embeddings[:6].T
    assert pairs.reports.texts[:2].tolist() == [0, 0], "two reports are one text, of different classes: a tie"
    first = [np.isclose(row, row.max()) for row in scores]
    hits = [(own[row] == number).mean() for row, number in zip(first, np.repeat(own, 2), strict=True)]
    assert list(found["image_to_report"]["mean"]) == ["1", "5"], "six reports: nine are none"
    assert found["image_to_report"]["mean"]["1"]["value"] == pytest.approx(np.mean(hits))
    assert found["image_to_report"]["classes"]["edema"]["5"]["chance"] == 0.5
    assert list(found["report_to_image"]["mean"]) == ["1", "5", "9"]
    rows = read_table(tmp_path / "class_precision.arrow", schemas.CLASS_PRECISION).to_pylist()
    assert len(rows) == 12 * 2 + 6 * 3
    edema = [row["precision"] for row in rows if (row["direction"], row["class"], row["k"]) ==
             ("report_to_image", "edema", 9)]  # fmt: skip
    assert found["report_to_image"]["classes"]["edema"]["9"]["value"] == pytest.approx(np.mean(edema))


def test_by_class_one_class_is_told_as_too_few(folder, tmp_path) -> None:
    labels = write_labels(tmp_path / "labels.arrow", {"s04": (1, 0), "s05": (0, 0)})
    found = retrieve(folder, tmp_path, "pairs.arrow", *labels)
    assert (found["by_class"], found["by_class_skipped"]) == (None, "fewer than two classes have test pairs")
