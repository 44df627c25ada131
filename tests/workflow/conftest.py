"""A copy of the repository in which tests may edit files, with a finished miniature run in it."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("stages", "workflow", "envs", "config.yaml")

# The demo made smaller still: seconds instead of minutes, on the same DAG.
MINIATURE = {
    "make_phantom": {"mimic_patients": 60, "rsna_images": 60, "siim_images": 60, "bad_inputs": 4, "workers": 1},
    "patient_split": {"validation": 0.2, "test": 0.1},
    "dicom_to_arrow": {"size": 64},
    "datasets": {dataset: {"dicom_to_arrow": {"size": 64}} for dataset in ("rsna", "siim")},
    "split_reports": {"tokenizer": {"vocabulary_size": 400}},
    "pretrain": {
        "model": {
            "image": {"input_size": 48, "patch_size": 12, "width": 32, "depth": 1},
            "text": {"width": 32, "depth": 1},
            "embedding_width": 16,
        },
        "optimisation": {"epochs": 2, "batch_size": 16, "candidates": 2},
    },
    "zero_shot_classification": {"draws": 50},
    "few_shot_classification": {"draws": 50, "seeds": 2, "linear": {"epochs": 5}},
    "few_shot_segmentation": {
        "draws": 50,
        "linear": {"input_size": 48, "epochs": 2, "decoder_widths": [8, 8], "precision": "fp32"},
    },
    "phrase_grounding": {"draws": 50},
    "retrieval": {"draws": 50},
}


WHOLE_RUNS = ("finished_run", "keyed_run", "demo_run")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Tests that read one run of the workflow go to one worker: otherwise each worker would make that run."""
    for fixture in set(WHOLE_RUNS).intersection(getattr(item, "fixturenames", ())):
        item.add_marker(pytest.mark.xdist_group(fixture))


@dataclass(frozen=True)
class Checkout:
    """A copy of the repository's code; `runs/` holds what its workflow made."""

    folder: Path
    overlay: str | None = None  # laid over the demo's settings
    variables: dict[str, str] = field(default_factory=dict)  # of the environment

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [
            *(sys.executable, "-m", "snakemake", "--profile", "workflow/profiles/demo", "--cores", "2"),
            *("--configfile", "workflow/profiles/demo/settings.yaml", *([self.overlay] if self.overlay else [])),
            *arguments,
        ]
        environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.folder),
            "OMP_NUM_THREADS": "1",
        } | self.variables
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=3000
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done

    def pending(self) -> set[str]:
        """Rules that a dry run would execute."""
        text = self.snakemake("--dry-run", "--quiet", "host").stdout
        table = text.split("Job stats:")[-1] if "Job stats:" in text else ""
        rules = {line.split()[0] for line in table.splitlines() if line.split()[1:] and line.split()[1].isdigit()}
        return rules - {"all", "total"}


def copy_of_the_repository(folder: Path, overlay: str | None = None) -> Checkout:
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    return Checkout(folder, overlay)


@pytest.fixture(scope="session")
def new_checkout() -> Callable[[Path, str], Checkout]:
    """`new_checkout(folder, overlay)`: a copy of one's own, with nothing run in it."""
    return copy_of_the_repository


@pytest.fixture(scope="session")
def miniature() -> dict[str, Any]:
    """The settings that make the demo small."""
    return MINIATURE


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory) -> Checkout:
    """The whole DAG, run once on a miniature phantom."""
    checkout = copy_of_the_repository(tmp_path_factory.mktemp("checkout"), "miniature.yaml")
    (checkout.folder / "miniature.yaml").write_text(yaml.safe_dump(MINIATURE))
    checkout.snakemake()
    return checkout


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory) -> Checkout:
    """The demo as users run it."""
    checkout = copy_of_the_repository(tmp_path_factory.mktemp("demo"))
    checkout.snakemake()
    return checkout
