"""What split_reports reads and writes: which sections are kept, and where the word pieces come from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from ..common.contract import Job, option, product, source
from ..common.data.patient_split import PatientSplit
from ..common.records import Count, Record
from ..common.settings import Settings, UniqueList
from .headers import LONGEST_NAME, SECTIONS, Language, normal_name
from .sections import Fallback


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
    keep_unheaded: bool = Field(
        False,
        description="keep the paragraphs under no header beside `sections`, too; false: quality.json counts and names"
        " the reports that lose some",
    )
    language: Language = Field("english", description="language of the headers and of abbreviations")
    headers: dict[str, str] = Field(
        {},
        description="more names of headers, and the section that each opens: {BEFUNDTEXT: findings}; they come before"
        " those of `language`",
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
        return names

    @field_validator("headers")
    @classmethod
    def _headers_open_known_sections(cls, headers: dict[str, str]) -> dict[str, str]:
        opened: dict[str, str] = {}
        for name, section in headers.items():
            if not any(map(str.isalpha, name)) or len(name) > LONGEST_NAME or not name.isprintable() or ":" in name:
                raise ValueError(f"{name!r} is no name: one line of at most {LONGEST_NAME} characters without a colon")
            if not any(map(str.isalpha, normal_name(name))):
                raise ValueError(f"{name!r} is no name: in headers, what it says is left out")
            if (other := opened.setdefault(normal_name(name), section)) != section:
                raise ValueError(f"{name!r} opens {section} and, written otherwise, {other}: remove one of them")
            if section not in SECTIONS:
                raise ValueError(f"{name}: unknown section {section!r}; known are {', '.join(SECTIONS)}")
        return headers


class Bins(Record):
    """Histogram: counts[i] of edges[i] <= x < edges[i + 1]; the last bin is open."""

    edges: list[int] = Field(min_length=1)
    counts: list[Count]

    @property
    def named(self) -> dict[str, Count]:
        """Return the counts by the numbers that the bin holds (1, 2–3, 16+), up to the last non-empty bin."""
        ends = [edge - 1 for edge in self.edges[1:]]
        closed = zip(self.edges, ends, strict=False)
        names = [str(edge) if end == edge else f"{edge}\u2013{end}" for edge, end in closed] + [f"{self.edges[-1]}+"]
        last = max([number for number, count in enumerate(self.counts) if count], default=0)
        return dict(list(zip(names, self.counts, strict=True))[: last + 1])


class QualityReports(Record):
    """Counts of reports."""

    total: Count
    split: Count
    rejected: dict[str, Count]  # by reason
    by_fallback: Count
    without_header: Count = 0  # those in which no header is known, whatever it names
    losing_unheaded: Count = 0  # those with text under no header that is not kept beside `sections`
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


class LostText(Record):
    """Text under no header that is not kept beside a wanted section of the same report."""

    study_id: str
    words: Count
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
    lost: list[LostText] = Field([])  # the first reports of `reports.losing_unheaded`


@dataclass(frozen=True, kw_only=True)
class SplitReportsJob(Job):
    """Split reports into sections, sentences with character offsets, and word pieces.

    Every report ends up in at least one sentence or in exactly one reject. The reasons of the rejects:

    - path_outside_root, report_file_missing, report_file_unreadable, report_too_long: the file cannot be read;
    - undecodable_text: neither UTF-8, UTF-16 with a byte order mark, nor Windows-1252;
    - marked_up_text: Rich Text Format;
    - empty_report: no text, or a placeholder such as "nan" where sections should be;
    - no_configured_section, no_sentence: nothing in what `sections` and `sections_fallback` keep.
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
