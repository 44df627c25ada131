"""The pre-trained weights that a training starts from: local files alone, compute nodes have no network."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.common.atomic_files import read_json
from stages.common.dual_encoder import DualEncoder
from stages.common.encoder_settings import DualEncoderSettings
from stages.common.errors import InputError
from stages.common.published_encoders import SOURCES
from stages.common.tracking import Run
from stages.common.weight_files import RECORD, weight_files
from stages.pretrain.image_weights import load_image_weights
from stages.pretrain.text_weights import load_text_weights, text_configuration


@dataclass(frozen=True)
class StartingWeights:
    """A file or folder for each encoder that `weights` names; None starts at random."""

    image: Path | None = None
    text: Path | None = None

    def inputs(self, settings: DualEncoderSettings) -> dict[str, Path]:
        """Every file that is read, by role; InputError where settings and options do not agree or a file is missing."""
        files = {}
        for encoder, source in (("image", self.image), ("text", self.text)):
            named = getattr(settings, encoder).weights
            if named and source is None:
                raise InputError(
                    f"--{encoder}-weights: missing, but model.{encoder}.weights names {named}; give its local folder "
                    "(fetch_weights makes one of a hub id)"
                )
            if source is not None and not named:
                raise InputError(f"--{encoder}-weights {source}: model.{encoder}.weights is null; leave the option out")
            if source is not None:
                files |= {f"{encoder}_weights/{path.name}": path for path in weight_files(source)}
        return files

    def text_configuration(self) -> dict[str, Any] | None:
        return None if self.text is None else text_configuration(self.text)

    def load(self, encoder: DualEncoder, run: Run) -> None:
        """Put the weights into `encoder`; what was used and what not goes to the journal and standard error."""
        reports = {}
        if self.image is not None:
            reports["image"] = load_image_weights(encoder.image, self.image)
        if self.text is not None:
            reports["text"] = load_text_weights(encoder.text, self.text)
        for name, report in reports.items():
            for kind in ("used", "missing", "unexpected"):
                run.log_metric(f"weights/{name}_{kind}", len(getattr(report, kind)))
            source = encoder.settings.image.source if name == "image" else "timm"
            run.log_tag(f"{name}_weights", _origin(report.source, source))
            print(*(f"{name} encoder: {line}" for line in report.lines()), sep="\n", file=sys.stderr)


def _origin(file: Path, source: str) -> str:
    """Where the weights are from, with licence: as fetch_weights wrote beside them, else as its authors state it."""
    if not (file.parent / RECORD).is_file():
        if source != "timm":
            said = SOURCES[source]
            return f"{file.name}, {said.name} ({said.reference}), license {said.license}"
        return f"{file.name}, license unknown"
    record = read_json(file.parent / RECORD)
    return f"{record['id']}, revision {record['revision']}, license {record['license']}"
