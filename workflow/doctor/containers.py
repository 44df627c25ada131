"""Checks of Apptainer and the images: they run, and a container sees what it must."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from stages.common.errors import InputError
from stages.configuration import Config
from workflow.doctor.findings import Finding, ask, present
from workflow.images.environment import PASSED, container_environment, container_program
from workflow.images.lock import REMEDY, Image, read_images_lock
from workflow.images.recipes import image_names
from workflow.images.running import image_problems, remembered_sif_problem

_IN_CONTAINER = ("--silent", "exec", "--cleanenv")


def check_apptainer() -> Finding:
    """Check that Apptainer, or Singularity, is there and starts."""
    program = container_program()
    if not present(program):
        remedy = (
            "install it, or load it (`module load apptainer`) on the machine that runs snakemake and on "
            "the compute nodes"
        )
        return Finding("error", "Apptainer", "no apptainer on PATH", remedy)
    version = ask(program, "--version")
    if not version:
        return Finding(
            "error", "Apptainer", version.problem or "", "ask your site: Apptainer is installed, but does not start"
        )
    return Finding("ok", "Apptainer", version.output.strip())


def _prefix() -> str:
    return f"{container_program().upper()}ENV_"


def check_images(checkout: Path) -> tuple[list[Finding], dict[str, Image]]:
    """Return a finding for each image, and the images that can be used."""
    try:
        images = read_images_lock(checkout / "docker" / "images.lock.yaml")
    except InputError as error:
        return Finding.of_error("images", error), {}
    names = image_names(checkout)
    problems = image_problems(checkout, images, names, remembered_sif_problem)
    findings = [
        Finding("error", f"image {name}", problems[name], REMEDY)
        if name in problems
        else Finding("ok", f"image {name}", f"{images[name].sif} is as built, and the pins are unchanged")
        for name in names
    ]
    return findings, {name: images[name] for name in names if name not in problems}


def check_inside(config: Config, checkout: Path, images: Mapping[str, Image]) -> list[Finding]:
    """Start a container here, as a job does: Python runs, variables arrive, the folders can be read."""
    if not images:
        return [Finding("not checked", "container", "there is no image to start")]
    name, image = next(iter(images.items()))
    folders = {**config.folders(), "the checkout": checkout}
    try:
        environment = container_environment(folders, os.environ, Path(tempfile.gettempdir()))
    except InputError as error:
        return Finding.of_error("bind paths", error)
    started = ask(
        container_program(), *_IN_CONTAINER, str(image.sif), "python", "--version", seconds=120, environment=environment
    )
    if not started:
        remedy = (
            f"run `{container_program()} exec SIF python --version` and correct what it reports; on a cluster, also on "
            "a compute node"
        )
        return [Finding("error", "container", f"image {name} does not start: {started.problem}", remedy)]
    return [
        Finding("ok", "container", f"image {name} starts: {started.output.strip()}"),
        check_variables(image, environment),
        check_binds(image, environment, [*folders.values(), Path(environment[f"{_prefix()}TMPDIR"])]),
    ]


def check_variables(image: Image, environment: Mapping[str, str]) -> Finding:
    """Check that the variables that are let through arrive. Their values are compared, never shown."""
    told = {name: environment[_prefix() + name] for name in PASSED if _prefix() + name in environment}
    inside = ask(container_program(), *_IN_CONTAINER, str(image.sif), "env", seconds=120, environment=environment)
    seen = dict(line.partition("=")[::2] for line in inside.output.splitlines())
    lost = [name for name, value in told.items() if seen.get(name) != value]
    if lost or not inside:
        remedy = (
            f"check whether a configuration or a variable {container_program().upper()}_* of your site forbids them"
        )
        return Finding("error", "variables", f"not visible inside: {', '.join(lost) or inside.problem}", remedy)
    return Finding(
        "ok", "variables", f"visible inside: {', '.join(told) or 'none of the passed variables is set here'}"
    )


def check_binds(image: Image, environment: Mapping[str, str], folders: list[Path]) -> Finding:
    """Check that every folder that jobs use can be read inside."""
    present_here = [str(folder.absolute()) for folder in folders if folder.exists()]
    script = 'for place; do test -r "$place" || echo "$place"; done'
    inside = ask(
        container_program(),
        *_IN_CONTAINER,
        str(image.sif),
        "sh",
        "-c",
        script,
        "sh",
        *present_here,
        seconds=120,
        environment=environment,
    )
    lost = inside.output.split("\n")[:-1]
    if lost or not inside:
        bind = f"{container_program().upper()}_BIND"
        remedy = f"bind the real path: export {bind}=/real/path (a folder behind a link needs both paths)"
        return Finding("error", "bind paths", f"not readable inside: {', '.join(lost) or inside.problem}", remedy)
    return Finding("ok", "bind paths", f"readable inside: {', '.join(dict.fromkeys(present_here))}")


_FIND_COMPILER = 'for each in ${CC:-gcc clang}; do command -v "$each" && exit; done; exit 1'  # where Triton looks


def check_compiler(config: Config, image: Image | None) -> list[Finding]:
    """Check that variants with torch.compile find a C compiler in their image; no finding where there are none."""
    settings = {name: config.settings("pretrain", variant=name).optimisation for name in config.compare}
    on_gpu = config.device != "cpu"  # where `auto` compiles
    settings = {name: each for name, each in settings.items() if each.compiled is True or (each.compiled and on_gpu)}
    if not settings:
        return []
    if image is None:
        return [Finding("not checked", "C compiler", "there is no image `torch` to check")]
    found = ask(container_program(), *_IN_CONTAINER, str(image.sif), "sh", "-c", _FIND_COMPILER, seconds=120)
    if found:
        return [Finding("ok", "C compiler", f"torch.compile finds {found.output.strip()} in the image torch")]
    what = "none in the image torch, but torch.compile needs one on a GPU"
    remedy = "build the image again with `make images`: docker/torch/Dockerfile names its compiler in CC"
    refused = [name for name, each in settings.items() if each.compiled is True]
    if refused:
        what, remedy = f"{what}: {', '.join(refused)} would be refused", f"set compiled to auto, or {remedy}"
        return [Finding("error", "C compiler", what, remedy)]
    return [Finding("warning", "C compiler", f"{what}: pre-training would run without it, more slowly", remedy)]
