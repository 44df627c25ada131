"""Prompt files: per finding, named sets of positive and negative sentences whose slots are filled in all combinations.

    slots:
      place: [in the right lung, in the left lung]
    findings:
      lung_opacity:
        sets:
          places:
            positive: ["There is an opacity {place}."]
            negative: ["The lungs are clear."]

Sentences name their slots in braces; a finding may have slots of its own. A file for one finding may say
`finding: lung_opacity` and put `sets` on the top level.
"""

import re
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from ..errors import InputError
from ..files.code_digest import ROOT
from ..settings import Name, Settings, validating
from ..templates import filled, slots_in
from ..yaml_files import read_yaml


class PromptSet(Settings):
    """Prompts that affirm a finding, and optionally prompts that deny it."""

    positive: list[str] = Field(min_length=1)
    negative: list[str] = Field(default_factory=list, description="may be empty where nothing is classified")


class FindingPrompts(Settings):
    """The prompts of one finding."""

    slots: dict[str, Annotated[list[str], Field(min_length=1)]] = Field(default_factory=dict)
    sets: dict[str, PromptSet] = Field(min_length=1)

    @model_validator(mode="after")
    def _templates_know_their_slots(self) -> "FindingPrompts":
        for name, each in self.sets.items():
            for template in (*each.positive, *each.negative):
                try:
                    slots_in(template, self.slots)
                except ValueError as error:
                    raise ValueError(f"sets.{name}: {error}; add it to `slots` or correct it") from None
        return self

    @model_validator(mode="after")
    def _sentences_say_something(self) -> "FindingPrompts":
        texts = {f"slots.{name}": words for name, words in self.slots.items()}
        for name, each in self.sets.items():
            texts |= {f"sets.{name}.positive": each.positive, f"sets.{name}.negative": each.negative}
        for key, listed in texts.items():
            for number, text in enumerate(listed):
                if not _words_of(text):
                    raise ValueError(f"{key}.{number}: {text!r} has no word: write one or remove it")
        for name, each in self.sets.items():
            affirmed = {_words_of(text) for template in each.positive for text in fill(template, self.slots)}
            for number, template in enumerate(each.negative):
                both = [text for text in fill(template, self.slots) if _words_of(text) in affirmed]
                if both:
                    what = f"{both[0]!r} is among `positive`, too: remove one"
                    raise ValueError(f"sets.{name}.negative.{number}: {what}")
        return self

    def expanded(self, **fixed: str) -> dict[str, PromptSet]:
        """Return every set with its slots filled in all combinations; each slot in `fixed` gets that one word only."""
        slots = self.slots | {name: [word] for name, word in fixed.items()}
        return {
            name: PromptSet(
                positive=[text for template in each.positive for text in fill(template, slots)],
                negative=[text for template in each.negative for text in fill(template, slots)],
            )
            for name, each in self.sets.items()
        }

    def slots_of(self, name: str, among: tuple[str, ...]) -> tuple[str, ...]:
        """Return the slots of `among` that the affirming templates of set `name` fill.

        Raises InputError where templates differ in this: such a set is neither one with places nor one without.
        """
        filled = {
            tuple(slot for slot in among if slot in slots_in(each, self.slots)) for each in self.sets[name].positive
        }
        if len(filled) > 1:
            raise InputError(
                f"prompts: set {name}: some affirming prompts fill {' and '.join(max(filled))} and others do not",
                remedy="split it into two sets",
            )
        return filled.pop()


class _OneFinding(FindingPrompts):
    """Contents of a prompt file for one finding."""

    finding: Name


class _PromptFile(Settings):
    """Contents of a prompt file."""

    slots: dict[str, list[str]] = Field(default_factory=dict, description="those of every finding")
    findings: dict[Name, FindingPrompts] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _shares_slots(cls, value: Any) -> Any:
        shared, findings = (
            (value.get(key) for key in ("slots", "findings")) if isinstance(value, dict) else (None, None)
        )
        if not isinstance(shared, dict) or not isinstance(findings, dict):
            return value
        own = {
            name: each | {"slots": shared | own_slots}
            if isinstance(each, dict) and isinstance(own_slots := each.get("slots") or {}, dict)
            else each
            for name, each in findings.items()
        }
        return value | {"findings": own}


def _words_of(text: str) -> tuple[str, ...]:
    """Return the words of a sentence, by which two are the same whatever their case, blanks and full stops."""
    return tuple(re.findall(r"[^\W_]+", text.casefold()))


def fill(template: str, slots: dict[str, list[str]]) -> list[str]:
    """Return all sentences of a template, one per combination of words."""
    names = slots_in(template, slots)
    return [filled(template, dict(zip(names, words, strict=True))) for words in product(*(slots[n] for n in names))]


def prompt_file(name: str | None, stage: str) -> Path:
    """Return the path of a stage's prompt file, from its setting. Raises InputError where none is named."""
    if name is None:
        raise InputError(f"{stage}.prompts: no prompt file is named", "name one, absolute or relative to the checkout")
    return ROOT / name


def read_prompts(path: Path, denying: bool = False) -> dict[str, FindingPrompts]:
    """Read and check a prompt file, and return the prompts of each finding; every error is one line that names it.

    With `denying`, every set needs prompts that deny the finding, as a classifier does.
    """
    prompts = check_prompts(read_yaml(path, "name a prompt file in the configuration"), path)
    for finding, each in prompts.items() if denying else ():
        if without := [name for name, sentences in each.sets.items() if not sentences.negative]:
            of = f" of {finding}" if len(prompts) > 1 else ""
            raise InputError(
                f"{path}: set {without[0]}{of} has no `negative` prompts (sentences that deny the finding)",
                remedy="add one",
            )
    return prompts


def check_prompts(value: object, path: Path) -> dict[str, FindingPrompts]:
    """Check the contents of a prompt file, and return the prompts of each finding; an InputError names the file."""
    if isinstance(value, dict) and "findings" not in value:
        with validating(str(path), _OneFinding):
            one = _OneFinding.model_validate(value)
        return {one.finding: one}
    with validating(str(path), _PromptFile):
        return _PromptFile.model_validate(value).findings
