"""The methods section as it would be after changes of journals and records, which are undone."""

import json
from collections.abc import Callable

from stages.summarize.inputs import read_inputs
from stages.summarize.provenance import read_provenance
from stages.summarize.sections.methods import methods

PRETRAIN = "pretrain/mlip/journal.json"
ZERO_SHOT = "zero_shot_classification/mlip/rsna/journal.json"


def telling(tree) -> Callable[..., str]:
    """Return a function for the methods after changes of params of a journal, and of keys of a record."""

    def text(place=PRETRAIN, params=None, record="", tags=None, **changes):
        journal = json.loads((tree.results / place).read_text())
        tree.edit(place, params=journal["params"] | (params or {}), tags=journal["tags"] | (tags or {}))
        before = json.loads((tree.results / record).read_text()) if record else {}
        if record:
            tree.edit(record, **changes)
        try:
            return " ".join(methods(read_inputs(tree.layout), read_provenance(tree.layout)))
        finally:
            tree.edit(place, params=journal["params"], tags=journal["tags"])
            if record:
                tree.edit(record, **before)

    return text
