"""Shared parts of the rules: the checked configuration, the image of a job, and the digests that decide on reruns."""

import os
import shlex
import sys
import tempfile
import time
from functools import cache, partial
from pathlib import Path
from typing import get_args

REPOSITORY = Path(str(workflow.current_basedir)).parents[1]
sys.path.insert(0, str(REPOSITORY))

from snakemake.exceptions import WorkflowError
from snakemake.resources import Resources
from snakemake.settings.types import DeploymentMethod

from stages.common.digests import canonical_json
from stages.common.errors import InputError, InputErrors
from stages.common.few_shot.protocols import Protocol
from stages.common.files.code_digest import code_digest
from stages.common.journal.finished_jobs import FOLDER, remove_finished
from stages.common.training.served_states import remove_served
from stages.common.yaml_files import read_mapping
from stages.config import check
from stages.contracts import JOBS, STAGES, job_of
from workflow.gpu_requests import asked_gpus, text_of
from workflow.images.environment import container_environment, scratch_of_node
from workflow.images.running import images_to_run
from workflow.input_files import check_files
from workflow.installed import environment_digest
from workflow.invocation import (
    groups_asked_for,
    last_words,
    print_warnings,
    refuse_left_jobs,
    refuse_unknown_ends,
    sync_command,
    tracking_environment,
)
from workflow.job_groups import check_groups, results_tree, shared_by_groups
from workflow.job_rules import command_of, inputs_of, log_of, outputs_of, path_of, place_of
from workflow.measured import all_left_out
from workflow.rule_requests import MOST, grown, refuse_unknown_rules, rule_requests
from workflow.site_profile import (
    assignments_of,
    check_account,
    check_checkout,
    check_records,
    refuse_padded_numbers,
    snakemake_layers,
)
from workflow.slurm_states import know_cancelled_jobs
from workflow.terminal import replace_handler

STARTED = time.time()
TERMINAL = replace_handler(workflow)  # None where Snakemake's own lines stay
ON_CLUSTER = workflow.resource_settings.nodes is not None  # jobs go to a scheduler
if ON_CLUSTER and workflow.is_main_process:
    know_cancelled_jobs()
APPTAINER_ARGUMENTS = workflow.deployment_settings.apptainer_args
CONTAINERS = DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method

try:
    if Path("config.yaml").exists() or not workflow.overwrite_configfiles:  # Snakemake would name neither file nor line
        read_mapping(Path("config.yaml"), "call snakemake from the folder of the checkout")
except InputError as error:
    raise WorkflowError(str(error)) from None


configfile: "config.yaml"


try:
    check_checkout(REPOSITORY)
    if workflow.is_main_process:  # its own command line, on which alone a number still has its zeros
        refuse_padded_numbers(assignments_of(sys.argv[1:]))
        check_records(Path(".snakemake").absolute())
    CONFIG = check(config, snakemake_layers(workflow))
    if workflow.is_main_process and (wrong := check_files(CONFIG)):
        raise InputErrors(wrong)
    if workflow.is_main_process:
        for line in all_left_out(CONFIG):
            print(line, file=sys.stderr)
        # inherited by jobs: what MLflow shows together (docs/decisions/0016)
        os.environ |= tracking_environment(CONFIG.project, Path(CONFIG.workspace), CONFIG.register_models)
    SCRATCH = scratch_of_node(CONFIG.node_scratch)
    os.environ |= {name: str(folder) for name, folder in SCRATCH.items()}
    check_account(workflow.resource_settings.default_resources)
    SITE, REQUESTS = workflow.resource_settings, rule_requests(REPOSITORY / "workflow" / "rules")
    if workflow.is_main_process:
        refuse_unknown_rules("set-resources", SITE.overwrite_resources, REQUESTS)
        refuse_unknown_rules("set-threads", SITE.overwrite_threads, REQUESTS)
        groups, components = groups_asked_for(sys.argv[0], sys.argv[1:])
        scopes = SITE.overwrite_resource_scopes or {}
        check_groups(groups, components, SITE.resources, scopes, SITE.default_resources or {}, REQUESTS)
        SITE.overwrite_resources = {
            name: Resources.parse([f"{each}={text_of(value)}" for each, value in asked.items()], allow_expressions=True)
            for name, asked in shared_by_groups(groups, SITE.overwrite_resources).items()
        }
    for name in SITE.overwrite_resources.keys() & REQUESTS.keys():
        asked_gpus(name, SITE.overwrite_resources[name], REQUESTS[name].gpus)
    FINISHED = Path(CONFIG.workspace).absolute() / "state" / "finished"  # of jobs in groups
    IMAGES = images_to_run(REPOSITORY, verify=workflow.is_main_process) if CONTAINERS else {}
    if CONTAINERS:
        Path(CONFIG.workspace).mkdir(parents=True, exist_ok=True)  # a missing folder cannot be bound
        os.environ |= container_environment(
            CONFIG.folders() | {"the checkout": REPOSITORY} | SCRATCH, os.environ, Path(tempfile.gettempdir())
        )
    PLANTED = [name for name in CONFIG.used_datasets if CONFIG.is_phantom(name)]
except InputError as error:
    raise WorkflowError(str(error)) from None

# `2> "$(new_log {log:q})"`: a file for each attempt, named by its start and job, and {log} as a link to the newest
# one, because Snakemake deletes {log} before it tries again. Where the file system has no links there is only {log}.
NEW_LOG = (
    "new_log() {{ local file=${{1%.log}}.$(date +%Y-%m-%dT%H-%M-%S).${{SLURM_JOB_ID:-$$}}.log;"
    ' ln -s "${{file##*/}}" "$1" && echo "$file" || echo "$1"; }}; '
)

# Stages are modules of the repository, wherever snakemake is called from. `set`: as in Snakemake's own prefix.
SAFE_PATH = "PYTHONSAFEPATH=1"  # the modules of this checkout, whatever the current folder holds
shell.prefix(f"set -euo pipefail; export PYTHONPATH={shlex.quote(str(REPOSITORY))} {SAFE_PATH}; {NEW_LOG}")

# Into the server that MLFLOW_TRACKING_URI names, else into <workspace>/mlflow.db.
SYNC = sync_command(CONFIG.project, CONFIG.workspace, CONFIG.register_models)


# Priority of all stages from the data to audit_splits: what is wrong with data, labels or splits is found before hours
# of training. The audit is no input of the training, which a change of labels or of `evaluate_on` would then repeat.
BEFORE_TRAINING = 1


digest_of_code = cache(code_digest)  # one stage has up to hundreds of jobs


def code_of(stage):
    """Return a function for the digest of a stage's code; comments and formatting do not count.

    It is computed late, because every job reads all rules.
    """
    return lambda wildcards: digest_of_code(f"stages.{stage}.__main__")


def settings_of(stage):
    """Return a function from a job's wildcards to its settings as JSON."""
    return lambda wildcards: canonical_json(
        CONFIG.settings(stage, wildcards.get("dataset"), wildcards.get("variant")).model_dump(mode="json")
    )


def image_of(image):
    """Return the digest of an image; without containers, of what is installed of the image's pins."""
    if CONTAINERS:
        return IMAGES[image].digest
    try:
        return f"env-{environment_digest(REPOSITORY / 'envs' / f'{image}.lock')[:16]}"
    except InputError as error:
        raise WorkflowError(str(error)) from None


def container_of(image):
    """Return the SIF of an image; its name holds the digest, because Snakemake does not look into the file."""
    return str(IMAGES[image].sif) if CONTAINERS else None


def identity_of(stage, image, command="", name=None, settings=None, **known):
    """Return the params of every rule: the digests that decide on reruns, the run's name and its journal."""
    job = job_of(stage, command)
    place = place_of(job, **known)
    folder = "/".join(filter(None, (CONFIG.workspace, "results", stage, place)))
    return {
        "code": code_of(stage),
        "settings": settings or settings_of(stage),
        "image": image_of(image) if image else "none",
        "name": place if name is None else name,
        "journal": f"{folder}/{job.journal_file}",
    }


def of_checkout(path):
    """Return a file or folder of the checkout as a relative input, so that a moved checkout reruns nothing."""
    return os.path.relpath(REPOSITORY / path)


def growing(first, most=MOST):
    """Return a resource that doubles with every attempt, up to `most` times the first."""
    return lambda wildcards, attempt: grown(first, attempt, most)
