"""Find out before a long run what is right and wrong, each with its remedy.

  python -m workflow.doctor                            what `snakemake --profile workflow/profiles/local` would find
  python -m workflow.doctor --configfile FILE          the same with FILE laid over config.yaml
  python -m workflow.doctor --profile slurm --gpu      also request one GPU from the cluster and test it from inside

Nothing is changed; the exit status is 1 if a run would fail.
"""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator
from pathlib import Path

from stages.common.command_line import one_line_errors, program_name
from stages.common.errors import InputError
from stages.configuration import Config
from workflow.doctor.containers import check_apptainer, check_compiler, check_images, check_inside
from workflow.doctor.findings import Finding, failed, table
from workflow.doctor.folders import check_disk, check_node_scratch, check_scratch, check_workspace, existing
from workflow.doctor.gpu import check_gpu
from workflow.doctor.indexes import Indexes
from workflow.doctor.inputs import check_datasets, check_weights
from workflow.doctor.labels import check_labels
from workflow.doctor.quotas import check_quotas
from workflow.doctor.sharing import check_locks, check_sharing
from workflow.doctor.slurm import check_slurm
from workflow.doctor.surroundings import check_programs
from workflow.doctor.tracking_server import check_tracking
from workflow.doctor.training_studies import check_training_studies
from workflow.estimate.whole_run import room_for_run
from workflow.gpu_requests import asked_gpus
from workflow.images.lock import Image
from workflow.input_files import check_files
from workflow.job_groups import largest_groups, with_jobs
from workflow.measured import left_out, measured
from workflow.rule_requests import rule_requests
from workflow.site_profile import SiteProfile, add_options, configuration, read_profile

ROOT = Path(__file__).resolve().parents[2]


def examine(arguments: Namespace) -> list[Finding]:
    """Return all findings, in the order in which a person would fix them."""
    requests = rule_requests(ROOT / "workflow" / "rules")
    try:
        profile = read_profile(arguments.profile)
        profile.check_rules(requests)
    except InputError as error:
        return Finding.of_error("profile", error)
    findings = [Finding("ok", "profile", str(profile.path)), *check_scratch()]
    config, of_config = _configuration(profile, arguments)
    if profile.on_slurm:
        retries = config.pretrain_retries if config else Config.model_fields["pretrain_retries"].default
        groups = largest_groups(config, requests, profile.groups, profile.group_components) if config else {}
        findings += check_slurm(profile, with_jobs(config, requests) if config else requests, retries, groups)
    images: dict[str, Image] = {}
    if profile.in_containers:
        findings.append(check_apptainer())
        of_images, images = check_images(ROOT)
        findings += of_images
    else:
        findings += check_programs(ROOT / "envs")
    findings += of_config
    return [*findings, *(_of_configuration(config, profile, images, arguments) if config else ())]


def _configuration(profile: SiteProfile, arguments: Namespace) -> tuple[Config | None, list[Finding]]:
    """Return the configuration, if it is valid, and its findings."""
    try:
        config = configuration(profile, arguments.config, arguments.configfile)
        config.folders()  # a root may need `sample_root`
    except InputError as error:
        skipped = Finding(
            "not checked", "the rest", "data, weights, disk, GPU: these checks need a valid configuration"
        )
        return None, [*Finding.of_error("config", error), skipped]
    return config, [Finding("ok", "config", f"valid; {_described(config)}")]


def _of_configuration(
    config: Config, profile: SiteProfile, images: dict[str, Image], arguments: Namespace
) -> Iterator[Finding]:
    if profile.in_containers and not failed([check_apptainer()]):
        yield from check_inside(config, ROOT, images)
        yield from check_compiler(config, images.get("torch"))
    yield check_gpu(profile, config, images.get("torch"), arguments.gpu_seconds if arguments.gpu else None)
    indexes = Indexes(config)
    yield from check_datasets(config, indexes, arguments.every_file)
    for name in config.evaluate_on:
        what, without = measured(config, name), left_out(config, name)
        yield Finding("ok", f"evaluations {name}", f"{what}; not measured: {without}" if without else what)
    for wrong in check_files(config):
        yield from Finding.of_error("evaluation", wrong)
    yield from check_labels(config, indexes)
    yield from check_training_studies(config, indexes, _gpus_of_training(profile))
    yield from check_weights(config)
    workspace = Path(config.workspace)
    yield check_workspace(workspace)
    yield from check_sharing(workspace, Path(".snakemake"))
    yield from check_locks(workspace)
    yield from check_node_scratch(config.node_scratch, profile.on_slurm)
    try:
        needed = room_for_run(config, indexes.of)
    except InputError as error:
        yield Finding("not checked", "disk", f"no estimate of the disk space for a run: {error}")
    else:
        yield from check_disk(workspace, needed)
        yield from check_quotas(existing(workspace), needed)
    yield check_tracking(workspace, config.project, profile.on_slurm)


def _gpus_of_training(profile: SiteProfile) -> int:
    """Return the number of GPUs that the profile gives to one training."""
    try:
        return asked_gpus("pretrain", profile.resources_of("pretrain"), 1) or 1
    except InputError:  # snakemake refuses it
        return 1


def _described(config: Config) -> str:
    evaluated = ", ".join(config.evaluate_on) or "no labels"
    variants, trainings = len(config.compare), len(config.compared)
    seeds = f" ({trainings} trainings, one per seed)" if trainings > variants else ""
    return f"pre-trains {variants} variants{seeds} on {config.pretrain_on}, evaluates on {evaluated}"


def parser() -> ArgumentParser:
    """Return the parser of the command."""
    options = ArgumentParser(program_name("python -m workflow.doctor"), description=__doc__,
                             formatter_class=RawDescriptionHelpFormatter)  # fmt: skip
    add_options(options)
    options.add_argument(
        "--gpu", action="store_true", help="request a GPU from the cluster and query it inside a container"
    )
    options.add_argument("--gpu-seconds", type=float, default=120, help="seconds to wait for the GPU [%(default)s]")
    options.add_argument("--every-file", action="store_true", help="check every image file, not 20,000 per data set")
    return options


def main(argv: list[str] | None = None) -> None:
    """Print the findings; exit with status 1 if a run would fail."""
    arguments = parser().parse_args(argv)
    with one_line_errors():
        findings = examine(arguments)
        print(table(findings))
    if failed(findings):
        sys.exit(1)


if __name__ == "__main__":
    main()
