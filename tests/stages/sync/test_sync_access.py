"""A server that asks who is there: MLflow's basic auth, and a token that a proxy wants to see."""

import os
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from eventually import SECONDS, eventually
from mlflow_process import MlflowProcess
from postgresql import packages_for_the_server
from slow_proxy import slow_proxy
from store_snapshot import snapshot

from stages.api.checkpoints import checkpoint_folder
from stages.common.errors import InputError
from stages.common.files.code_digest import ROOT
from stages.common.journal.tracking import track
from stages.common.settings import Settings
from stages.sync.quiet_mlflow import MlflowClient
from stages.sync.synchronise import synchronise
from workflow.doctor.tracking_server import check_tracking

pytestmark = pytest.mark.xdist_group("mlflow_server")
ADMIN, ADMINS = "admin", "sesame-of-the-admin"
ANNA, ANNAS = "anna", "sesame/of@anna#1"
BOB, BOBS = "bob", "sesame-of-bob-12"
TOKEN = "sesame-token"
AUTH = """[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/users.db
admin_username = admin
auth_cache_ttl_seconds = 300
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


class Example(Settings):
    seed: int = 0


@pytest.fixture(scope="module")
def basic_auth(tmp_path_factory):
    folder = tmp_path_factory.mktemp("basic_auth")
    (folder / "auth.ini").write_text(AUTH.format(folder=folder))
    variables = packages_for_the_server(folder / "packages", "Flask-WTF==1.3.0", "WTForms==3.2.2") | {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMINS,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of this test",
    }
    server = MlflowProcess(
        folder / "mlflow.db", folder / "artifacts", options=["--app-name", "basic-auth"], variables=variables
    )
    server.start()
    for user, password in ((ANNA, ANNAS), (BOB, BOBS)):
        administer(server.uri, "2.0/mlflow/users/create", username=user, password=password)
    yield server
    server.kill()


@pytest.fixture
def sign_in(monkeypatch):
    """Sets the variables of a user, or of nobody."""

    def signed(user=None, password=None, token=None):
        for name, value in (("USERNAME", user), ("PASSWORD", password), ("TOKEN", token)):
            monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
            if value is not None:
                monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)

    return signed


def administer(uri: str, path: str, **body: str) -> None:
    """As the administrator, by MLflow's REST API."""
    headers = {"Authorization": "Basic " + b64encode(f"{ADMIN}:{ADMINS}".encode()).decode()}
    done = requests.post(f"{uri}/api/{path}", json=body, headers=headers, timeout=SECONDS)
    assert done.status_code == 200, done.text


def doctor(uri, experiment):
    finding = check_tracking(Path("runs"), experiment, False, {**os.environ, "MLFLOW_TRACKING_URI": uri})
    return finding.status, f"{finding.what}; {finding.remedy}"


def logged_live(path):
    """Status of a stage that logged one number, and how many calls failed."""
    with track("sync", path.parent.name, journal=path, settings=Example(), inputs={}) as run:
        run.log_metric("loss", 0.5)
        eventually(lambda: run.live.sent or run.live.failures)
    run.live._thread.join(SECONDS)
    return run.record["status"], run.live.failures


def everything(folder: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("by", ["variables", "address"])
def test_who_signs_in_gets_all_and_no_secret_is_shown(
    basic_auth, sign_in, live_at, choose, tmp_path, capfd, monkeypatch, by
):
    name, uri = f"by {by}", basic_auth.uri
    if by == "variables":
        sign_in(ANNA, ANNAS)
    else:
        sign_in()
        uri = uri.replace("//", f"//{ANNA}:{quote(ANNAS, safe='')}@")
    live_at(uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    choose()
    assert logged_live(tmp_path / "results/sync/live/journal.json") == ("FINISHED", 0)
    summary = synchronise(tmp_path / "results", uri, name)
    assert (summary.warnings, summary.problems, len(summary.models)) == ([], [], 1)
    assert doctor(uri, name)[0] == "ok"
    client = MlflowClient(uri)
    shown = snapshot(client, name)
    assert {run["status"] for run in shown.values()} == {"FINISHED"}
    said = f"{summary} {doctor(uri, name)} {shown} {capfd.readouterr()} {everything(tmp_path / 'results')}"
    assert "sesame" not in said
    assert f"open {basic_auth.uri}/#/" in str(summary)


@pytest.mark.parametrize("user", [(), (ANNA, "sesame-wrong")])
def test_wrong_credentials_are_one_line_and_a_later_sync_completes_all(
    basic_auth, sign_in, live_at, write, tmp_path, capfd, monkeypatch, user
):
    name = f"wrong{len(user)}"
    sign_in(*user)
    live_at(basic_auth.uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    write()
    status, failures = logged_live(tmp_path / "results/sync/live/journal.json")
    assert (status, failures > 0) == ("FINISHED", True)
    with pytest.raises(InputError) as refused:
        synchronise(tmp_path / "results", basic_auth.uri, name)
    lines = [capfd.readouterr().err.strip(), str(refused.value), doctor(basic_auth.uri, name)[1]]
    assert [("HTTP 401" in line, "MLFLOW_TRACKING_USERNAME" in line, "\n" in line) for line in lines] == 3 * [
        (True, True, False)]  # fmt: skip
    assert "sesame" not in str(lines)
    sign_in(BOB, BOBS)
    assert synchronise(tmp_path / "results", basic_auth.uri, name).new == 2
    assert len(snapshot(MlflowClient(basic_auth.uri), name)) == 2


def test_who_may_not_write_is_told_whom_to_ask_and_a_later_sync_completes_all(
    basic_auth, sign_in, live_at, write, tmp_path, capfd, monkeypatch
):
    name = "of anna"
    sign_in(ANNA, ANNAS)
    experiment = MlflowClient(basic_auth.uri).create_experiment(name)
    sign_in(BOB, BOBS)
    live_at(basic_auth.uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    write()
    status, failures = logged_live(tmp_path / "results/sync/live/journal.json")
    assert (status, failures > 0) == ("FINISHED", True)
    with pytest.raises(InputError) as refused:
        synchronise(tmp_path / "results", basic_auth.uri, name)
    lines = [capfd.readouterr().err.strip(), str(refused.value), doctor(basic_auth.uri, name)[1]]
    assert [("HTTP 403" in line, "permission EDIT" in line, "\n" in line) for line in lines] == 3 * [
        (True, True, False)]  # fmt: skip
    assert "'of anna'" in lines[1]
    edit = {"resource_type": "experiment", "resource_id": experiment, "permission": "EDIT"}
    administer(basic_auth.uri, "3.0/mlflow/users/permissions/grant", username=BOB, **edit)
    assert doctor(basic_auth.uri, name)[0] == "ok"
    assert synchronise(tmp_path / "results", basic_auth.uri, name).new == 2
    assert MlflowClient(basic_auth.uri).get_experiment_by_name(name).tags.keys() >= {"mlflow.note.content"}


def test_a_token_that_expires_in_the_middle_is_one_line_and_a_new_one_completes_all(
    sqlite_server, sign_in, write, metric, tmp_path, request
):
    name, valid, asked = request.node.name, {f"Bearer {TOKEN}"}, Counter()

    def knows(header):
        asked[header in valid] += 1
        if asked[True] == 40:  # between the runs
            valid.clear()
        return header in valid

    for number in range(12):
        write(name=f"v{number}", metrics=[metric(0)], files=[("a.txt", "a", True)])
    with slow_proxy(sqlite_server.uri, lambda _: 0.0, knows) as uri:
        sign_in(None, None, TOKEN)
        assert doctor(uri, name)[0] == "ok"
        command = [sys.executable, "-m", "stages.sync", "--journals", str(tmp_path / "results"), "--store", uri]
        done = subprocess.run([*command, "--experiment", name], cwd=ROOT, capture_output=True, text=True, check=False)
        lines = done.stderr.strip().splitlines()
        assert (done.returncode, len(lines), done.stdout) == (2, 1, "")
        assert "MLFLOW_TRACKING_TOKEN" in lines[0]
        assert "401" in lines[0]
        assert TOKEN not in lines[0]
        assert "MLFLOW_TRACKING_TOKEN" in doctor(uri, name)[1]
        sign_in(None, None, "sesame-new")
        valid.add("Bearer sesame-new")
        summary = synchronise(tmp_path / "results", uri, name)
        assert (summary.warnings, summary.problems) == ([], [])
        assert summary.new < 12
        assert synchronise(tmp_path / "results", uri, name).unchanged == 12
    shown = snapshot(MlflowClient(sqlite_server.uri), name)
    assert len(shown) == 12
    assert {tuple(run["artifacts"]) for run in shown.values()} == {("files/a.txt", "manifest.json")}


def test_a_model_that_cannot_be_downloaded_is_one_line_without_a_secret(sqlite_server, sign_in, monkeypatch):
    sign_in()
    with slow_proxy(sqlite_server.uri, lambda _: 0.0, lambda _: False) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.replace("//", "//anna:sesame@"))
        with pytest.raises(InputError, match="MLFLOW_TRACKING_TOKEN") as refused:
            checkpoint_folder("models:/some/1")
    assert "sesame" not in str(refused.value)
