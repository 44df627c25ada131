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

from stages.common.errors import InputError
from stages.common.files.code_digest import ROOT, import_closure
from stages.common.inference.model import RadiographModel
from stages.select_checkpoint import mlflow_model
from stages.select_checkpoint.mlflow_model import (
    LOADER,
    check_model_folder,
    export_model,
    requirements,
    shipped_package,
)

CLASSES = {"opacity": ["opacity in the left lung ."], "none": ["no opacity ."]}
# No `__main__` guard: the model decodes in child processes, which must not run this script again.
PROGRAM = """
import json, sys
import mlflow.pyfunc
import pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
request = pd.DataFrame([{"image": open(sys.argv[2], "rb").read(), "prompts": json.loads(sys.argv[3])}])
answer = model.predict(request)
example = model.predict(pd.DataFrame(json.load(open(sys.argv[4]))))
code = {name: module.__file__ for name, module in sys.modules.items() if name.startswith("mlip_") and "." not in name}
print(json.dumps({"answer": answer.to_dict("records"), "example": len(example), "code": code,
                  "packages": [name for name in ("stages", "mlip") if name in sys.modules]}))
"""
TWO_MODELS = """
import sys
import mlflow.pyfunc
import pandas as pd
for path in sys.argv[2:]:
    model = mlflow.pyfunc.load_model(path)
    model.predict(pd.DataFrame([{"path": sys.argv[1], "prompts": {"a": ["opacity"], "b": ["no opacity"]}}]))
import mlip
print(len({name.partition(".")[0] for name in sys.modules if name.startswith("mlip_model_")}), mlip.ORIGIN)
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
    assert len(done.stdout.splitlines()) == 1, done.stdout
    assert "Traceback" not in done.stderr
    assert answer["code"] == {shipped_package(): str(exported.model / "code" / shipped_package() / "__init__.py")}
    assert answer["packages"] == []
    assert answer["answer"][0]["probabilities"] == pytest.approx(expected(exported), abs=1e-6)
    assert answer["example"] == 1


def test_it_loads_and_answers_outside_the_checkout(exported, tmp_path) -> None:
    answers_in(tmp_path, sys.executable, exported)


def test_models_of_different_code_load_in_one_process_beside_an_installed_mlip(exported, tmp_path, monkeypatch) -> None:
    """The installed package is a stand-in that says where it comes from."""
    folder, other = exported.checkpoint.parent, tmp_path / "other"
    monkeypatch.setattr(mlflow_model, "code_digest", lambda _module: "0" * 64)
    export_model(other, exported.checkpoint, folder / "selection.json", folder / "manifest.json")
    (tmp_path / "site" / "mlip").mkdir(parents=True)
    (tmp_path / "site" / "mlip" / "__init__.py").write_text("ORIGIN = 'installed'")
    (tmp_path / "program.py").write_text(TWO_MODELS)
    done = subprocess.run(
        [sys.executable, "program.py", exported.radiograph, exported.model, other],
        cwd=tmp_path, env=clean(tmp_path) | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.stdout.split() == ["2", "installed"], done.stderr[-3000:]


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
    assert flavours["python_function"]["loader_module"] == f"{shipped_package()}.common.inference.model"
    assert {name.split("/")[1] for name in files if name.startswith("code/")} == {shipped_package()}
    assert {name.split("/")[2] for name in files if name.startswith("code/")} == {"__init__.py", "common"}


def test_the_decision_and_a_synthetic_example_travel_with_it(exported) -> None:
    model = yaml.safe_load((exported.model / "MLmodel").read_text())
    assert model["metadata"]["selection"]["chosen_step"] == 9
    example = json.loads((exported.model / "input_example.json").read_text())
    assert example["columns"] == ["pixels", "prompts"]


def test_the_folder_is_the_same_twice(exported, tmp_path) -> None:
    folder = exported.checkpoint.parent
    once, again = tmp_path / "once", tmp_path / "again"  # both new: MLflow writes into a local folder that it registers
    for model in (once, again):
        export_model(model, exported.checkpoint, folder / "selection.json", folder / "manifest.json")
    files = {path.relative_to(once): path.read_bytes() for path in once.rglob("*") if path.is_file()}
    assert files == {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()}


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


def test_a_folder_of_other_files_is_not_replaced(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds files that are no exported model; give --model a new folder"):
        check_model_folder(tmp_path)
    check_model_folder(tmp_path / "new")
