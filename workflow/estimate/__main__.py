"""Cost of a whole run: processor-hours, GPU-hours, bytes and time, stage by stage, each with its range.

Figures come from the journals of earlier runs in the workspace where there are any, else from the benchmark table
(workflow/estimate/costs.yaml, which says what was measured and what is assumed). Nothing is run.

  python -m workflow.estimate --profile slurm --gpus 8 --device a100
"""

import json
import os
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from dataclasses import asdict
from pathlib import Path

from stages.common.command_line import one_line_errors, program_name
from workflow.estimate.costs import Range, costs
from workflow.estimate.whole_run import Hardware, RunEstimate, estimate
from workflow.measured import all_left_out
from workflow.site_profile import SiteProfile, add_options, configuration, read_profile


def table(result: RunEstimate) -> str:
    """Return the estimate for a terminal."""
    hardware = result.hardware
    lines = [f"{name}: {each.images:,} images, {each.reports:,} reports ({each.source})"
             for name, each in result.amounts.items()]  # fmt: skip
    lines += [f"on {hardware.gpus} {hardware.device}, {hardware.cores} cores in use at a time"
              if hardware.device != "cpu" else f"on {hardware.cores} cores, no GPU", ""]  # fmt: skip
    head = ("stage", "jobs", "CPU-hours", "GPU-hours", "GB", "files", "hours", "longest job, h", "from")
    lines += [_row(head)]
    for each in result.stages:
        hours = (each.cpu_hours, each.gpu_hours, each.wall_hours, each.longest_hours)
        cpu, gpu, wall, longest = map(_shown, hours)
        room = (_number(each.written / 1e9), _number(each.files))
        lines.append(_row((each.stage, each.jobs, cpu, gpu, *room, wall, longest, each.basis)))
    total = [sum((getattr(each, name) for each in result.stages), Range()) for name in ("cpu_hours", "gpu_hours")]
    jobs = sum(each.jobs for each in result.stages)
    room = (_number(result.written / 1e9), _number(result.files))
    lines.append(_row(("all", jobs, *map(_shown, total), *room, _shown(result.wall_hours), "", "")))
    return "\n".join([*lines, "", *_remarks(result)])


def _remarks(result: RunEstimate) -> list[str]:
    table = costs()
    remarks = ["typical [low, high]. Not counted: retries, queue time, and work that is already done."]
    if result.hardware.scheduler:
        remarks += [
            f"{each.stage}: its longest job takes {_shown(each.longest_hours)} h, but its rule requests "
            f"{_number(each.allowed_hours)} h: raise `runtime` under set-resources in the profile"
            for each in result.stages
            if each.longest_hours.typical > each.allowed_hours > 0
        ]
    remarks += [f"{each}: its config.json is not here yet, so BERT-base is assumed: 12 layers of 768 channels"
                for each in result.assumed]  # fmt: skip
    if any(each.basis == "benchmark table" for each in result.stages):
        remarks.append(f"benchmark table: measured on {table.hardware}; workflow/estimate/costs.yaml")
    if any(each.basis.startswith("computed") for each in result.stages):
        device = result.hardware.device
        remarks.append(f"computed: operations of the encoders over {device}'s speed ({table.speed_of(device)})")
    return remarks


def _row(cells: tuple[object, ...]) -> str:
    widths = (25, 5, 21, 19, 5, 6, 20, 20)
    first, *others = map(str, cells)
    padded = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=False)]
    return "  ".join([f"{first:{widths[0]}}", *padded, *others[len(padded) :]]).rstrip()


def _shown(value: Range) -> str:
    if not value.high:
        return "-"
    return f"{_number(value.typical)} [{_number(value.low)}, {_number(value.high)}]"


def _number(value: float) -> str:
    """Format with two figures, because more would suggest false precision."""
    if value >= 10:
        return f"{round(value, 2 - len(str(int(value)))):,.0f}"
    if value >= 0.1:
        return f"{value:.2g}"
    return f"{value:.2f}" if value >= 0.005 else "<.01" if value else "0"


def hardware_of(arguments: Namespace, profile: SiteProfile, wanted: str) -> Hardware:
    """Return the hardware of the command line, else of the profile, else a small share of a cluster."""
    gpus = arguments.gpus or (4 if profile.on_slurm else profile.whole_number("gpu", 1))
    cores = arguments.cores or (64 if profile.on_slurm else os.cpu_count() or 1)
    has_gpu = profile.on_slurm or wanted == "cuda" or Path("/proc/driver/nvidia/version").exists()
    device = arguments.device or ("a100" if has_gpu and wanted != "cpu" else "cpu")
    return Hardware(device, gpus if device != "cpu" else 0, cores, profile.on_slurm)


def parser() -> ArgumentParser:
    """Return the parser of the command."""
    options = ArgumentParser(program_name("python -m workflow.estimate"), description=__doc__,
                             formatter_class=RawDescriptionHelpFormatter)  # fmt: skip
    add_options(options)
    options.add_argument(
        "--device",
        choices=sorted(costs().devices),
        help="device to estimate for [a100 on SLURM, else that of this machine]",
    )
    options.add_argument("--gpus", type=int, help="GPUs in use at a time [4 on SLURM]")
    options.add_argument("--cores", type=int, help="cores in use at a time [64 on SLURM, else all]")
    options.add_argument("--json", action="store_true", help="print JSON instead of the table")
    return options


def main(argv: list[str] | None = None) -> None:
    """Print the estimate."""
    arguments = parser().parse_args(argv)
    with one_line_errors():
        profile = read_profile(arguments.profile)
        config = configuration(profile, arguments.config, arguments.configfile)
        result = estimate(config, hardware_of(arguments, profile, config.device), threads=profile.threads)
        whole = asdict(result) | {"wall_hours": asdict(result.wall_hours)}
        whole |= {"written": result.written, "files": result.files}
        without = list(all_left_out(config))
        whole |= {"not_measured": without}
        print(json.dumps(whole, indent=1) if arguments.json else "\n".join([table(result), *without]))


if __name__ == "__main__":
    main()
