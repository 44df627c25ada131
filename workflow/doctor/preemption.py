"""What becomes of a job that a more urgent one displaces: Snakemake waits for it as if SLURM always requeued it."""

import re
from collections.abc import Iterable

from workflow.doctor.findings import Finding
from workflow.doctor.programs import ask


def check_preemption(names: Iterable[str]) -> Finding:
    """Of the partitions that rules go to.

    snakemake-executor-plugin-slurm 2.8.0 takes the state PREEMPTED for one that ends by itself. A job that was
    cancelled keeps it, and then leaves squeue: the plugin waits for ever.
    """
    configuration = ask("scontrol", "show", "config")
    listed = ask("scontrol", "--oneliner", "show", "partition")
    if not configuration or not listed:
        return Finding("not checked", "preemption", configuration.problem or listed.problem or "")
    general = dict(re.findall(r"^(Preempt\w+)\s*=\s*(\S+)", configuration.output, re.MULTILINE))
    kind = general.get("PreemptType", "preempt/none").removeprefix("preempt/")
    if kind == "none":
        return Finding("ok", "preemption", "this cluster displaces no jobs")
    own = dict(re.findall(r"^PartitionName=(\S+).* PreemptMode=(\S+)", listed.output, re.MULTILINE))
    cluster = general.get("PreemptMode", "OFF")
    # A partition's own mode counts with partition_prio alone: with `qos` it is the cluster's, or the QOS's.
    modes = {name: own.get(name, cluster) if kind == "partition_prio" else cluster for name in names}
    lost = [name for name, mode in modes.items() if "CANCEL" in mode.split(",")]
    if not lost:
        shown = ", ".join(f"{name}: {mode}" for name, mode in modes.items())
        return Finding("ok", "preemption", f"no displaced job is cancelled ({shown})")
    remedy = (
        "name a partition that requeues; else, when Snakemake waits for a job that squeue no longer knows, end it "
        "(Ctrl-C cancels its other jobs, too) and give the same command: trainings go on where they were"
    )
    return Finding("warning", "preemption", f"displaced jobs are cancelled, not requeued, in {', '.join(lost)}", remedy)
