"""What a person sees in MLflow's pages: the runs, the tree below a call of the workflow, params, data sets, charts.

Headless Chromium loads the pages of a real server. MLIP_PICTURE=FILE.png writes a picture;
MLIP_UI_STORE=FILE.db looks at the store of another run than the miniature.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow_process import MlflowProcess

from stages.sync.quiet_mlflow import MlflowClient
from stages.sync.view import runs_page

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("finished_run")]  # which it asks for only if no store is given

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
         "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip
RUNS = "runs?workflowType=machine_learning"
BY_STAGE = "orderByKey=tags.%60mlip.stage%60&orderByAsc=true"  # sorted runs are not folded below their call


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("CHROMIUM ABSENT: apt-get install chromium, to see MLflow's pages as a person does")
    return found


@pytest.fixture(scope="module")
def database(request: pytest.FixtureRequest) -> Path:
    if given := os.environ.get("MLIP_UI_STORE"):
        return Path(given)
    return request.getfixturevalue("finished_run").folder / "runs" / "demo" / "mlflow.db"


@pytest.fixture(scope="module")
def server(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process = MlflowProcess(database, tmp_path_factory.mktemp("artifacts"))
    process.start()
    yield process.uri
    process.kill()


def page(chromium: str, address: str, profile: Path, seen: str) -> str:
    """The text of a page that shows `seen` (a regular expression), asked for until its scripts were in time for that.

    Each load has 60 s of the page's own clock; the next one finds the scripts in the profile's cache.
    """
    text = ""
    for _ in range(20):
        text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", load(chromium, address, profile, "--dump-dom")))
        if re.search(seen, text):
            return text
    pytest.fail(f"{address} does not show {seen}; it ends with: {text[-1500:]}")


def load(chromium: str, address: str, profile: Path, *more: str) -> str:
    command = [chromium, *FLAGS, f"--user-data-dir={profile}", "--window-size=1850,900",
               "--virtual-time-budget=60000", *more, address]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=500).stdout


def test_runs_tree_and_charts_are_seen(chromium: str, server: str, database: Path, tmp_path: Path) -> None:
    client = MlflowClient(f"sqlite:///{database}")
    (experiment,) = [each for each in client.search_experiments() if each.name == "mlip-demo"]
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id], max_results=1000)}
    base = f"{server}/#/experiments/{experiment.experiment_id}"
    view = server + runs_page(experiment.experiment_id)

    calls = [run for run in runs.values() if "mlip.invocation" in run.data.tags]
    groups = [run for run in runs.values() if "mlip.group" in run.data.tags]
    text = page(chromium, view, tmp_path, "test/hit_rate")  # the columns
    assert all(call.info.run_name in text for call in calls)
    shown = [name for name in ("make_phantom", "mlip on rsna", "summarize") if name in runs]
    assert [text.index(f" {name} ") for name in shown] == sorted(text.index(f" {name} ") for name in shown)
    assert f" {runs['mlip on rsna'].data.metrics['test/auc']:g} " in text
    assert "pretrain/mlip" not in text  # folded below its group
    parents = {run.data.tags.get("mlflow.parentRunId") for run in runs.values() if run not in calls}
    assert parents <= {run.info.run_id for run in [*calls, *groups]}

    training = runs["pretrain/mlip"]
    text = page(chromium, f"{base}/runs/{training.info.run_id}", tmp_path, "mask_ratio")
    assert "pretrain/mlip" in text
    assert "loss/total" in text
    # the page names the first data sets and counts the others
    assert any(each.dataset.name in text for each in training.inputs.dataset_inputs)

    charts = f"{base}/runs/{training.info.run_id}/model-metrics"
    page(chromium, charts, tmp_path, r"pretrain/mlip \(\w+/\w+\)")  # the legend: a chart was drawn

    text = page(chromium, f"{base}/{RUNS}&{BY_STAGE}", tmp_path, "dicom_to_arrow/rsna")
    assert "dicom_to_arrow/rsna/0" not in text  # a scattered stage is one run

    if picture := os.environ.get("MLIP_PICTURE"):
        _picture(chromium, view, tmp_path, Path(picture))


def _picture(chromium: str, address: str, profile: Path, path: Path) -> None:
    """The list of runs, 1,376 px wide: without the assistant's panel at the right."""
    from PIL import Image

    load(chromium, address, profile, f"--screenshot={profile / 'page.png'}")
    image = Image.open(profile / "page.png").convert("RGB").crop((0, 0, 1376, 900))
    image.quantize(96).save(path, optimize=True)
