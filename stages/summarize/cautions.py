"""What to keep in mind about the numbers of a summary: alarms of trainings, and test parts of few patients."""

from .inputs import Inputs
from .provenance import Provenance

_FEW = 20  # patients: below this, one patient more or less moves a result by more than most differences of variants


def cautions(read: Inputs, provenance: Provenance) -> list[str]:
    """Return a line for each alarm that a training left in its journal, and for each small test part."""
    lines = [f"warning: {run.stage} {run.name}: {text}" for run in provenance.runs
             for key, text in sorted(run.tags.items()) if key.startswith("alarm_")]  # fmt: skip
    tests = {f"pairs of {read.pairs.audit.dataset}": read.pairs.audit.splits["test"].patients} if read.retrieval else {}
    tests |= {
        f"labels of {card.dataset}": patients for card in read.cards if (patients := card.splits["test"].patients)
    }
    return lines + [
        f"warning: {what}: {patients} patients in the test part, fewer than {_FEW}: its figures say little; enlarge it "
        "in `patient_split` or the data set's split"
        for what, patients in tests.items() if patients < _FEW
    ]  # fmt: skip
