"""What make_phantom writes: the number of patients, their findings, and how hard these are to see."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ..common.contract import Job, option
from ..common.data.distributions import MIMIC_RECORDS, MIMIC_STUDIES, RSNA_LABELS, SIIM_RUN_LENGTHS
from ..common.records import Count, Record
from ..common.settings import Settings

Finding = Literal["lung_opacity", "pneumothorax", "pleural_effusion", "cardiomegaly", "nodule", "support_device"]
FINDINGS: tuple[Finding, ...] = (
    "lung_opacity",
    "pneumothorax",
    "pleural_effusion",
    "cardiomegaly",
    "nodule",
    "support_device",
)

PublicSet = Literal["chexpert", "nih", "openi", "padchest", "vindr"]
Dataset = Literal["mimic_cxr", "rsna", "siim"] | PublicSet

# Tables of each data set, below its folder; names as distributed, but for patients.csv.
TABLES: dict[Dataset, tuple[str, ...]] = {
    "mimic_cxr": (MIMIC_RECORDS, MIMIC_STUDIES),
    "rsna": (RSNA_LABELS, "patients.csv"),
    "siim": (SIIM_RUN_LENGTHS, "patients.csv"),
    "chexpert": ("CheXpert-v1.0-small/train.csv",),
    "nih": ("Data_Entry_2017.csv", "BBox_List_2017.csv", "train_val_list.txt", "test_list.txt"),
    "openi": ("NLMCXR_reports.tgz",),
    "padchest": ("PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz",),
    "vindr": ("train.csv",),
}
MIMIC_LABELS = "mimic-cxr-2.0.0-chexpert.csv.gz"


def _share(meaning: str, default: Any = ...) -> Any:
    return Field(default, ge=0, le=1, description=f"share of {meaning}, 0 to 1")


class Prevalence(Settings):
    """Share of studies with each finding, drawn independently. Give all six where one is changed."""

    lung_opacity: float = _share("studies")
    pneumothorax: float = _share("studies")
    pleural_effusion: float = _share("studies")
    cardiomegaly: float = _share("studies")
    nodule: float = _share("studies")
    support_device: float = _share("studies")


def _contrast() -> Any:
    return Field(1.0, ge=0, le=3, description="multiplier of the finding's contrast; 0: invisible, 1: as designed")


class Contrast(Settings):
    """Difficulty of each finding, a multiplier of its contrast.

    The truth (place, size, box) does not change with it.
    """

    lung_opacity: float = _contrast()
    pneumothorax: float = _contrast()
    pleural_effusion: float = _contrast()
    cardiomegaly: float = _contrast()
    nodule: float = _contrast()
    support_device: float = _contrast()


def _prevalence(*shares: float) -> Any:
    return Field(
        Prevalence(**dict(zip(FINDINGS, shares, strict=True))), description="share of studies with each finding"
    )


_PUBLIC_PREVALENCE = Prevalence(**dict(zip(FINDINGS, (0.30, 0.25, 0.25, 0.25, 0.20, 0.25), strict=True)))


class MakePhantomSettings(Settings):
    """Settings of the phantom."""

    seed: int = Field(0, description="seed; the same seed and settings give the same bytes")
    mimic_patients: int = Field(3000, ge=1, description="patients of the MIMIC-CXR layout, without the bad inputs")
    rsna_images: int = Field(1200, ge=1, description="images of the RSNA layout, all splits together")
    siim_images: int = Field(1200, ge=1, description="images of the SIIM layout, all splits together")
    mimic_long_side: tuple[int, int] = Field((256, 288), description="minimum and maximum of the long side, pixels")
    rsna_side: int = Field(256, ge=64, le=2048, description="rows and columns, pixels")
    siim_side: int = Field(256, ge=64, le=2048, description="rows and columns, pixels")
    mimic_prevalence: Prevalence = _prevalence(0.35, 0.25, 0.25, 0.20, 0.10, 0.25)
    rsna_prevalence: Prevalence = _prevalence(0.35, 0.05, 0.15, 0.15, 0.08, 0.25)
    siim_prevalence: Prevalence = _prevalence(0.20, 0.30, 0.15, 0.15, 0.05, 0.25)
    contrast: Contrast = Field(Contrast(), description="multiplier of each finding's visibility")
    opacity_radius: tuple[float, float] = Field(
        (0.12, 0.35),
        description="minimum and maximum horizontal half-width of an opacity, as a share of the lung width",
    )
    second_study: float = _share("patients of the MIMIC-CXR layout with two studies", 0.03)
    lateral_view: float = _share("studies of the MIMIC-CXR layout with a lateral image beside the frontal one", 0.06)
    two_frontals: int = Field(
        2, ge=0, description="number of studies with two frontal images: the first studies of the first patients"
    )
    recurring: float = _share("patients of the RSNA and SIIM layouts with two images", 0.04)
    public: dict[PublicSet, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict,
        exclude_if=lambda value: not value,  # a phantom without them keeps the digest of its settings
        description="images of each public set to write in its owners' layout, e.g. `{nih: 60, vindr: 60}`",
    )
    mimic_labels: bool = Field(
        False,
        exclude_if=lambda value: not value,
        description=f"write {MIMIC_LABELS} of MIMIC-CXR-JPG beside the MIMIC-CXR layout: labels by study",
    )
    bad_inputs: int = Field(8, ge=0, description="extra patients of the MIMIC-CXR layout, each with one planted defect")
    workers: int = Field(0, ge=0, description="number of processes; 0: one per processor; does not change the result")

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> "MakePhantomSettings":
        for name, least, greatest in (("mimic_long_side", 64, 2048), ("opacity_radius", 0.05, 0.45)):
            low, high = getattr(self, name)
            if not least <= low <= high <= greatest:
                raise ValueError(f"{name}: give [least, greatest] between {least} and {greatest}, in that order")
        return self

    def prevalence(self, dataset: Dataset) -> Prevalence:
        """Return the share of studies with each finding in a data set."""
        shares = {"mimic_cxr": self.mimic_prevalence, "rsna": self.rsna_prevalence, "siim": self.siim_prevalence}
        return shares.get(dataset, _PUBLIC_PREVALENCE)

    def tables(self) -> list[str]:
        """Return the tables that are written, relative to the phantom's folder."""
        written: tuple[Dataset, ...] = ("mimic_cxr", "rsna", "siim", *sorted(self.public))
        labels = [f"mimic_cxr/{MIMIC_LABELS}"] if self.mimic_labels else []
        return [f"{name}/{table}" for name in written for table in TABLES[name]] + labels

    def result_digest(self) -> str:
        """Return the digest of what the bytes depend on: every setting except the number of workers."""
        return self.model_copy(update={"workers": 0}).digest()


class TruthFinding(Record):
    """A finding as it was drawn; keys that do not belong to its kind are left out of the file."""

    finding: Finding
    side: Literal["left", "right"] | None
    zone: Literal["upper", "mid", "lower"] | None
    size: Literal["small", "moderate", "large"] | None  # null for a device
    box: list[int] | None  # x, y, width, height in pixels; null where the finding lies outside the field of view
    kind: str | None = None  # only for a device
    mask: str | None = None  # only for a pneumothorax: run lengths of stages/common/data/run_lengths.py, as text


class TruthImage(Record):
    """Truth of one image; a lateral one has neither findings nor a mask of the lungs."""

    image_id: str
    study_id: str
    patient_id: str
    view: str
    rows: Count
    columns: Count
    findings: list[TruthFinding]
    lung_mask: str  # run lengths, as text
    # Only where a table of words labels it. Words -> boxes that the table gives; null: the table leaves it unlabelled
    labels: dict[str, list[list[int]]] | None = None
    uncertain: list[str] | None = None  # words that the table calls uncertain


class BadInput(Record):
    """A planted defect."""

    source_id: str
    path: str
    reason: str


class Truth(Record):
    """Contents of truth/<dataset>.json."""

    dataset: Dataset
    bad_inputs: list[BadInput]
    images: list[TruthImage]


class DatasetCounts(Record):
    """Counts of one data set, without bad inputs."""

    images: Count
    frontal_images: Count
    patients: Count
    images_with: dict[Finding, Count]  # frontal images
    prevalence: dict[Finding, float]  # of frontal images, rounded


class PhantomManifest(Record):
    """Contents of manifest.json."""

    settings: dict[str, Any]  # without the number of workers
    settings_digest: str
    tree_digest: str
    files: Count
    reports: Count
    bad_inputs: dict[str, Count]  # by reason
    datasets: dict[Dataset, DatasetCounts]


@dataclass(frozen=True, kw_only=True)
class MakePhantomJob(Job):
    """Draw synthetic chest radiographs with truth, in the on-disk formats of MIMIC-CXR, RSNA, SIIM and public sets.

    Below the output folder:

      mimic_cxr/  DICOM and report trees, cxr-record-list.csv.gz, cxr-study-list.csv.gz, SHA256SUMS.txt
      rsna/       stage_2_train_images/, stage_2_train_labels.csv, stage_2_detailed_class_info.csv
      siim/       dicom-images-train/, train-rle.csv
                  rsna/ and siim/ also hold lung_masks.csv and patients.csv, which the real data sets lack
      truth/      <data set>.json: findings with side, zone, size and box; lung masks; bad inputs
      manifest.json, written last: counts, prevalences, digest of the settings, digest of the tree

    With `public`, also those of the following that it names, and with `mimic_labels` the last one:

      chexpert/   CheXpert-v1.0-small/train.csv, JPEG below train/
      nih/        Data_Entry_2017.csv, BBox_List_2017.csv, train_val_list.txt, test_list.txt, PNG below images_NNN/
      openi/      NLMCXR_reports.tgz, PNG in NLMCXR_png/
      padchest/   PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz, PNG of 16 bits in 0/, 1/, ...
      vindr/      train.csv with boxes of three readers, DICOM in train/
      mimic_cxr/  mimic-cxr-2.0.0-chexpert.csv.gz

    Their truth also has `labels` and `uncertain`: what the tables say, in their words. Words of findings that are not
    drawn are given at random.

    The same seed and settings give the same bytes, whatever the number of workers.
    """

    stage = "make_phantom"

    settings: MakePhantomSettings
    output: Path = option("folder to write; new, or an earlier phantom's")
