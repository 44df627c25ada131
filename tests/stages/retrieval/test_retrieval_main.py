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
from stages.common.files.arrow_tables import write_rows
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
         "picture_sha256": None, "pixels_sha256": image,
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


def retrieve(folder: Path, output: Path, pairs: str = "pairs.arrow") -> dict:
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
        *("--settings", "{draws: 50, batch_size: 3}"),
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
    }
