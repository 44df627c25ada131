"""How long one job takes on given hardware, by the table."""

from workflow.estimate.costs import Range, costs
from workflow.estimate.jobs import Job


def job_seconds(job: Job, device: str, cores: int = 1, factor: Range | None = None) -> Range:
    """s of a job on a node that gives it `cores`; `factor` is what earlier jobs say of the table.

    Units are spread over the cores in dicom_to_arrow alone. Reading goes on beside the work: the longer one counts.
    """
    table = costs()
    spread = cores if job.cost.startswith("dicom_to_arrow/") and job.read else 1
    work = table.unit_seconds(job.cost) * (job.units / spread)
    if job.operations:
        on = device if job.gpus or device == "cpu" else "cpu"  # a rule that asks for no GPU gets none
        speed = table.seconds_an_operation(on, job.fp32)
        work += speed * (job.operations / (cores if on == "cpu" else max(1, job.gpus)))
    total = work.at_least(table.reading(job.read)) + table.start(job.cost)
    if factor is None:
        return total
    return Range(total.typical * factor.typical, total.typical * factor.low * 0.8, total.typical * factor.high * 1.25)
