"""Settings of split_reports: which sections are kept, and where the word pieces come from."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from ..common.contract import Job, option, product, source
from ..common.data.patient_split import PatientSplit
from ..common.settings import Settings
from .sections import SECTIONS, Fallback


class TokenizerSettings(Settings):
    """Either the word pieces of a pre-trained encoder (`weights`) or a vocabulary trained on the training reports."""

    weights: str | None = Field(
        "emilyalsentzer/Bio_ClinicalBERT",
        description="hub id or folder with tokenizer.json or vocab.txt, the same as the text encoder's; null: train",
    )
    vocabulary_size: int | None = Field(
        None, ge=300, le=100_000, description="word pieces at most, special tokens included; null: `weights` has them"
    )
    do_lower_case: bool = Field(
        False, description="lower case (and no accents) before word pieces; Bio_ClinicalBERT is a cased checkpoint"
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> "TokenizerSettings":
        if (self.weights is None) == (self.vocabulary_size is None):
            raise ValueError("give exactly one of `weights` and `vocabulary_size`, and null for the other")
        return self


class SplitReportsSettings(Settings):
    sections: list[str] = Field(
        ["findings", "impression"],
        min_length=1,
        description="sections to keep, in this order; 'IMPRESSION AND FINDINGS' counts as the first one named here",
    )
    sections_fallback: Fallback = Field(
        "unheaded",
        description="a report without text under a header of `sections`: keep the paragraphs under no header"
        " (unheaded), keep all of its text (whole_report), or reject it",
    )
    max_pieces: int = Field(
        254,
        ge=1,
        le=510,
        description="word pieces; longer sentences are kept and counted as over-long (256 of the text encoder less"
        " [CLS] and [SEP])",
    )
    publish_samples: bool = Field(
        False, description="quality.json holds the text of its worst sentences; not for reports under a use agreement"
    )
    tokenizer: TokenizerSettings = TokenizerSettings()
    patient_split: PatientSplit = Field(
        PatientSplit(), description="a vocabulary is trained on reports of training patients alone"
    )

    @field_validator("sections")
    @classmethod
    def _sections_are_known(cls, names: list[str]) -> list[str]:
        unknown = sorted(set(names) - set(SECTIONS))
        if unknown:
            raise ValueError(f"unknown {', '.join(unknown)}; known are {', '.join(SECTIONS)}")
        if len(set(names)) < len(names):
            raise ValueError("a section is named twice")
        return names


@dataclass(frozen=True, kw_only=True)
class SplitReportsJob(Job):
    """Split reports into sections, sentences with character offsets, and word pieces.

    Every report ends in at least one sentence or in exactly one reject.
    """

    stage = "split_reports"
    place = "{dataset}"
    over = "pretraining dataset"

    settings: SplitReportsSettings
    root: Path = source(tracked=False, help="folder of the data set, as distributed")
    dataset: str = option("name of the data set in the rejects; empty: that of --name", default="")
    reports: Path = source("index_inputs", "reports.arrow")
    private: Path | None = source(
        optional=True, tracked=False, help="folder of the key; needed where identifiers are keyed"
    )
    tokenizer_weights: Path | None = source(optional=True, tracked=False, help="folder that tokenizer.weights names")
    sentences: Path = product("sentences.arrow", table="SENTENCES", summary=True)
    rejects: Path = product("rejects.arrow", table="REJECTS", summary=True)
    quality: Path = product("quality.json", summary=True, help="counts and the worst sentences")
    tokenizer: Path = product(
        "tokenizer", stands="tokenizer.json", help="folder that BertTokenizer.from_pretrained reads"
    )
