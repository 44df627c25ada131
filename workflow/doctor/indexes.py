"""Indexes of the data sets, each read once per call of the doctor, and which of their images a run can use.

Where a run has left its outputs, and neither settings nor index changed since, these say what was used. Otherwise the
index says which images will be rejected for their view, and every number is the most that can remain.
"""

import os
import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from stages.common.contract import JOURNAL_FILE
from stages.common.data.identifiers import KEY_NAME, SPLITS_BY_DISTRIBUTED_IDS, ids_to_split_by
from stages.common.data.index_tables import Index
from stages.common.errors import InputError
from stages.common.files.archives import on_disk
from stages.common.files.arrow_tables import read_table
from stages.common.files.schemas import FILES, PAIRS, REJECTS
from stages.common.journal.journals import read_journal
from stages.common.radiographs.views import accepted_views, normalise_view, rule_for_missing
from stages.configuration import Config
from stages.dicom_to_arrow.contract import DicomToArrowSettings
from stages.index_inputs.contract import IndexInputsSettings, index_files
from stages.index_inputs.index import build_index
from workflow.doctor.findings import Finding, Status

_MANY = 0.1  # of the images
RASTER = r"(?i)\.(png|jpe?g)$"  # files without a header that could name a view


@dataclass(frozen=True)
class Views:
    """Images that are rejected for their view, as the index has it."""

    wrong: Counter[str]  # view -> images; the index decides, whatever the header says
    missing: int  # without a view in the index, and rejected unless their header names an accepted one
    certain: frozenset[str]  # ids of images that no header can save


class Indexes:
    """The data sets' indexes. Keyed ids are those of a run if it has drawn its key, else of one key for all calls."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._read: dict[str, Index | InputError] = {}
        self._units: dict[str, Callable[[str], str]] = {}
        self._drawn = secrets.token_hex(32) + "\n"  # for this object only; never written to the workspace

    @contextmanager
    def private(self) -> Iterator[Path]:
        """Yield a folder with the key, which is removed again."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if os.access(self._key, os.R_OK):  # not that of another user
                shutil.copy(self._key, folder / KEY_NAME)
                if (self._key.parent / SPLITS_BY_DISTRIBUTED_IDS).is_file():
                    (folder / SPLITS_BY_DISTRIBUTED_IDS).touch()
            else:
                (folder / SPLITS_BY_DISTRIBUTED_IDS).touch()
                (folder / KEY_NAME).touch(mode=0o600)
                (folder / KEY_NAME).write_text(self._drawn, encoding="ascii")
            yield folder

    @property
    def _key(self) -> Path:
        return Path(self.config.workspace, "private", KEY_NAME)

    def of(self, name: str) -> Index:
        """Return the index of a data set. Raises InputError, the same at each call."""
        if name not in self._read:
            settings = self.config.settings(IndexInputsSettings, name)
            roots = tuple(map(Path, self.config.roots(name)))
            with self.private() as folder:
                try:
                    index = build_index(Path(self.config.root(name)), settings, name, folder, roots)
                    ids = [*index.files["image_id"], *index.files["patient_id"], *index.reports["patient_id"]]
                    self._read[name], self._units[name] = index, ids_to_split_by(folder, name, ids)
                except InputError as error:
                    self._read[name] = error
        read = self._read[name]
        if isinstance(read, InputError):
            raise read
        return read

    def unit_of(self, name: str) -> Callable[[str], str]:
        """Return the function from an id of the index to the one by which it is split (`ids_to_split_by`)."""
        self.of(name)
        return self._units[name]

    def views(self, name: str) -> Views:
        """Return the images that dicom_to_arrow will reject for their view, by its rules."""
        settings, files = self.config.settings(DicomToArrowSettings, name), self.of(name).files
        if not settings.views:
            return Views(Counter(), 0, frozenset())
        texts = files["view"].unique().to_list()
        named = {text: normalise_view(text) for text in texts}
        accepted = accepted_views(settings.views)
        views = [named[text] for text in files["view"]]
        is_wrong = pl.Series([view is not None and view not in accepted for view in views], dtype=pl.Boolean)
        rejects_missing = rule_for_missing(settings.views_missing, texts) == "reject"
        is_missing = pl.Series([rejects_missing and view is None for view in views], dtype=pl.Boolean)
        certain = files["image_id"].filter(is_wrong | (is_missing & files["path"].str.contains(RASTER)))
        wrong = Counter(view for view, is_other in zip(views, is_wrong, strict=True) if is_other and view)
        return Views(Counter(wrong), int(is_missing.sum()), frozenset(certain))

    def files_of_last_run(self, name: str) -> int | None:
        """Return how many images index_inputs listed, or None where it has to list them (again)."""
        path = self._output("index_inputs", name, "files.arrow")
        with suppress(InputError):
            return None if path is None else len(read_table(path, FILES))
        return None

    def unusable(self, name: str) -> tuple[frozenset[str], bool]:
        """Return the ids of images that are rejected, and whether dicom_to_arrow itself said so."""
        path = self._output("dicom_to_arrow", name, "rejects.arrow")
        if path is not None:
            with suppress(InputError):
                return frozenset(read_table(path, REJECTS)["source_id"].to_pylist()), True
        return self.views(name).certain, False

    def training_studies(self, name: str) -> int | None:
        """Return the studies of the training part that a run has paired, or None where it has to be done (again)."""
        path = self._output("pair_images_reports", name, "pairs.arrow")
        if path is not None and self._output("dicom_to_arrow", name, "rejects.arrow") is not None:
            with suppress(InputError):
                pairs = pl.DataFrame(read_table(path, PAIRS))
                return pairs.filter(pl.col("split") == "train")["study_id"].n_unique()
        return None

    def _output(self, stage: str, name: str, file: str) -> Path | None:
        """Return an output of a finished run, unless the stage's settings or the index changed since."""
        root, folder = Path(self.config.root(name)), Path(self.config.workspace, "results", stage, name)
        index = [root / each for each in index_files(self.config.settings(IndexInputsSettings, name), root)]
        try:
            journal = read_journal(folder / JOURNAL_FILE).journal
            written = (folder / file).stat().st_mtime
            newer = any(on_disk(each).stat().st_mtime > written for each in index)
        except (InputError, OSError):
            return None
        same = journal.digests.settings == self.config.settings(stage, name).digest()
        return folder / file if journal.status == "FINISHED" and same and not newer else None


def check_views(config: Config, name: str, indexes: Indexes) -> list[Finding]:
    """Return a finding on the images that will be rejected for their view, with the key that accepts them."""
    if config.is_phantom(name):
        return []
    try:
        found, count = indexes.views(name), len(indexes.of(name).files)
    except InputError:
        return []  # reported with the data set
    if not found.wrong and not found.missing:
        return []
    keys, parts = f"datasets.{name}.dicom_to_arrow", []
    remedies = []
    if found.wrong:
        listed = ", ".join(f"{view} {number:,}" for view, number in sorted(found.wrong.items()))
        views = ", ".join(config.settings(DicomToArrowSettings, name).views)
        parts.append(f"{found.wrong.total():,} of {count:,} images are not of the views {views}: {listed}")
        remedies.append(f"to accept them, name them in {keys}.views ([]: any view)")
    if found.missing:
        parts.append(
            f"{found.missing:,} of {count:,} images have no view in the index, and are rejected unless their DICOM "
            "header names one that is accepted"
        )
        remedies.append(f"to accept images without a view, set {keys}.views_missing: accept")
    # The owners of a public data set state its views; in one's own, a share like this is easily not meant.
    many = found.wrong.total() >= _MANY * count and config.datasets[name].distributed is None
    status: Status = "error" if len(found.certain) == count else "warning" if found.missing or many else "ok"
    return [Finding(status, f"views {name}", "; ".join(parts), "; ".join(remedies))]
