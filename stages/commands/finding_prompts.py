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


def prompt_file(words: Sequence[str]) -> dict[str, Any]:
    """Return a prompt file with general phrasings that affirm and deny each finding."""
    blocks = {name: {"sets": _prompt_sets(plain_words(each) or name.replace("_", " "))}
              for name, each in zip(finding_names(words), words, strict=True)}  # fmt: skip
    if len(blocks) > 1:
        return {"findings": blocks}
    [(name, block)] = blocks.items()
    return {"finding": name} | block


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
