"""The choice of the checkpoint: one decision a variant."""

from pydantic import Field, model_validator

from stages.summarize.readers.record import Count, Part, read_record
from stages.summarize.results_tree import ResultsTree


class Selection(Part):
    """selection.json of select_checkpoint; `candidates` maps a step to its score."""

    criterion: str
    split: str
    studies: Count
    candidates: dict[int, float] = Field(min_length=1)
    chosen_step: int
    rule: str = ""  # results of versions before have neither rule nor reason
    reason: str = ""

    @model_validator(mode="after")
    def _chose_a_candidate(self) -> "Selection":
        if self.chosen_step not in self.candidates:
            raise ValueError(f"chosen_step {self.chosen_step} is no candidate")
        return self


def read_selection(tree: ResultsTree, variant: str) -> Selection:
    return read_record(tree.folder("select_checkpoint", variant) / "selection.json", Selection)
