"""Names of findings and a first prompt file for them, from the words of a table."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import count
from typing import Any

_SINGULAR = ("ss", "us", "is", "ites", "etes")  # abscess, hilus, atelectasis, ascites, diabetes

# Names, in words, of a column of yes and no that do not say of what.
NAMES_NOTHING = re.compile(
    r"((is|has|was|if) )?(targets?|labels?|label value|class|y|gt|(ground )?truth|outcome|result|positive|pos|sick|"
    r"abnormal|present|presence|value|status|answer|exists?|existence|occurs|detected|found|seen|visible|observed|"
    r"confirmed|flag|annotation|yes ?no|y n|yn|findings?|disease|pathology|score|state|there|it)( value)?"
)


def plain_words(name: str) -> str:
    """Return a column's name in words: `PatientID` and `patient-id` are `patient id`."""
    return re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).strip().lower()


def finding_names(words: Sequence[str]) -> list[str]:
    """Return the words of a table as names of findings: ASCII letters, digits and `_`, each once."""
    names: list[str] = []
    for number, each in enumerate(words, start=1):
        plain = unicodedata.normalize("NFKD", each).encode("ascii", "ignore").decode()
        name = re.sub(r"\W+", "_", plain).strip("_").lower() or f"finding_{number}"
        taken = {*names, *(re.sub(r"\W+", "_", other).strip("_").lower() for other in words[number:])}
        free = (f"{name}_{again}" for again in count(2))
        names.append(name if name not in names else next(each for each in free if each not in taken))
    return names


# Language -> sentences that affirm and deny. Each stays right for a word of any gender and number, without an article.
_SENTENCES = {
    "german": (["{} vorhanden.", "{} nachweisbar."], ["{} nicht vorhanden.", "{} nicht nachweisbar."]),
    "french": (["Avec {}.", "{}."], ["Sans {}."]),
    "spanish": (["Hay {}.", "Con {}."], ["No hay {}.", "Sin {}."]),
}


def prompt_file(words: Sequence[str], language: str | None = None) -> dict[str, Any]:
    """Return a prompt file with general phrasings that affirm and deny each finding.

    They are English where there are none of the language of the reports.
    """
    blocks = {}
    for name, each in zip(finding_names(words), words, strict=True):
        plain = plain_words(each) or name.replace("_", " ")
        sets = _sets_in(language, each, plain) if language in _SENTENCES else _prompt_sets(plain)
        blocks[name] = {"sets": sets}
    if len(blocks) > 1:
        return {"findings": blocks}
    [(name, block)] = blocks.items()
    return {"finding": name} | block


def said_of_prompts(language: str, file: str) -> str:
    """Return what to do about the prompts of a data set whose reports are not English."""
    if language in _SENTENCES:
        return f"in {language}, with the words of the table: check {file}, and translate words of another language"
    return f"in English, although the reports are {language}: translate {file}"


def _sets_in(language: str, word: str, plain: str) -> dict[str, Any]:
    """Return the sets of a language; German nouns keep their capitals."""
    inner = re.sub(r"[\W_]+", " ", word).strip() if language == "german" else plain

    def sentence(form: str) -> str:
        text = form.format(inner or plain)
        return text[0].upper() + text[1:]

    positive, negative = ([*map(sentence, forms)] for forms in _SENTENCES[language])
    return {"there_is": {"positive": positive[:1], "negative": negative[:1]},
            "phrasings": {"positive": positive, "negative": negative}}  # fmt: skip


def _prompt_sets(words: str) -> dict[str, Any]:
    start = words.capitalize()
    verb = "are" if words.endswith("s") and not words.endswith(_SINGULAR) else "is"
    return {
        "there_is": {"positive": [f"There {verb} {words}."], "negative": [f"There {verb} no {words}."]},
        "phrasings": {
            "positive": [f"{start}.", f"Findings consistent with {words}.", f"{start} {verb} seen."],
            "negative": [f"No {words}.", f"No evidence of {words}.", f"No {words} {verb} seen."],
        },
    }
