"""Compare the prediction of `make estimate` for each stage with the processor time of the demo's stages at two sizes.

    python -m benchmarks.estimate --patients 250 1000 --output estimate.json

Runs the workflow (profile demo, one variant, few epochs, both on the phantom) with a wrapper `python` first on PATH
that starts the real one and records its processor time. Processor seconds are compared, because other work on the
machine affects them little. Predictions are seconds of the estimate's table, uncorrected, on one core.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from workflow.estimate.jobs import amounts_of, jobs_of
from workflow.estimate.whole_run import job_seconds
from workflow.site_profile import configuration, read_profile

ROOT = Path(__file__).resolve().parents[1]
WRAPPER = """\
#!{python}
import json, os, sys
child = os.spawnv(os.P_NOWAIT, {python!r}, [{python!r}, *sys.argv[1:]])
_, status, usage = os.wait4(child, 0)
with open({log!r}, "a") as log:
    log.write(json.dumps({{"command": sys.argv[1:], "seconds": usage.ru_utime + usage.ru_stime}}) + "\\n")
sys.exit(os.waitstatus_to_exitcode(status))
"""


def overlay(patients: int, workspace: Path) -> dict[str, object]:
    """Return settings with as many images of each kind as patients."""
    return {
        "workspace": str(workspace), "compare": ["mlip"], "evaluate_on": ["rsna"],
        "make_phantom": {"mimic_patients": patients, "rsna_images": patients, "siim_images": patients, "workers": 1},
        "pretrain": {"optimisation": {"epochs": 3, "candidates": 2}},
    }  # fmt: skip


def measured(folder: Path, settings: Path) -> dict[tuple[str, str], float]:
    """Return processor seconds per stage and job name; dicom_to_arrow's convert and gather have separate names."""
    log, programs = folder / "python.jsonl", folder / "bin"
    programs.mkdir()
    wrapper = programs / "python"
    wrapper.write_text(WRAPPER.format(python=sys.executable, log=str(log)))
    wrapper.chmod(0o755)
    command = [sys.executable, "-m", "snakemake", "--profile", "workflow/profiles/demo", "--cores", "1", "--nolock"]
    command += ["--configfile", "workflow/profiles/demo/settings.yaml", str(settings)]
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {}
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        stage = entry["command"][1].removeprefix("stages.")
        words = entry["command"]
        if stage != "sync":
            name = words[words.index("--name") + 1] if "--name" in words else ""
            found[stage, name] = entry["seconds"]
    return found


def compared(patients: int) -> Iterator[dict[str, Any]]:
    """Return for each job of one run its units of work, and the predicted and measured seconds."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        settings = folder / "settings.yaml"
        values = overlay(patients, folder / "run")
        settings.write_text(yaml.safe_dump(values))
        seconds = measured(folder, settings)
        profile = read_profile(ROOT / "workflow/profiles/demo")
        config = configuration(profile, [f"{key}={json.dumps(value)}" for key, value in values.items()], root=ROOT)
        amounts = amounts_of(config, [])
        for job in jobs_of(config, amounts):
            took = seconds.get((job.stage, job.name))
            if took is not None:
                said = job_seconds(job, "cpu")
                yield {"job": f"{job.stage} {job.name}".strip(), "cost": job.cost, "units": job.units, "took": took,
                       "said": said.typical, "low": said.low, "high": said.high}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, nargs=2, default=[250, 1000])
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    runs = {patients: {row["job"]: row for row in compared(patients)} for patients in arguments.patients}
    small, large = runs.values()
    for job in (each for each in small if each in large):
        first, second = small[job], large[job]
        inside = second["low"] <= second["took"] <= second["high"]
        print(f"{job:55} predicted {first['said']:7.1f} {second['said']:7.1f} s  measured {first['took']:7.1f} "
              f"{second['took']:7.1f} s  growth measured x{second['took'] / first['took']:.1f}, predicted "
              f"x{second['said'] / first['said']:.1f}{'' if inside else '  OUTSIDE its range'}")  # fmt: skip
    if arguments.output:
        arguments.output.write_text(json.dumps(runs, indent=1))


if __name__ == "__main__":
    main()
