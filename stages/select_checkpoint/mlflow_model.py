"""The chosen checkpoint as an MLflow model: a folder that loads and serves wherever its requirements are installed.

    mlflow models predict -m mlflow_model -t json -i request.json --env-manager local

Flavour pyfunc by `loader_module`: nothing is pickled. code/ holds the modules that inference/model.py imports, data/
the checkpoint, requirements.txt the versions in this environment. Equal checkpoints give equal ids and times.

MLflow puts code/ on its user's path. The package in it is named after the digest of its code (`shipped_package`), so it
hides no installed `mlip`, and models of different code load in one process.
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
from ..common.errors import InputError
from ..common.files.atomic_files import recorded_sha256
from ..common.files.code_digest import PACKAGE, code_digest, import_closure
from ..common.inference.model import INFERENCE
from ..common.records import read_record, write_record
from .contract import Selection
from .mlflow_pyfunc import Array, ColSpec, DataType, Map, Model, ModelSignature, Schema, pyfunc

LOADER = f"{PACKAGE.name}.common.inference.model"
_FILES = ("model.safetensors", "config.json", "tokenizer/tokenizer.json", INFERENCE)
_CODECS = ("pylibjpeg-openjpeg", "pylibjpeg-rle", "imagecodecs")  # pydicom finds the first two by itself
_EXAMPLE_CLASSES = {"pneumothorax": ["There is a pneumothorax."], "no pneumothorax": ["There is no pneumothorax."]}


def check_model_folder(folder: Path) -> None:
    """Raise InputError where the folder of the exported model holds other files: the export would remove them."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "MLmodel").is_file():
        raise InputError(f"{folder}: holds files that are no exported model", remedy="give --model a new folder")


def export_model(folder: Path, checkpoint: Path, selection: Path, images: Path) -> None:
    """Write the model's folder atomically, and INFERENCE into `checkpoint`.

    `selection` is selection.json. `images` is the manifest of the images that pre-training saw, which has the size in
    pixels at which a radiograph is stored before the encoder sees it.
    """
    decision, size = read_record(selection, Selection), read_record(images, Manifest).size
    write_record(checkpoint / INFERENCE, InferenceRecord(size=size, temperature=decision.temperature))
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    _save(partial, checkpoint, decision)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _save(folder: Path, checkpoint: Path, decision: Selection) -> None:
    digest = recorded_sha256(checkpoint / "model.safetensors")
    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own deprecations
        code, data = Path(temporary) / shipped_package(), Path(temporary) / "checkpoint"
        _copy_code(code)
        for name in _FILES:
            for each in (name, f"{name}.sha256"):
                (data / each).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(checkpoint / each, data / each)
        pyfunc.save_model(
            folder,
            loader_module=f"{code.name}{LOADER.removeprefix(PACKAGE.name)}",
            data_path=str(data),
            code_paths=[str(code)],
            pip_requirements=requirements(),
            signature=signature(),
            input_example=example(),
            mlflow_model=Model(utc_time_created="1970-01-01 00:00:00", model_uuid=digest[:32]),
            metadata={"selection": decision.model_dump(mode="json"), "weights_sha256": digest},
        )


def shipped_package() -> str:
    """Return the name of the package in code/; two models share it only if their code is the same."""
    return f"mlip_model_{code_digest(LOADER)[:8]}"


def signature() -> ModelSignature:
    """Return the signature: one row per radiograph.

    A row has one of `image`, `path` and `pixels` (whole grey levels), and the classes in words.
    """
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
    """Return a request with a synthetic picture, so that no patient is shown."""
    rows, columns = np.mgrid[0:32, 0:32]
    pixels = (200 - 120 * np.exp(-(((abs(columns - 16) - 7) / 5) ** 2 + ((rows - 16) / 10) ** 2))).astype(int)
    return pd.DataFrame({"pixels": [pixels.tolist()], "prompts": [_EXAMPLE_CLASSES]})


def requirements() -> list[str]:
    """Return name==version of every package that the model's code imports here, and of the DICOM codecs."""
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
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found - set(sys.stdlib_module_names)


def _copy_code(package: Path) -> None:
    """Copy the modules that the loader imports, with the packages that they lie in."""
    for path in import_closure(LOADER).values():
        copy = package / path.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    for folder in [package, *(each for each in package.rglob("*") if each.is_dir())]:
        (folder / "__init__.py").touch()
