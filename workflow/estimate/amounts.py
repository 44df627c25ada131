"""How many images and reports a configuration speaks of: from its journals, its indexes, or what is published."""

from dataclasses import dataclass
from pathlib import Path

from stages.common.errors import InputError
from stages.common.journals import Journal
from stages.config import Config
from stages.index_inputs.settings import IndexInputsSettings

# Of the whole sets: images, reports, bytes of a file.
PUBLISHED = {"mimic_cxr": (377_110, 227_835, 12.5e6), "rsna": (26_684, 0, 1.4e5), "siim": (12_047, 0, 1.4e5)}


@dataclass(frozen=True)
class Amount:
    """Of one data set. `source` says where the counts are from."""

    images: int
    reports: int
    file_bytes: float  # mean size of an image file
    source: str


def amounts_of(config: Config, journals: list[Journal]) -> dict[str, Amount]:
    """By data set, of those that the configuration uses."""
    names = dict.fromkeys([config.pretrain_on, *config.evaluate_on])
    return {name: amount_of(config, name, journals) for name in names}


def amount_of(config: Config, name: str, journals: list[Journal]) -> Amount:
    """The journal of index_inputs, else the index itself, else the published counts. Raises InputError without any."""
    settings = config.settings("index_inputs", name)
    assert isinstance(settings, IndexInputsSettings)
    root = Path(config.root(name))
    size = _file_bytes(root, settings)
    for journal in journals:
        if (journal.stage, journal.name, journal.status) == ("index_inputs", name, "FINISHED"):
            counts = {metric.key: metric.value for metric in journal.metrics}
            return Amount(int(counts["images"]), int(counts["reports"]), size, "journal of index_inputs")
    if root.is_relative_to(f"{config.workspace}/phantom"):
        return _phantom(config, settings.layout)
    if root.is_dir():
        return _from_index(root, settings, size)
    if settings.layout in PUBLISHED:
        images, reports, size = PUBLISHED[settings.layout]
        return Amount(images, reports, size, f"published; {root} is not there")
    raise InputError(f"datasets.{name}: {root} is not there, so its images cannot be counted; correct its root")


def _from_index(root: Path, settings: IndexInputsSettings, size: float) -> Amount:
    import tempfile

    from stages.index_inputs.index import build_index  # here, because a table library is imported

    with tempfile.TemporaryDirectory() as private:
        index = build_index(root, settings, "estimate", Path(private))
    return Amount(len(index.files), len(index.reports), size, f"rows of {root / index.source}")


def _phantom(config: Config, layout: str) -> Amount:
    settings = config.settings("make_phantom")
    if layout == "mimic_cxr":
        patients = settings.mimic_patients
        return Amount(round(1.15 * patients), round(1.08 * patients), 3e5, "settings of make_phantom")
    images = settings.rsna_images if layout == "rsna" else settings.siim_images
    return Amount(images, 0, 3e5, "settings of make_phantom")


def _file_bytes(root: Path, settings: IndexInputsSettings) -> float:
    """Mean size of the first files that are found; else what is published."""
    sizes = []
    if root.is_dir():
        for path in root.rglob("*"):
            if path.suffix.lower() in (".dcm", ".jpg", ".jpeg", ".png"):
                sizes.append(path.stat().st_size)
            if len(sizes) == 50:
                break
    return sum(sizes) / len(sizes) if sizes else PUBLISHED.get(settings.layout, (0, 0, 1e6))[2]
