"""Collect cautions about the numbers of a summary: alarms of trainings, leaks, test parts of few patients."""

from collections.abc import Mapping

from ..common.records import FEWEST_PATIENTS
from ..common.wording import counted
from ..pretrain.contract import RECOVERED
from .inputs import Inputs
from .provenance import Provenance


def cautions_of(read: Inputs, provenance: Provenance) -> list[str]:
    """Return a line for each leak, each alarm in the journal of a training, and each small test part."""
    tests = {f"labels of {card.dataset}": card.splits["test"].patients for card in read.cards}
    pairs, patients = read.pairs.audit.dataset, read.pairs.audit.splits["test"].patients
    if read.retrieval and tests.get(f"labels of {pairs}") != patients:  # else the same patients, and said once
        tests[f"pairs of {pairs}"] = patients
    leaks = [
        f"{', '.join(each.datasets)}: {counted(each.images, 'image')} in {counted(each.groups, 'group')} of copies; "
        "pre-training saw images of an evaluation"
        for each in read.copies
        if each.leaks(read.tree.pretrain_on)
    ]
    return leaks + cautions({f"{run.stage} {run.name}": run.tags for run in provenance.runs}, tests)


def cautions(tags: Mapping[str, Mapping[str, str]], patients: Mapping[str, int | None]) -> list[str]:
    """Return the lines, given the tags of each run, and the patients of each test part; None where they are unknown."""
    alarms = [
        f"{run}: {text}"
        for run, each in tags.items()
        for key, text in sorted(each.items())
        if key.startswith("alarm_") and not text.startswith(RECOVERED)
    ]
    return alarms + [
        f"{what}: {number} patients in the test part, fewer than {FEWEST_PATIENTS}: its figures say little; enlarge it "
        "in `patient_split` or the data set's split"
        for what, number in patients.items()
        if number is not None and number < FEWEST_PATIENTS
    ]
