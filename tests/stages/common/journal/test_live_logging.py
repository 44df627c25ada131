"""Live logging shows what the server takes, and whatever the server does, the stage ends as it would without it."""

import json
from contextlib import ExitStack

import pytest
from eventually import SECONDS, eventually
from fake_mlflow import FakeMlflow, serving

from stages.common.journal import live_logging, mlflow_server
from stages.common.journal.journals import read_journal
from stages.common.journal.tracking import track
from stages.common.settings import Settings


class Example(Settings):
    seed: int = 0


@pytest.fixture
def quick(monkeypatch):
    """Seconds of waiting become hundredths."""
    for module, name, value in (
        (live_logging, "_SECONDS_BEFORE", 0.0),
        (live_logging, "_SECONDS_BETWEEN", 0.02),
        (live_logging, "_PAUSE", 0.02),
        (live_logging, "_LONGEST_PAUSE", 0.05),
        (live_logging, "_SHARE", 1000.0),
        (live_logging, "_LONGEST_WAIT", SECONDS),
        (live_logging, "_warned", False),
        (mlflow_server, "_SECONDS_BEFORE_RETRY", 0.01),
        (mlflow_server, "_SECONDS_A_CALL", 0.3),
    ):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "project")
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)


@pytest.fixture
def fake():
    return FakeMlflow()


@pytest.fixture
def journal(tmp_path, quick):  # noqa: ARG001
    return tmp_path / "journal.json"


def stage(journal, steps=3, between=lambda *_: None):
    """Log `steps` losses, with `between(step, live)` after each, and return the journal."""
    with track("sync", "mlip", journal=journal, settings=Example(), inputs={}) as run:
        for step in range(steps):
            run.log_metric("loss", 1.0 / (step + 1), step)
            between(step, run.live)
    return read_journal(journal).journal


def failed(live):
    eventually(lambda: live.failures)


def at_the_last_of(steps, act):
    return lambda step, live: act(live) if step == steps - 1 else None


def live(journal):
    return [(each.key, each.value, each.step) for each in journal.metrics if each.key == "loss"]


def shown(run):
    return [(each["key"], each["value"], each["step"]) for each in run["metrics"] if each["key"] == "loss"]


def test_a_run_is_shown_while_it_runs_and_ended_under_the_key_of_its_journal(fake, journal, monkeypatch):
    with serving(fake) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        seen = []

        def wait(step, _):
            eventually(lambda: any(len(shown(run)) > step for run in fake.runs.values()))
            seen.append([run["ended"] for run in fake.runs.values()])

        found = stage(journal, between=wait)
    assert list(fake.runs) == [found.key]
    run = fake.runs[found.key]
    assert seen == [[None]] * 3  # while it ran
    assert shown(run) == live(found)
    assert (run["run_name"], run["start_time"], run["ended"]) == ("sync/mlip", found.started, ("FINISHED", found.ended))
    assert run["params"] == [{"key": "seed", "value": "0"}]
    assert any("experiment_name=project" in path for path, _ in fake.calls)


@pytest.mark.parametrize("mode", ["403", "500", 1.0, "cut", "noise", "nobody"])
def test_a_server_that_does_not_serve_costs_one_line(fake, journal, monkeypatch, capfd, mode):
    fake.mode = "ok" if mode == "nobody" else mode
    with ExitStack() as stack:
        uri = "http://127.0.0.1:9" if mode == "nobody" else stack.enter_context(serving(fake))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.replace("//", "//user:hunter2@"))
        found = stage(journal, between=at_the_last_of(3, failed))
    assert (found.status, len(live(found))) == ("FINISHED", 3)
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    assert err.startswith(f"warning: MLflow at {uri}: ")
    assert "3 values were not shown live; the next sync adds them" in err
    assert "hunter2" not in err + journal.read_text()
    assert not fake.runs


@pytest.mark.parametrize("mode", ["cut", "noise"])
def test_a_connection_that_breaks_within_an_answer_is_tried_again(fake, journal, monkeypatch, mode):
    """As a proxy does that restarts; what is shown goes on afterwards."""
    fake.mode = mode

    def mend(live):
        eventually(lambda: live.failures)
        fake.mode = "ok"
        eventually(lambda: fake.runs)

    with serving(fake) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        found = stage(journal, between=at_the_last_of(3, mend))
    (run,) = fake.runs.values()
    assert shown(run) == live(found)


def test_the_stage_does_not_wait_for_a_server_that_hangs(fake, journal, monkeypatch):
    """By its own clock: a thousand metrics and the end, while every call takes for ever."""
    monkeypatch.setattr(mlflow_server, "_SECONDS_A_CALL", 600.0)
    monkeypatch.setattr(live_logging, "_SHARE", 0.01)
    fake.mode = 600.0
    with serving(fake) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        found = stage(journal, 1000, lambda step, _: eventually(lambda: fake.calls) if step == 0 else None)
        assert len(live(found)) == 1000
        assert not fake.runs  # it was over before the first answer came


def test_a_server_that_is_killed_and_restarted_gets_what_it_missed(fake, journal, monkeypatch, capfd):
    with ExitStack() as first, ExitStack() as second:
        uri = first.enter_context(serving(fake))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

        def kill_and_restart(step, live):
            if step == 1:
                eventually(lambda: any(len(shown(run)) == 2 for run in fake.runs.values()))
                first.close()
            if step == 3:
                failed(live)
                second.enter_context(serving(fake, int(uri.rpartition(":")[2])))
                eventually(lambda: len(shown(next(iter(fake.runs.values())))) == 4)
                eventually(lambda: not live._failing)  # only then does the end wait for the last batch

        found = stage(journal, 6, kill_and_restart)
    (run,) = fake.runs.values()
    assert shown(run) == live(found)
    assert len(live(found)) == 6
    assert ", 0 values were not shown live" in capfd.readouterr().err


def test_more_than_the_queue_holds_is_left_to_sync(journal, monkeypatch, capfd):
    monkeypatch.setattr(live_logging, "_WAITING", 10)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    found = stage(journal, 50, at_the_last_of(50, failed))
    assert len(live(found)) == 50
    assert ", 50 values were not shown live" in capfd.readouterr().err


@pytest.mark.parametrize("uri", ["sqlite:////shared/mlflow.db", "databricks", "file:/shared"])
def test_what_jobs_cannot_share_is_refused_in_one_line_and_once(journal, monkeypatch, capfd, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert stage(journal).status == stage(journal).status == "FINISHED"
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith(f"warning: MLFLOW_TRACKING_URI is {uri}; live logging needs http:// or https://")


def test_an_address_that_is_none_costs_one_line(journal, monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:hunter2@host:no-port")
    assert stage(journal, between=at_the_last_of(3, failed)).status == "FINISHED"
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("warning: MLflow at http://")
    assert "hunter2" not in err


def test_odd_names_and_numbers_are_left_to_sync(fake, journal, monkeypatch):
    with serving(fake) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with track("sync", "", journal=journal, settings=Example(), inputs={}) as run:
            run.log_metrics({"auc(test)[0]": 1.0, "nan": float("nan"), "inf": float("inf"), "good": 2.0})
            eventually(lambda: any(run["metrics"] for run in fake.runs.values()))
    (shown_run,) = fake.runs.values()
    assert [each["key"] for each in shown_run["metrics"]] == ["good"]


def test_nothing_is_sent_of_a_short_stage_or_of_a_part_or_unasked(fake, journal, monkeypatch):
    with serving(fake) as uri:
        stage(journal)  # no variable
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        stage(journal.with_name("journal_3.json"))
        monkeypatch.setattr(live_logging, "_SECONDS_BEFORE", 60.0)
        stage(journal)
    assert fake.calls == []


@pytest.mark.parametrize(
    ("address", "variables", "header"),
    [
        ("", {}, None),
        ("user:p%40ss@", {}, "Basic dXNlcjpwQHNz"),
        ("", {"USERNAME": "user", "PASSWORD": "p@ss"}, "Basic dXNlcjpwQHNz"),
        ("", {"TOKEN": "abc"}, "Bearer abc"),
        ("user:p%40ss@", {"TOKEN": "abc"}, "Basic dXNlcjpwQHNz"),  # as MLflow's client does it
    ],
)
def test_credentials_go_into_the_header_alone(fake, journal, monkeypatch, address, variables, header):
    for name, value in variables.items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    with serving(fake) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.replace("//", f"//{address}"))
        found = stage(journal, between=lambda *_: eventually(lambda: any(map(shown, fake.runs.values()))))
    assert {headers.get("Authorization") for _, headers in fake.calls} == {header}
    assert all("ss" not in json.dumps(run["tags"]) for run in fake.runs.values())
    assert found.tags["mlflow_run"] == f"{uri}/#/experiments/7/runs/{found.key}"  # as a page may show it


def test_the_failure_of_a_stage_is_shown(fake, journal, monkeypatch):
    def broken():
        stage(journal, between=lambda *_: eventually(lambda: fake.runs) or 1 / 0)

    with serving(fake) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(ZeroDivisionError):
            broken()
        eventually(lambda: next(iter(fake.runs.values()))["ended"])
    assert next(iter(fake.runs.values()))["ended"][0] == "FAILED"
