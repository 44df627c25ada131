"""The data sets' own indexes, read as index_inputs reads them: how many rows, and the first file that is missing."""

import tempfile
from pathlib import Path

from stages.common.errors import InputError
from stages.config import Config
from stages.index_inputs.index import LOOKED_FOR, build_index, missing_files, present_index_files
from stages.index_inputs.settings import IndexInputsSettings
from workflow.doctor.findings import Finding


def check_datasets(config: Config, every_file: bool = False) -> list[Finding]:
    """A finding for each data set that the configuration uses."""
    names = dict.fromkeys([config.pretrain_on, *config.evaluate_on])
    return [check_dataset(config, name, every_file) for name in names]


def check_dataset(config: Config, name: str, every_file: bool = False) -> Finding:
    """Nothing is written: where identifiers are keyed, a key is made for this reading alone, so no id is shown."""
    subject, root = f"data set {name}", Path(config.root(name))
    settings = config.settings("index_inputs", name)
    assert isinstance(settings, IndexInputsSettings)
    if root.is_relative_to(f"{config.workspace}/phantom") and not root.exists():
        return Finding("ok", subject, "synthetic: make_phantom will make it")
    try:
        present_index_files(root, settings)
        with tempfile.TemporaryDirectory() as private:
            index = build_index(root, settings, name, Path(private))
    except InputError as error:
        return Finding.of_error(subject, f"datasets.{name}: {error}")
    missing, looked_for = missing_files(root, index.files, len(index.files) if every_file else LOOKED_FOR)
    count = f"{len(index.files):,} images, {len(index.reports):,} reports in {root / index.source}"
    if name == config.pretrain_on and index.reports.is_empty():
        remedy = "pretrain_on needs a data set with reports: name another one, or give its column `report`"
        return Finding("error", subject, f"{count}: nothing to pre-train on", remedy)
    if len(missing):
        shown = "path" if settings.identifier_kind == "distributed" else "image_id"
        what = f"{count}; {len(missing):,} of {looked_for:,} files looked for are missing, first {missing[shown][0]}"
        if len(missing) == looked_for:
            return Finding("error", subject, what, f"none is there: correct datasets.{name}.root, or get the images")
        return Finding("warning", subject, what, "get them, or go on: each becomes a row `file_missing` in the rejects")
    looked = "every file is there" if looked_for == len(index.files) else f"{looked_for:,} files looked for are there"
    return Finding("ok", subject, f"{count}; {looked}")
