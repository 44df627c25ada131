"""Prompt files: named sets of positive and negative sentences, with slots that are filled in every way.

finding: lung_opacity
slots:
  place: [in the right lung, in the left lung]
sets:
  places:
    positive: ["There is an opacity {place}."]
    negative: ["The lungs are clear."]
"""

from itertools import product
from pathlib import Path
from string import Formatter

from pydantic import Field

from ..errors import InputError
from ..settings import Settings, validating
from ..yaml_files import read_yaml


class PromptSet(Settings):
    positive: list[str] = Field(min_length=1)
    negative: list[str] = Field(default_factory=list, description="may be empty if the prompts name places only")


class PromptFile(Settings):
    finding: str
    slots: dict[str, list[str]] = Field(default_factory=dict)
    sets: dict[str, PromptSet] = Field(min_length=1)

    def expanded(self, **fixed: str) -> dict[str, PromptSet]:
        """Every set with its slots filled in all combinations, but those that are `fixed` with one word each."""
        slots = self.slots | {name: [word] for name, word in fixed.items()}
        return {
            name: PromptSet(
                positive=[text for template in each.positive for text in fill(template, slots)],
                negative=[text for template in each.negative for text in fill(template, slots)],
            )
            for name, each in self.sets.items()
        }

    def slots_of(self, name: str, among: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the slots `among` that every affirming template of a set fills; templates that differ are an error.

        A set in which only some phrases name a place is neither one with places nor one without.
        """
        filled = {tuple(slot for slot in among if slot in _slots(each)) for each in self.sets[name].positive}
        if len(filled) > 1:
            raise InputError(
                f"prompts: set {name}: some affirming prompts fill {' and '.join(max(filled))} and others do not",
                remedy="split it into two sets",
            )
        return filled.pop()


def fill(template: str, slots: dict[str, list[str]]) -> list[str]:
    """All sentences of a template; an unknown slot is a KeyError."""
    names = _slots(template)
    return [template.format(**dict(zip(names, values, strict=True))) for values in product(*(slots[n] for n in names))]


def _slots(template: str) -> list[str]:
    return list(dict.fromkeys(name for _, name, _, _ in Formatter().parse(template) if name))


def read_prompts(path: Path, denying: bool = False) -> PromptFile:
    """Read and check a prompt file; every error is one line with the file's name.

    `denying`: every set needs prompts that deny the finding, as a classifier does.
    """
    prompts = check_prompts(read_yaml(path, "name a prompt file in the configuration"), path)
    if denying and (without := [name for name, each in prompts.sets.items() if not each.negative]):
        raise InputError(
            f"{path}: set {without[0]} has no `negative` prompts (sentences that deny the finding)", remedy="add one"
        )
    return prompts


def check_prompts(value: object, path: Path) -> PromptFile:
    """Check what a prompt file holds; an InputError names the file."""
    with validating(str(path)):
        prompts = PromptFile.model_validate(value)
    try:
        prompts.expanded()
    except KeyError as error:
        raise InputError(
            f"{path}: a template names the slot {error}, which is not in `slots`", remedy="add it"
        ) from None
    return prompts
