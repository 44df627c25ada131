"""A table and its images, what `mlip new-dataset` writes for them, and what a run reads with that."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from as_run import as_run

from stages.__main__ import main
from stages.common.data.prompts import read_prompts
from stages.index_inputs.own_folder import read_folder
from stages.label_images.label_tables import read_labels
from workflow.doctor.indexes import Indexes
from workflow.doctor.inputs import check_dataset
from workflow.doctor.labels import check_labels_of
from workflow.input_files import check_files

ROOT = Path(__file__).resolve().parents[3]
FILES = [f"images/{number}.png" for number in range(60)]
Rows = list[list[Any]]


class Written:
    """Hold what the command wrote for a table, and what a run reads with it."""

    def __init__(self, folder: Path, said: str) -> None:
        self.said = said
        (path,) = (each for each in folder.glob("*.yaml") if not each.stem.endswith("_prompts"))
        self.text = path.read_text(encoding="utf-8")
        self.block = yaml.safe_load(self.text)
        ((self.name, self.data),) = self.block["datasets"].items()
        self.config = as_run(self.block, said)
        self.root = Path(self.data["root"])
        self.prompts = folder / f"{self.name}_prompts.yaml"

    @property
    def columns(self) -> dict[str, Any]:
        return self.data["index_inputs"]["columns"]

    @property
    def labels(self) -> dict[str, Any]:
        return self.data["label_images"]

    def index(self):
        return read_folder(self.root, self.config.settings("index_inputs", self.name))

    def targets(self) -> dict[str, dict[str, int]]:
        table = read_labels(self.root, self.config.settings("label_images", self.name))
        return {image: {name: each.target for name, each in label.findings.items()}
                for image, label in table.labels.items()}  # fmt: skip


@pytest.fixture
def made(tmp_path: Path, capsys) -> Callable[..., Written]:
    def make(header: list[str], rows: Rows, files: list[str] = FILES, place: str = "t.csv", separator: str = ",",
             encoding: str = "utf-8", end: str = "\n") -> Written:  # fmt: skip
        root = tmp_path / "ours"
        for number, file in enumerate(files):
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / file), np.full((40, 32), number, np.uint8))
        text = io.StringIO()
        csv.writer(text, delimiter=separator, lineterminator=end).writerows([header, *rows])
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(text.getvalue().encode(encoding))
        main(["new-dataset", str(root / place), "--output", str(tmp_path / "out")])
        written = Written(tmp_path / "out", capsys.readouterr().out)
        assert check_files(written.config) == []
        images = check_dataset(written.config, written.name, Indexes(written.config))
        assert (images.status, f"{len(files)} images" in images.what) == ("ok", True), images
        for name in written.config.evaluate_on:
            finding = check_labels_of(written.config, name, Indexes(written.config))
            too_few = re.search("enlarge|raise the shares|larger", finding.remedy)  # rows for all parts
            assert finding.status in ("ok", "warning") or too_few, finding
            assert list(read_prompts(written.prompts, denying=True)) == list(
                written.labels.get("findings", {written.labels.get("finding"): 1}))  # fmt: skip
        return written

    return make
