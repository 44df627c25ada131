"""The sentences of one report, as the stage split_reports extracts them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import PlainValidator

from ..common.errors import InputError
from ..common.inference.arguments import check_texts
from ..split_reports.cleaning import is_rtf, prepared
from ..split_reports.contract import SplitReportsSettings
from ..split_reports.headers import SECTIONS, Language, header_names
from ..split_reports.sections import Fallback, select_sections
from ..split_reports.sentences import fold, split_sentences
from ..split_reports.vocabulary import boilerplate_kind
from .arguments import Text, checked


@dataclass(frozen=True)
class Sentence:
    """One sentence of a report."""

    section: str  # findings, impression, ...; "report" where the text has no headers
    position: int  # 0-based, in the report
    start: int  # character offset in the report, inclusive
    end: int  # exclusive
    text: str  # runs of blanks and line ends become one space


def _check_sections(value: object) -> tuple[str, ...]:
    names = tuple(check_texts(value, "sections", "section"))
    if unknown := set(names) - set(SECTIONS):
        raise InputError(f"sections: unknown {', '.join(sorted(unknown))}", f"known are {', '.join(SECTIONS)}")
    if not names or len(set(names)) < len(names):
        raise InputError(f"sections: {'one is named twice' if names else 'none'}", "name each wanted one once")
    return names


Sections = Annotated[Iterable[str], PlainValidator(_check_sections)]


@checked
def split_report(
    text: Text,
    sections: Sections | None = None,
    fallback: Fallback = "unheaded",
    language: Language = "english",
) -> list[Sentence]:
    """Return the sentences of the wanted sections, without boilerplate such as "Dictated by ...".

    `sections` are by default those of the stage: findings and impression. `fallback` says what a report without them
    gives: its paragraphs under no header (`unheaded`), all of its text (`whole_report`), or nothing (`reject`).
    `language` is that of the headers and abbreviations. Raises InputError for an unknown section and for Rich Text
    Format.
    """
    wanted = SplitReportsSettings().sections if sections is None else list(sections)
    if is_rtf(text):
        raise InputError("text: Rich Text Format", "convert it to plain text")
    text = prepared(text)
    found = [
        (section.name, start, end, fold(text[start:end]))
        for section in select_sections(text, wanted, fallback, header_names(language))
        for start, end in split_sentences(text, section.start, section.end, language)
        if boilerplate_kind(text[start:end]) is None
    ]
    return [Sentence(name, place, start, end, text) for place, (name, start, end, text) in enumerate(found)]
