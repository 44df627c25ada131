"""envs/: a reason for every direct dependency, one version of each package everywhere, hashes, licences."""

import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ENVS = Path(__file__).resolve().parents[3] / "envs"
IMAGES = ("preprocess", "report", "torch")
CUDA = re.compile(r"nvidia-|cuda-|triton$|ziglang$")


def direct(name: str) -> list[tuple[Requirement, str]]:
    """Direct dependencies of an .in file and the reason beside each."""
    lines = (ENVS / f"{name}.in").read_text().splitlines()
    parts = [line.partition("#") for line in lines if line.strip() and line[0] not in "#-"]
    return [(Requirement(requirement), reason.strip()) for requirement, _, reason in parts]


def locked(name: str) -> dict[str, tuple[Requirement, list[str]]]:
    """Pins of a lock and their hashes, by normalised name."""
    text = (ENVS / f"{name}.lock").read_text().replace("\\\n", " ")
    entries = {}
    for line in text.splitlines():
        requirement, *hashes = line.split(" --hash=")
        pin = Requirement(requirement)
        assert canonicalize_name(pin.name) not in entries, f"{pin.name} twice in {name}.lock"
        entries[canonicalize_name(pin.name)] = (pin, [each.strip() for each in hashes])
    return entries


def version_of(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    assert specifier.operator == "=="
    return specifier.version


@pytest.mark.parametrize("name", [*IMAGES, "workflow", "local"])
def test_every_direct_dependency_has_a_reason_and_a_pin_that_meets_it(name: str) -> None:
    pins = locked(name)
    for requirement, reason in direct(name):
        assert len(reason) > 3, f"{requirement} in {name}.in has no reason"
        pin, _ = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version_of(pin)), requirement


def test_a_package_has_one_version_everywhere() -> None:
    everywhere = locked("local")
    for name in (*IMAGES, "workflow"):
        for package, (pin, _) in locked(name).items():
            elsewhere = pin.marker is not None and not pin.marker.evaluate({"sys_platform": "linux"})
            if not (CUDA.match(package) or elsewhere):
                assert version_of(everywhere[package][0]) == version_of(pin), package


@pytest.mark.parametrize("name", IMAGES)
def test_every_pin_of_an_image_has_hashes(name: str) -> None:
    for package, (_, hashes) in locked(name).items():
        assert hashes, package
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), package


def test_the_local_environment_takes_any_build_of_torch() -> None:
    pins = locked("local")
    assert not [package for package, (_, hashes) in pins.items() if hashes or CUDA.match(package)]
    assert "+" not in version_of(pins["torch"][0])


def test_torch_is_where_it_belongs() -> None:
    for name in ("preprocess", "report"):
        assert not [package for package in locked(name) if package.startswith("torch") or CUDA.match(package)]
    on_linux = [package for package, (pin, _) in locked("torch").items() if CUDA.match(package)
                and (pin.marker is None
                     or pin.marker.evaluate({"sys_platform": "linux", "platform_machine": "x86_64"}))]  # fmt: skip
    assert {"nvidia-cublas", "nvidia-cudnn-cu13", "nvidia-nccl-cu13", "triton", "ziglang"} <= set(on_linux)


@pytest.mark.parametrize("name", [*IMAGES, "workflow", "local"])
def test_locks_name_no_index(name: str) -> None:
    text = (ENVS / f"{name}.lock").read_text()
    assert not re.search(r"://|--(?:extra-)?index-url|--find-links|--trusted-host", text)


# GPL and AGPL come with nothing that runs. Where metadata names them, or nothing, and yet the package is fine:
EXCEPTIONS = {
    "docutils": "public domain; the GPL is that of its Emacs mode, which the wheel does not hold",
}
PERMISSIVE = re.compile(
    r"MIT|BSD|Apache|ISC|Zlib|Python Software Foundation|PSF|MPL|Mozilla|Permission is hereby granted, free of charge"
)


def licence_of(package: str) -> str:
    """A distribution's licence: its expression, else its classifiers, else its field, else how its file begins."""
    distribution = metadata.distribution(package)
    entries = distribution.metadata
    classifiers = [
        each for each in entries.get_all("Classifier") or [] if each.startswith("License :: OSI Approved ::")
    ]
    files = [file for file in distribution.files or [] if re.match(r"LICEN[CS]E", file.name)]
    return (
        entries.get("License-Expression")
        or "; ".join(classifiers)
        or (entries.get("License") or "")[:200]
        or "".join(file.read_text()[:300] for file in files[:1])
    )


def with_all_they_need(requirements: Iterable[Requirement]) -> set[str]:
    """Installed packages that these need on this platform, their extras included, and they themselves."""
    waiting = [(canonicalize_name(each.name), frozenset(each.extras)) for each in requirements]
    seen = set()
    while waiting:
        package, extras = waiting.pop()
        if (package, extras) in seen or CUDA.match(package):  # those are in an image alone
            continue
        seen.add((package, extras))
        for need in map(Requirement, metadata.requires(package) or []):
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                waiting.append((canonicalize_name(need.name), frozenset(need.extras)))
    return {package for package, _ in seen}


@pytest.mark.parametrize("name", IMAGES)
def test_a_lock_holds_what_its_image_needs_and_nothing_else(name: str) -> None:
    pins = {package: pin for package, (pin, _) in locked(name).items() if not CUDA.match(package)}
    here = {package for package, pin in pins.items() if pin.marker is None or pin.marker.evaluate()}
    assert here == with_all_they_need(requirement for requirement, _ in direct(name)), "run `make lock`"


def test_nothing_that_runs_is_under_the_gpl() -> None:
    roots = [requirement for name in IMAGES for requirement, _ in direct(name)]
    roots += map(Requirement, ["docker", "mlflow", "snakemake", "snakemake-executor-plugin-slurm"])
    found = {package: licence_of(package) for package in with_all_they_need(roots)}
    assert len(found) > 100
    unclear = {
        package: licence
        for package, licence in found.items()
        if package not in EXCEPTIONS and ("GPL" in licence or not PERMISSIVE.search(licence))
    }
    assert not unclear, unclear
    assert set(EXCEPTIONS) <= set(found)
