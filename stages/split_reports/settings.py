"""Settings of split_reports: which sections are kept, and where the word pieces come from."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from stages.common.patient_split import PatientSplit
from stages.common.settings import Settings
from stages.split_reports.sections import SECTIONS


class TokenizerSettings(Settings):
    """Either the word pieces of a pre-trained encoder (`weights`) or a vocabulary trained on the training reports."""

    weights: str | None = Field(
        "emilyalsentzer/Bio_ClinicalBERT",
        description="local folder, or hub id in the local hub cache, with tokenizer.json or vocab.txt; null: train",
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
    sections_fallback: Literal["whole_report", "reject"] = Field(
        "whole_report", description="a report without a header of `sections`: keep all of its text, or reject it"
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
