"""Medical language-image pre-training from Python: a trained model, radiographs and reports.

    import mlip

    model = mlip.load("runs/main/results/select_checkpoint/mlip")
    reading = model.classify("image.dcm", {"pneumothorax": "There is a pneumothorax.", "none": "No pneumothorax."})
    answers = model.classify_many(paths, {"pneumothorax": "There is a pneumothorax.", "none": "No pneumothorax."})
    model.heatmap("image.dcm", "opacity in the left lung").write("heatmap.png")

Everything is imported on first use, so `import mlip` costs nothing, and stages do not pay for it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .api.models import Answer, Heatmap, Model, load
    from .api.radiographs import read_radiograph
    from .api.reports import Sentence, split_report
    from .common.errors import InputError
    from .common.inference.model import Reading
    from .common.radiographs.radiograph import SquareImage

__all__ = [
    "Answer",
    "Heatmap",
    "InputError",
    "Model",
    "Reading",
    "Sentence",
    "SquareImage",
    "load",
    "read_radiograph",
    "split_report",
]


def __getattr__(name: str) -> object:
    if name in ("Answer", "Heatmap", "Model", "load"):
        from .api import models

        return getattr(models, name)
    if name == "read_radiograph":
        from .api.radiographs import read_radiograph

        return read_radiograph
    if name in ("Sentence", "split_report"):
        from .api import reports

        return getattr(reports, name)
    if name == "InputError":
        from .common.errors import InputError

        return InputError
    if name == "Reading":
        from .common.inference.model import Reading

        return Reading
    if name == "SquareImage":
        from .common.radiographs.radiograph import SquareImage

        return SquareImage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
