"""What a container is given of the machine."""

import os
from pathlib import Path

import pytest

from stages.common.errors import InputError
from workflow.images.environment import container_environment, container_program, scratch_of_node


def test_variables_of_the_job_are_passed_and_no_others(tmp_path: Path) -> None:
    environ = {
        "CUDA_VISIBLE_DEVICES": "0,2",
        "SLURM_JOB_ID": "7",
        "PYTHONPATH": "/elsewhere",
        "MLFLOW_TRACKING_TOKEN": "t=,",
        "TMPDIR": "/of/the/login/node",
    }
    seen = container_environment({"workspace": tmp_path}, environ, tmp_path)
    passed = {name: value for name, value in seen.items() if name.startswith("APPTAINERENV_")}
    passed = {name: value for name, value in passed.items() if "MLIP_GIT" not in name}
    assert passed == {
        "APPTAINERENV_CUDA_VISIBLE_DEVICES": "0,2",
        "APPTAINERENV_SLURM_JOB_ID": "7",
        "APPTAINERENV_MLFLOW_TRACKING_TOKEN": "t=,",
        "APPTAINERENV_TMPDIR": str(tmp_path),
    }


def test_a_site_that_has_singularity_alone_gets_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert container_program() == "apptainer"  # the one to install
    for name in ("singularity", "apptainer"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        assert container_program() == name
    (tmp_path / "apptainer").unlink()
    environ = {"SLURM_JOB_ID": "7", "SINGULARITY_BIND": "/site", "APPTAINER_BIND": "/other"}
    seen = container_environment({}, environ, tmp_path)
    assert (seen["SINGULARITYENV_SLURM_JOB_ID"], seen["SINGULARITY_BIND"]) == ("7", f"/site,{tmp_path}")
    assert not any(name.startswith("APPTAINER") for name in seen)


def test_folders_are_bound_once_by_their_own_name_and_behind_links(tmp_path: Path) -> None:
    real = tmp_path / "disk" / "mimic"
    real.mkdir(parents=True)
    link = tmp_path / "mimic"
    link.symlink_to(real)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    folders = {"workspace": real, "datasets.a.root": link, "datasets.b.root": tmp_path / "not there yet"}
    seen = container_environment(folders, {"APPTAINER_BIND": "/site"}, scratch)
    assert seen["APPTAINER_BIND"].split(",") == ["/site", str(real), str(link), str(scratch)]


def test_a_job_keeps_the_site_s_folders_and_drops_those_of_the_login_node(tmp_path: Path) -> None:
    login, node = tmp_path / "login", tmp_path / "node"
    login.mkdir()
    node.mkdir()
    on_login_node = container_environment({}, {"APPTAINER_BIND": "/site"}, login)
    on_node = container_environment({}, on_login_node, node)
    assert on_node["APPTAINER_BIND"] == f"/site,{node}"


def test_what_cannot_be_bound_is_named_with_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comma, closed = tmp_path / "a,b", tmp_path / "closed"
    comma.mkdir()
    closed.mkdir()
    readable = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != closed and readable(path, mode))
    with pytest.raises(InputError) as raised:
        container_environment({"datasets.a.root": comma, "datasets.b.root": closed}, {}, tmp_path)
    lines = str(raised.value).splitlines()
    assert lines[0].startswith(f"datasets.a.root: {comma}: ")
    assert lines[1].startswith(f"datasets.b.root: {closed}: ")


def test_the_scratch_of_the_node_is_that_of_the_machine_on_which_a_job_runs(tmp_path: Path, monkeypatch) -> None:
    assert scratch_of_node(None) == {}
    monkeypatch.setenv("OF_THIS_NODE", str(tmp_path))
    folder = scratch_of_node("$OF_THIS_NODE/x")
    assert folder == {"MLIP_NODE_SCRATCH": tmp_path / "x"}
    environ = {"MLIP_NODE_SCRATCH": str(tmp_path / "x"), "APPTAINER_BIND": "/site"}
    absent = container_environment(folder, environ, tmp_path)
    assert str(tmp_path / "x") not in absent["APPTAINER_BIND"].split(","), "a missing folder cannot be bound"
    (tmp_path / "x").mkdir()
    seen = container_environment(folder, environ, tmp_path)
    assert str(tmp_path / "x") in seen["APPTAINER_BIND"].split(",")
    assert seen["APPTAINERENV_MLIP_NODE_SCRATCH"] == str(tmp_path / "x")
