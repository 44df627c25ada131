"""Pairs of images and tokenised reports, from which pre-training and checkpoint selection draw batches."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ..errors import InputError
from ..files.arrow_tables import read_table
from ..files.schemas import PAIRS, SENTENCES

Sentences = list[list[int]]  # word pieces of each sentence of one report, without special tokens


@dataclass(frozen=True)
class Study:
    """One report with the images of its examination."""

    study_id: str
    patient_id: str
    image_ids: list[str]
    sentences: Sentences  # word pieces, within the token budget
    texts: list[str]  # the same sentences as text
    sentences_left_out: int = 0  # sentences beyond the token budget


def read_pairs(pairs: Path, sentences: Path, split: str, max_tokens: int, max_sentences: int) -> list[Study]:
    """Read the studies of one part of the split, ordered by study_id.

    Raises:
        InputError: the part has no study, or a study has no sentence.
    """
    chosen = pl.DataFrame(read_table(pairs, PAIRS)).filter(pl.col("split") == split)
    if chosen.is_empty():
        raise InputError(f"{pairs}: the {split} part has no pair", remedy="raise its share in `patient_split`")
    grouped = chosen.sort("study_id", "image_id").group_by("study_id", "patient_id", maintain_order=True)
    spoken = pl.DataFrame(read_table(sentences, SENTENCES)).join(chosen, on="study_id", how="semi")
    reports = {
        study_id: rows
        for (study_id,), rows in spoken.sort("study_id", "position").group_by("study_id", maintain_order=True)
    }
    studies = []
    for (study_id, patient_id), rows in grouped:
        report = reports.get(study_id)
        if report is None or not all(map(len, report["token_ids"].to_list())):
            raise InputError(f"{sentences}: study {study_id} has no sentence, or one without word pieces", remedy="run "
                             "split_reports and pair_images_reports again, which leave such reports out")  # fmt: skip
        kept, dropped = fit_budget(report["token_ids"].to_list(), max_tokens, max_sentences)
        texts = report["text"].to_list()[: len(kept)]
        studies.append(Study(study_id, patient_id, rows["image_id"].to_list(), kept, texts, dropped))
    return studies


def fit_budget(sentences: Sentences, max_tokens: int, max_sentences: int) -> tuple[Sentences, int]:
    """Return the leading sentences that fit the budget ([CLS] and [SEP] counted), and the number left out.

    A first sentence longer than the whole budget is cut, so that no report ends up empty.
    """
    kept: Sentences = []
    room = max_tokens - 2
    for sentence in sentences[:max_sentences]:
        if len(sentence) > room:
            break
        kept.append(sentence)
        room -= len(sentence)
    if not kept:
        kept = [sentences[0][:room]]
    return kept, len(sentences) - len(kept)
