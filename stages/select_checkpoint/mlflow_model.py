"""The chosen checkpoint in MLflow's own form: a folder that loads and serves wherever its requirements are installed.

    mlflow models predict -m mlflow_model -t json -i request.json --env-manager local

Flavour pyfunc by `loader_module`: nothing is pickled. code/ holds the modules that radiograph_model.py imports, data/
the checkpoint, requirements.txt the versions that this environment has. Equal checkpoints give equal ids and times.
"""

import ast
import shutil
import sys
import tempfile
import warnings
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from ..common.data.manifest import Manifest
from ..common.encoders.settings import InferenceRecord
from ..common.files.atomic_files import read_sidecar, sha256_of
from ..common.files.code_digest import ROOT, import_closure
from ..common.inference.model import INFERENCE
from ..common.records import read_record, write_record
from .contract import Selection
from .mlflow_pyfunc import Array, ColSpec, DataType, Map, Model, ModelSignature, Schema, pyfunc

LOADER = "stages.common.inference.model"
_FILES = ("model.safetensors", "config.json", "tokenizer/tokenizer.json", INFERENCE)
_CODECS = ("pylibjpeg-openjpeg", "pylibjpeg-rle", "imagecodecs")  # pydicom finds the first two by itself
_TEMPERATURE = 0.07  # at which pre-training starts: for a selection on labels alone
_EXAMPLE_CLASSES = {"pneumothorax": ["There is a pneumothorax."], "no pneumothorax": ["There is no pneumothorax."]}


def export_model(folder: Path, checkpoint: Path, selection: Path, images: Path) -> None:
    """Write the model's folder, whole or not at all, and INFERENCE into `checkpoint`.

    `selection` is selection.json, `images` the manifest of the images that pre-training saw: it has the size in pixels
    at which a radiograph is stored before the encoder sees it.
    """
    decision, size = read_record(selection, Selection), read_record(images, Manifest).size
    temperature = decision.temperatures[decision.chosen_step] or _TEMPERATURE
    write_record(checkpoint / INFERENCE, InferenceRecord(size=size, temperature=temperature))
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    _save(partial, checkpoint, decision)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _save(folder: Path, checkpoint: Path, decision: Selection) -> None:
    digest = read_sidecar(checkpoint / "model.safetensors") or sha256_of(checkpoint / "model.safetensors")
    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own deprecations
        code, data = Path(temporary) / "code" / "stages", Path(temporary) / "checkpoint"
        _copy_code(code.parent)
        for name in _FILES:
            for each in (name, f"{name}.sha256"):
                (data / each).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(checkpoint / each, data / each)
        pyfunc.save_model(
            folder,
            loader_module=LOADER,
            data_path=str(data),
            code_paths=[str(code)],
            pip_requirements=requirements(),
            signature=signature(),
            input_example=example(),
            mlflow_model=Model(utc_time_created="1970-01-01 00:00:00", model_uuid=digest[:32]),
            metadata={"selection": decision.model_dump(mode="json"), "weights_sha256": digest},
        )


def signature() -> ModelSignature:
    """A row a radiograph: one of `image`, `path` and `pixels` (whole grey levels), and the classes in words."""
    text, number = DataType.string, DataType.double
    return ModelSignature(
        inputs=Schema(
            [
                ColSpec(DataType.binary, "image", required=False),
                ColSpec(text, "path", required=False),
                ColSpec(Array(Array(DataType.long)), "pixels", required=False),
                ColSpec(Map(Array(text)), "prompts"),
            ]
        ),
        outputs=Schema(
            [
                ColSpec(Map(number), "probabilities"),
                ColSpec(Map(number), "cosines"),
                ColSpec(Map(Array(Array(number))), "heatmaps"),
                ColSpec(Array(number), "content"),
            ]
        ),
    )


def example() -> pd.DataFrame:
    """A synthetic request: a picture that nobody was exposed for."""
    rows, columns = np.mgrid[0:32, 0:32]
    pixels = (200 - 120 * np.exp(-(((abs(columns - 16) - 7) / 5) ** 2 + ((rows - 16) / 10) ** 2))).astype(int)
    return pd.DataFrame({"pixels": [pixels.tolist()], "prompts": [_EXAMPLE_CLASSES]})


def requirements() -> list[str]:
    """name==version of every package that the model's code imports, from this environment, and the DICOM codecs."""
    owners = metadata.packages_distributions()
    imported = {name for path in import_closure(LOADER).values() for name in _top_level_imports(path)}
    packages = {owners[name][0] for name in imported if name in owners} | {"torchvision", *_CODECS}
    pinned = []
    for package in sorted(packages, key=str.lower):
        public = metadata.version(package).partition("+")[0]  # +cpu and the like are builds that no index resolves
        pinned.append(f"{package}=={public}")
    return pinned


def _top_level_imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"stages"}


def _copy_code(target: Path) -> None:
    """The modules that the loader imports, with the packages that they lie in."""
    for path in import_closure(LOADER).values():
        copy = target / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    for folder in [each for each in target.rglob("*") if each.is_dir()]:
        (folder / "__init__.py").touch()
