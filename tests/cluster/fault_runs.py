"""Runs of one checkout to which faults are done, and what their outputs must look like afterwards."""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import yaml
from faults import AfterSteps, Fault, Faults
from user_checkout import Checkout

# Journals hold times, and so do the report and what MLflow keeps; all else is a function of input, settings and code.
TIMED = ("journal", "report.html", ".sync.lock")

PREPARATION = ("make_phantom", "index_inputs", "dicom_to_arrow", "split_reports", "pair_images_reports", "label_images")
PAIRED = ("phantom", *(f"results/{stage}" for stage in PREPARATION[:-1]))  # all that a training reads
REST = ("audit_splits", "pretrain", "select_checkpoint", "extract_features", "zero_shot_classification",
        "few_shot_classification", "few_shot_segmentation", "phrase_grounding", "retrieval", "summarize")  # fmt: skip
ONLY_PREPARATION = os.environ.get("MLIP_FAULT_STAGES") == "preparation"
STAGES = PREPARATION if ONLY_PREPARATION else PREPARATION + REST
UP_TO_PREPARATION = ("--until", "pair_images_reports", "label_images")


class Run:
    """One workspace of the checkout, and the user's command on it. A workspace of an earlier session is removed."""

    def __init__(
        self, user: Checkout, name: str, *arguments: str, folder: Path | None = None, keep: bool = False
    ) -> None:
        self.user = user
        self.workspace = str(folder or f"runs/{name}")
        self.arguments = ["--config", f"workspace={self.workspace}", *arguments]
        self.jobs_before = set(user.slurm.jobs())
        if not keep:
            shutil.rmtree(self.place, ignore_errors=True)

    @property
    def place(self) -> Path:
        return self.user.folder / self.workspace

    def go(self, *options: str, check: bool = True, seconds: float = 3000) -> str:
        return self.user.snakemake(*options, *self.arguments, check=check, seconds=seconds)

    def start(self) -> subprocess.Popen[str]:
        return self.user.start(*self.arguments)

    def copy(self, other: "Run", part: str = "") -> None:
        """All that another run has in a folder, with its times."""
        (self.place / part).mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", f"{other.place / part}/.", self.place / part], check=True)

    def jobs(self) -> dict[str, dict[str, str]]:
        """SLURM's jobs of this run."""
        jobs = self.user.slurm.jobs()
        return {number: jobs[number] for number in set(jobs) - self.jobs_before}

    def attempts(self, job: str) -> list[dict[str, str]]:
        """All jobs for the work of this one, which Snakemake submitted one after the other."""
        jobs = self.jobs()
        return [each for each in jobs.values() if each.get("Comment") == jobs[job]["Comment"]]


def train_variants(
    user: Checkout, prepared: Run, name: str, faults: Mapping[str, Fault], epochs: int, steps: int, *options: str
) -> tuple[Run, Faults]:
    """One run of equal variants, one for each fault, which comes after so many steps; `mlip` is left alone."""
    overlay = {
        "compare": ["mlip", *faults],
        "variants": {each: {} for each in faults},
        "pretrain": {"optimisation": {"epochs": epochs}},
    }
    (user.folder / f"{name}.yaml").write_text(yaml.safe_dump(overlay))
    settings = ("workflow/profiles/demo/settings.yaml", "tests/cluster/small_settings.yaml", f"{name}.yaml")
    run = Run(user, name, "--configfile", *settings, "--until", "pretrain", *options)
    for part in PAIRED:
        run.copy(prepared, part)
    of_stage = {
        f"pretrain/{each}": AfterSteps(fault, run.place / "logs" / "pretrain" / f"{each}.log", steps)
        for each, fault in faults.items()
    }
    with Faults(of_stage) as done:
        run.go()
    assert set(done.done) == set(of_stage)
    return run, done


def weights(run: Run, variant: str) -> dict[str, bytes]:
    """Bytes of the candidates by file name."""
    folder = run.place / "results" / "pretrain" / variant / "candidates"
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors"))}


def hashes(place: Path) -> dict[str, str]:
    """sha256 of every output by its path below a workspace; those with times in them are left out."""
    paths = [path for folder in ("phantom", "results") for path in sorted((place / folder).rglob("*"))]
    files = [path for path in paths if path.is_file() and not path.name.startswith(TIMED)]
    return {str(path.relative_to(place)): sha256(path.read_bytes()).hexdigest() for path in files}


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """Outputs that are other ones, too many or not there."""
    return sorted(path for path in found.keys() | expected.keys() if found.get(path) != expected.get(path))


def wait_for_an_empty_queue(user: Checkout) -> None:
    deadline = time.monotonic() + 120
    while user.slurm.command("squeue", "--noheader").strip():
        assert time.monotonic() < deadline, user.slurm.command("squeue")
        time.sleep(0.5)


def report(fault: str, stage: str, outcome: str) -> None:
    """A row of the table of faults and outcomes, where one is wanted."""
    if destination := os.environ.get("MLIP_FAULT_TABLE"):
        with Path(destination).open("a") as table:
            table.write(f"| {fault} | {stage} | {outcome} |\n")
