"""What split_reports reads and writes: which sections are kept, and where the word pieces come from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from ..common.contract import Job, option, product, source
from ..common.data.patient_split import PatientSplit
from ..common.records import Count, Record
from ..common.settings import Settings, UniqueList
from .sections import SECTIONS, Fallback


class TokenizerSettings(Settings):
    """Source of the word pieces: a pre-trained encoder (`weights`), or a vocabulary trained on the training reports."""

    weights: str | None = Field(
        "emilyalsentzer/Bio_ClinicalBERT",
        description="hub id or folder with tokenizer.json or vocab.txt, as for the text encoder; null: train "
        "a vocabulary",
    )
    vocabulary_size: int | None = Field(
        None, ge=300, le=100_000, description="maximum vocabulary size, including special tokens; null: use `weights`"
    )
    do_lower_case: bool = Field(
        False, description="lower-case and strip accents before splitting into word pieces; Bio_ClinicalBERT is cased"
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> "TokenizerSettings":
        if (self.weights is None) == (self.vocabulary_size is None):
            raise ValueError("give exactly one of `weights` and `vocabulary_size`, and null for the other")
        return self


class SplitReportsSettings(Settings):
    """Settings of the split."""

    sections: UniqueList[str] = Field(
        ["findings", "impression"],
        min_length=1,
        description="sections to keep, in this order; 'IMPRESSION AND FINDINGS' counts as the first one named here",
    )
    sections_fallback: Fallback = Field(
        "unheaded",
        description="for a report without text under a header of `sections`: keep the paragraphs under no header"
        " (unheaded), keep all of its text (whole_report), or reject it",
    )
    max_pieces: int = Field(
        254,
        ge=1,
        le=510,
        description="word pieces; longer sentences are kept and counted as over-long (text encoder's 256 minus"
        " [CLS] and [SEP])",
    )
    publish_samples: bool = Field(
        False,
        description="write the text of the worst sentences into quality.json; not for reports under a use agreement",
    )
    tokenizer: TokenizerSettings = TokenizerSettings()
    patient_split: PatientSplit = Field(
        PatientSplit(), description="split of the patients: a vocabulary is trained on training patients only"
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


class Bins(Record):
    """Histogram: counts[i] of edges[i] <= x < edges[i + 1]; the last bin is open."""

    edges: list[int] = Field(min_length=1)
    counts: list[Count]

    @model_validator(mode="after")
    def _has_a_count_a_bin(self) -> "Bins":
        if len(self.edges) != len(self.counts):
            raise ValueError(f"{len(self.counts)} counts for {len(self.edges)} bins")
        return self


class QualityReports(Record):
    """Counts of reports."""

    total: Count
    split: Count
    rejected: dict[str, Count]  # by reason
    by_fallback: Count
    encodings: dict[str, Count]


class QualitySentences(Record):
    """Counts of sentences."""

    total: Count
    unique: Count
    over_long: Count  # those with more than `max_pieces` word pieces
    max_pieces: Count


class QualityWords(Record):
    """Counts of words, separated by blanks; sections are those that were kept, their boilerplate included."""

    in_reports: Count
    kept: Count
    boilerplate: Count
    share_of_reports: float
    share_of_sections: float


class Boilerplate(Record):
    """One kind of sentence that was left out."""

    kind: str
    sentences: Count
    words: Count


class WorstSentence(Record):
    """One of the most suspicious texts, at its first occurrence; its kind is ordered by `number`."""

    kind: Literal["longest", "shortest", "most_digits"]
    study_id: str
    position: Count
    number: Count  # longest: words; shortest: letters and digits; most_digits: digits
    occurrences: Count
    text: str | None = None  # null: the data set's text is not published


class Quality(Record):
    """Contents of quality.json."""

    version: Literal[1] = 1
    reports: QualityReports
    sections: dict[str, Count]  # sentences by section
    sentences: QualitySentences
    words: QualityWords
    sentences_a_report: Bins
    words_a_sentence: Bins
    pieces_a_sentence: Bins
    boilerplate: list[Boilerplate]  # the most frequent kind first
    worst: list[WorstSentence]


@dataclass(frozen=True, kw_only=True)
class SplitReportsJob(Job):
    """Split reports into sections, sentences with character offsets, and word pieces.

    Every report ends up in at least one sentence or in exactly one reject.
    """

    stage = "split_reports"
    place = "{dataset}"
    over = "pretraining dataset"

    settings: SplitReportsSettings
    root: Path = source(tracked=False, help="folder of the data set, as distributed")
    dataset: str = option("name of the data set in the rejects; empty: that of --name", default="")
    reports: Path = source("index_inputs", "reports.arrow")
    private: Path | None = source(
        optional=True, tracked=False, help="folder of the key; required for keyed identifiers"
    )
    tokenizer_weights: Path | None = source(optional=True, tracked=False, help="folder that tokenizer.weights names")
    sentences: Path = product("sentences.arrow", table="SENTENCES", summary=True)
    rejects: Path = product("rejects.arrow", table="REJECTS", summary=True)
    quality: Path = product("quality.json", record=Quality, summary=True, help="counts and the worst sentences")
    tokenizer: Path = product(
        "tokenizer", stands="tokenizer.json", help="folder that BertTokenizer.from_pretrained reads"
    )
    roots: tuple[Path, ...] = option(
        "further folders of the data set: links may lead into them, and files that are not below --root are sought "
        "there",
        default=(),
    )
