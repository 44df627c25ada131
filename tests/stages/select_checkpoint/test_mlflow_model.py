"""The model in MLflow's form: without pickle, and usable in a process that cannot see this checkout."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from stages.common.files.code_digest import ROOT, import_closure
from stages.common.inference.model import RadiographModel
from stages.select_checkpoint.mlflow_model import LOADER, export_model, requirements

CLASSES = {"opacity": ["opacity in the left lung ."], "none": ["no opacity ."]}
PROGRAM = """
import json, sys
import mlflow.pyfunc
import pandas as pd

if __name__ == "__main__":
    model = mlflow.pyfunc.load_model(sys.argv[1])
    request = pd.DataFrame([{"image": open(sys.argv[2], "rb").read(), "prompts": json.loads(sys.argv[3])}])
    answer = model.predict(request)
    example = model.predict(pd.DataFrame(json.load(open(sys.argv[4]))))
    import stages
    print(json.dumps({"answer": answer.to_dict("records"), "example": len(example), "code": stages.__file__}))
"""


def clean(folder: Path) -> dict[str, str]:
    """An environment without PYTHONPATH; HOME and the working folder lie elsewhere."""
    return {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder), "OMP_NUM_THREADS": "1",
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}  # fmt: skip


def expected(exported) -> dict[str, float]:
    model = RadiographModel(exported.checkpoint)
    import pandas as pd

    return model.predict(pd.DataFrame([{"path": str(exported.radiograph), "prompts": CLASSES}]))["probabilities"][0]


def answers_in(folder: Path, python: str | Path, exported) -> None:
    """Load the model with that interpreter and ask it."""
    (folder / "program.py").write_text(PROGRAM)
    example = folder / "example.json"
    example.write_text(json.dumps([{"pixels": [[0, 255], [128, 30]], "prompts": CLASSES}]))
    done = subprocess.run(
        [python, "program.py", exported.model, exported.radiograph, json.dumps(CLASSES), example],
        cwd=folder, env=clean(folder), capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    assert Path(answer["code"]) == exported.model / "code" / "stages" / "__init__.py"
    assert answer["answer"][0]["probabilities"] == pytest.approx(expected(exported), abs=1e-6)
    assert answer["example"] == 1


def test_it_loads_and_answers_outside_the_checkout(exported, tmp_path) -> None:
    answers_in(tmp_path, sys.executable, exported)


@pytest.fixture
def environment(tmp_path) -> Iterator[Path]:
    """A new one; removed at once, since pytest keeps the folders of three calls."""
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.package_index
def test_it_answers_where_its_requirements_alone_are_installed(exported, environment, tmp_path) -> None:
    """By pip: some two minutes and 2 GB, most of it PyTorch."""
    python = environment / "bin" / "python"
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    install = [python, "-m", "pip", "install", "--quiet", "--requirement", exported.model / "requirements.txt"]
    done = subprocess.run(install, env=surroundings, capture_output=True, text=True, check=False, timeout=3000)
    assert done.returncode == 0, done.stderr[-3000:]
    answers_in(tmp_path, python, exported)


@pytest.mark.slow
def test_mlflow_models_predict_answers_a_request(exported, tmp_path) -> None:
    record = {"path": str(exported.radiograph), "prompts": CLASSES}
    (tmp_path / "request.json").write_text(json.dumps({"dataframe_records": [record]}))
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", "models", "predict", "-m", exported.model, "-i", "request.json",
         "-o", "answer.json", "-t", "json", "--env-manager", "local"],
        cwd=tmp_path, env=clean(tmp_path), capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    [answer] = json.loads((tmp_path / "answer.json").read_text())["predictions"]
    assert answer["probabilities"] == pytest.approx(expected(exported), abs=1e-6)


def test_nothing_in_it_is_pickled_and_nothing_is_of_other_stages(exported) -> None:
    files = {
        path.relative_to(exported.model).as_posix()
        for path in exported.model.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert not {name for name in files if Path(name).suffix in {".pkl", ".pickle", ".pt", ".pth", ".bin"}}
    flavours = yaml.safe_load((exported.model / "MLmodel").read_text())["flavors"]
    assert set(flavours) == {"python_function"}
    assert flavours["python_function"]["loader_module"] == LOADER
    stages = {name.split("/")[2] for name in files if name.startswith("code/stages/") and name.count("/") > 2}
    assert stages == {"common"}


def test_the_decision_and_a_synthetic_example_travel_with_it(exported) -> None:
    model = yaml.safe_load((exported.model / "MLmodel").read_text())
    assert model["metadata"]["selection"]["chosen_step"] == 9
    example = json.loads((exported.model / "input_example.json").read_text())
    assert example["columns"] == ["pixels", "prompts"]


def test_the_folder_is_the_same_twice(exported, tmp_path) -> None:
    folder = exported.checkpoint.parent
    export_model(tmp_path / "again", exported.checkpoint, folder / "selection.json", folder / "manifest.json")
    for path in exported.model.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert (tmp_path / "again" / path.relative_to(exported.model)).read_bytes() == path.read_bytes(), path


def test_requirements_are_pinned_and_no_index_refuses_them() -> None:
    parsed = [Requirement(line) for line in requirements()]
    assert all(str(each.specifier).startswith("==") and "+" not in str(each.specifier) for each in parsed)
    names = {each.name.lower() for each in parsed}
    assert names >= {
        "torch",
        "torchvision",
        "timm",
        "transformers",
        "pydicom",
        "imagecodecs",
        "pylibjpeg-rle",
        "pandas",
    }
    assert "mlflow" not in names  # MLflow adds itself


def test_pretraining_does_not_rerun_for_it() -> None:
    shipped = {name for name in import_closure(LOADER) if name.startswith("stages.select_checkpoint")}
    for stage in ("pretrain", "dicom_to_arrow", "pair_images_reports"):
        assert not shipped & set(import_closure(f"stages.{stage}.__main__"))
    assert os.path.commonpath([*import_closure(LOADER).values(), ROOT]) == str(ROOT)
