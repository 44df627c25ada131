"""Containers, GPU, room and the tracking server, played by scripts and by a server on loopback."""

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import product
from pathlib import Path
from threading import Thread

import pytest
import yaml
from other_users import small_disk

from stages.common.errors import InputError
from stages.common.journal.mlflow_server import MlflowServer
from stages.config import check
from stages.sync.quiet_mlflow import MlflowClient
from stages.sync.synchronise import synchronise
from workflow.doctor.containers import check_apptainer, check_compiler, check_inside
from workflow.doctor.folders import check_disk, check_node_scratch, check_scratch, check_workspace
from workflow.doctor.gpu import check_gpu
from workflow.doctor.sharing import check_locks
from workflow.doctor.tracking_server import check_tracking
from workflow.estimate.whole_run import Room
from workflow.images.lock import Image
from workflow.site_profile import SiteProfile

ROOT = Path(__file__).parents[3]
# Apptainer as far as the doctor uses it: variables by their prefix, then the command.
APPTAINER = """[ "$1" = --version ] && echo 'apptainer version 1.4.5' && exit 0
shift; shift; while [ "${1#--}" != "$1" ]; do shift; done; shift
export PATH="$PATH:%s" MLFLOW_TRACKING_URI="$APPTAINERENV_MLFLOW_TRACKING_URI"
%s
exec "$@" """
SLURM = SiteProfile(Path("slurm/config.yaml"), {
    "executor": "slurm", "software-deployment-method": "apptainer", "default-resources": {"slurm_account": "chest"},
    "set-resources": {"pretrain": {"slurm_partition": "gpu", "gpu_model": "a100"}},
})  # fmt: skip


@pytest.fixture
def config(tmp_path: Path):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    for dataset in raw["datasets"].values():
        dataset["root"] = str(tmp_path)
    return check(raw | {"workspace": str(tmp_path / "runs")})


@pytest.fixture
def image(tmp_path: Path) -> Image:
    digest = f"sha256:{'a' * 64}"
    return Image("x", "0.2.0", "docker", digest, "image", 1, digest, digest, "b", digest, tmp_path / "x.sif", digest)


def test_apptainer_is_missed_or_quoted(program) -> None:
    assert check_apptainer().status == "error"
    program("apptainer", "echo 'FATAL: no user namespaces' >&2; exit 255")
    assert "no user namespaces" in check_apptainer().what
    program("apptainer", "echo apptainer version 1.4.5")
    assert check_apptainer().status == "ok"


def test_singularity_does_where_there_is_no_apptainer(program, config, image: Image, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host")
    program("python", "echo Python 3.11.9")
    own = APPTAINER.replace("APPTAINER", "SINGULARITY").replace("apptainer version", "singularity-ce version")
    program("singularity", own % (os.environ["PATH"], ""))
    assert "singularity-ce version 1.4.5" in check_apptainer().what
    findings = check_inside(config, ROOT, {"torch": image})
    assert [each.status for each in findings] == ["ok", "ok", "ok"], findings


def test_a_container_is_asked_what_it_sees(program, config, image: Image, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://secret:word@host")
    program("python", "echo Python 3.11.9")
    program("apptainer", APPTAINER % (os.environ["PATH"], ""))
    findings = check_inside(config, ROOT, {"torch": image})
    assert [each.status for each in findings] == ["ok", "ok", "ok"], findings
    assert "secret" not in str(findings)
    program("apptainer", APPTAINER % (os.environ["PATH"], "unset MLFLOW_TRACKING_URI"))
    _, variables, _ = check_inside(config, ROOT, {"torch": image})
    assert variables.status == "error"
    assert "MLFLOW_TRACKING_URI" in variables.what
    hidden = f'[ "$1" = sh ] && echo {tmp_path} && exit 0'
    program("apptainer", APPTAINER % (os.environ["PATH"], hidden))
    *_, binds = check_inside(config, ROOT, {"torch": image})
    assert (binds.status, str(tmp_path) in binds.what) == ("error", True)


def test_a_training_that_is_compiled_needs_a_compiler_in_the_image(program, config, image, monkeypatch) -> None:
    program("apptainer", APPTAINER % (os.environ["PATH"], ""))
    monkeypatch.delenv("CC", raising=False)
    never = config.pretrain | {"optimisation": config.pretrain["optimisation"] | {"compiled": False}}
    assert check_compiler(config.model_copy(update={"pretrain": never}), image) == []
    assert check_compiler(config.model_copy(update={"device": "cpu"}), image) == []
    (finding,) = check_compiler(config, image)
    assert (finding.status, "more slowly" in finding.what) == ("warning", True), finding
    assert "make images" in finding.remedy
    variant = {"mlip": {"optimisation": {"compiled": True}}}
    compiled = config.model_copy(update={"variants": config.variants | variant})
    (finding,) = check_compiler(compiled, image)
    assert (finding.status, "mlip would be refused" in finding.what) == ("error", True), finding
    assert "compiled to auto" in finding.remedy
    assert [each.status for each in check_compiler(compiled, None)] == ["not checked"]
    program("gcc", "true")
    (finding,) = check_compiler(compiled, image)
    assert (finding.status, finding.what.split("/")[-1]) == ("ok", "gcc in the image torch")
    monkeypatch.setenv("CC", "own-compiler")  # Triton then looks for no other
    (finding,) = check_compiler(compiled, image)
    assert finding.status == "error"
    program("own-compiler", "true")
    (finding,) = check_compiler(compiled, image)
    assert finding.what.endswith("own-compiler in the image torch")


@pytest.mark.parametrize(
    ("inside", "status", "words"),
    [
        ("echo 'GPUS|2|NVIDIA A100 79 GiB|NVIDIA A100 79 GiB'", "ok", "NVIDIA A100 79 GiB"),
        ("echo 'GPUS|0'", "error", "sees none"),
        ("echo 'srun: Unable to allocate resources' >&2; exit 1", "error", "Unable to allocate"),
    ],
)
def test_a_gpu_is_looked_at_from_inside_its_job(program, config, image, tmp_path, inside, status, words) -> None:
    program("srun", f'echo "$@" >{tmp_path}/asked; {inside}')
    finding = check_gpu(SLURM, config, image, seconds=60)
    assert (finding.status, words in finding.what) == (status, True), finding
    asked = (tmp_path / "asked").read_text()
    for option in ("--gres=gpu:a100:1", "--immediate=60", "--partition=gpu", "--account=chest", "exec --nv --cleanenv"):
        assert option in asked


def test_no_gpu_is_asked_for_unasked(program, config, image) -> None:
    program("srun", "exit 1")
    assert check_gpu(SLURM, config, image, None).status == "not checked"
    assert check_gpu(SLURM, config, None, 60).status == "not checked"


@pytest.mark.parametrize(("device", "status"), [("auto", "warning"), ("cuda", "error"), ("cpu", "ok")])
def test_a_machine_without_gpu_is_wrong_only_where_one_is_wanted(program, config, device: str, status: str) -> None:
    program("nvidia-smi", "echo 'No devices were found'; exit 6")
    local = SiteProfile(Path("p/config.yaml"), {})
    assert check_gpu(local, config.model_copy(update={"device": device}), None, None).status == status


def test_room(tmp_path: Path) -> None:
    workspace = tmp_path / "runs" / "main"
    assert check_workspace(workspace).status == "ok"
    assert not workspace.exists()
    assert check_workspace(Path("/proc/runs")).status == "error"
    assert {each.status for each in check_disk(workspace, Room(1.0, 1.0))} == {"ok"}
    disk, _ = check_disk(workspace, Room(1e18, 1.0))
    assert (disk.status, "GB free" in disk.what) == ("error", True)


def test_inodes_that_end_are_an_error(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=10m,nr_inodes=40") as disk:
        free = os.statvfs(disk).f_favail
        assert [each.status for each in check_disk(disk / "runs", Room(1.0, free))] == ["ok", "ok"]
        _, inodes = check_disk(disk / "runs", Room(1.0, free + 1))
    assert (inodes.status, inodes.subject) == ("error", "inodes")
    assert inodes.what == f"{free} files (inodes) free in {disk}; a run leaves about {free + 1}"


def test_the_folder_of_copies_is_checked_where_jobs_run_here(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("OF_THE_NODE", str(tmp_path))
    assert check_node_scratch(None, on_cluster=False) == []
    assert check_node_scratch("$OF_THE_NODE", on_cluster=False)[0].status == "ok"
    (missing,) = check_node_scratch("$OF_THE_NODE/absent", on_cluster=False)
    assert (missing.status, f"{tmp_path}/absent" in missing.what) == ("warning", True)
    assert check_node_scratch("$OF_THE_NODE/absent", on_cluster=True)[0].status == "not checked"


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (finding,) = check_locks(tmp_path)
    assert (finding.status, list(tmp_path.iterdir())) == ("ok", [])

    def lacking(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", lacking)
    (finding,) = check_locks(tmp_path)
    assert (finding.status, "has no locks (flock: ENOLCK)" in finding.what) == ("warning", True), finding
    monkeypatch.setattr(fcntl, "lockf", lacking)
    assert "(flock: ENOLCK, fcntl: ENOLCK)" in check_locks(tmp_path)[0].what


def test_home_and_tmpdir_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    good = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    assert [each.status for each in check_scratch(good)] == ["ok", "ok"]
    assert [each.status for each in check_scratch(good | {"HOME": str(tmp_path / "new")})] == ["ok", "ok"]
    home, temporary = check_scratch({"HOME": "/proc/none", "TMPDIR": "/proc/none"})
    assert (home.status, temporary.status) == ("error", "warning")
    assert "/proc/none: cannot be written (No such file or directory)" in home.what
    assert "/proc/none: no such folder; stages use " in temporary.what
    assert "export TMPDIR=" in temporary.remedy
    assert check_scratch(good | {"HOME": "/proc/none", "XDG_CACHE_HOME": str(tmp_path)})[0].status == "ok"
    assert check_scratch(good | {"TMPDIR": str(tmp_path / "missing")})[1].status == "warning"


class Server(BaseHTTPRequestHandler):
    status, text, seen = 200, "{}", ""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        type(self).seen = f"{self.path} {self.headers.get('Authorization')}"
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.text.encode())

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Server) as listening:
        Thread(target=listening.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{listening.server_port}"
        listening.shutdown()


@pytest.mark.parametrize(
    ("status", "text", "expected", "remedy"),
    [
        (200, "{}", "ok", ""),
        (403, "Invalid Host header - possible DNS rebinding attack detected", "error", "--allowed-hosts"),
        (401, "", "error", "MLFLOW_TRACKING_USERNAME"),
        (500, "", "error", "start the server"),
    ],
)
def test_a_tracking_server_is_asked_once(server: str, monkeypatch, status, text, expected, remedy) -> None:
    monkeypatch.setattr(Server, "status", status)
    monkeypatch.setattr(Server, "text", text)
    finding = check_tracking(Path("runs"), "p", False, {"MLFLOW_TRACKING_URI": f"http://anna:word@{server}"})
    assert (finding.status, remedy in finding.remedy) == (expected, True), finding
    assert Server.seen == "/api/2.0/mlflow/experiments/get-by-name?experiment_name=p Basic YW5uYTp3b3Jk"
    assert "word" not in str(finding)


@pytest.mark.parametrize("address", ["", "anna%40lab:w%2Frd@", "anna@"])
@pytest.mark.parametrize("named", list(product([0, 1], repeat=3)))
def test_the_doctor_and_jobs_sign_in_as_the_client_of_mlflow_does(server: str, monkeypatch, address, named) -> None:
    uri, environ = f"http://{address}{server}", {}
    for is_set, name in zip(named, ("USERNAME", "PASSWORD", "TOKEN"), strict=True):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
        if is_set:
            monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", name.lower())
            environ[f"MLFLOW_TRACKING_{name}"] = name.lower()
    MlflowClient(uri).search_experiments()
    sent = Server.seen.partition(" ")[2]
    assert (sent == "None") == (
        address != "anna%40lab:w%2Frd@" and named not in [(1, 1, 0), (1, 1, 1)] and not named[2]
    )
    assert check_tracking(Path("runs"), "p", False, {"MLFLOW_TRACKING_URI": uri} | environ).status == "ok"
    assert Server.seen.partition(" ")[2] == sent
    assert str(MlflowServer(uri, environ)._headers.get("Authorization")) == sent


@pytest.mark.parametrize("rest", ["qz/jk", "123/jk", "qz?jk", "qz#jk", "q@z/jk"])
def test_a_password_that_is_cut_off_is_refused_and_no_part_of_it_shown(rest: str, tmp_path: Path) -> None:
    uri = f"http://anna:{rest}@127.0.0.1:9"
    finding = check_tracking(tmp_path, "p", False, {"MLFLOW_TRACKING_URI": uri})
    (tmp_path / "results").mkdir()
    with pytest.raises(InputError) as refused:
        synchronise(tmp_path / "results", uri)
    assert (finding.status, "%2F" in str(finding), "%2F" in str(refused.value)) == ("error", True, True)
    assert not re.search("anna|q@?z|jk|123", f"{finding} {refused.value}")


def test_a_certificate_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    environ = {"MLFLOW_TRACKING_URI": "https://host", "MLFLOW_TRACKING_SERVER_CERT_PATH": str(tmp_path / "no.pem")}
    finding = check_tracking(tmp_path, "p", False, environ)
    assert (finding.status, "_SERVER_CERT_PATH" in finding.what) == ("error", True)


@pytest.mark.parametrize("uri", ["file:/data/mlruns", "file:///data/mlruns", "mlruns", "/data/mlruns"])
def test_a_store_that_sync_refuses_names_the_variable(uri: str, monkeypatch, tmp_path: Path) -> None:
    finding = check_tracking(Path("runs"), "p", False, {"MLFLOW_TRACKING_URI": uri})
    assert finding.status == "error"
    assert finding.what.startswith(f"MLFLOW_TRACKING_URI {uri}: ")
    assert "http://HOST:PORT" in finding.remedy
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(InputError, match=r"^MLFLOW_TRACKING_URI "):
        synchronise(tmp_path)
    assert check_tracking(Path("runs"), "p", False, {"MLFLOW_TRACKING_URI": "sqlite:///a.db"}).status == "ok"


def test_no_server_a_silent_one_and_one_on_loopback_of_another_machine(server: str) -> None:
    assert check_tracking(Path("runs"), "p", True, {}).status == "ok"
    assert check_tracking(Path("runs"), "p", True, {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}).status == "error"
    assert check_tracking(Path("runs"), "p", True, {"MLFLOW_TRACKING_URI": f"http://{server}"}).status == "warning"
