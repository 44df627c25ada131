"""The folder of a model's weights, found from what a caller names: it, one above it, a release, an MLflow URI."""

import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ..common.errors import InputError, first_line
from ..common.inference.model import INFERENCE
from ..common.journal.mlflow_texts import ACCESS, without_secrets
from ..common.yaml_files import read_mapping

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # models:/name/1, runs:/id/model, s3://bucket/model
_DESCRIPTION = "MLmodel"
# Where a model may lie below the folder of a variant, of a stage, of the results, and of a run; then any two levels
# below. mlflow_model holds the weights of the checkpoint beside it again.
_BELOW = ("checkpoint", "*/checkpoint", "select_checkpoint/*/checkpoint", "results/select_checkpoint/*/checkpoint",
          "mlflow_model", "*/mlflow_model", "*", "*/*")  # fmt: skip
_REMEDY = "name the checkpoint or mlflow_model folder of select_checkpoint, or its MLflow URI"


@contextmanager
def opened_checkpoint(source: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the folder of the weights; the .zip of a release is unpacked for as long.

    Raises InputError where there is no model, or more than one below the folder that was named.
    """
    if _is_archive(Path(source)):
        with TemporaryDirectory() as folder:
            yield _unpacked(Path(source), Path(folder))
    else:
        yield checkpoint_folder(source)


def checkpoint_folder(source: str | os.PathLike[str]) -> Path:
    """Return the folder of the weights; an MLflow URI is downloaded first.

    Raises InputError where there is no model, or more than one below the folder that was named.
    """
    folder = _download(str(source)) if _URI.match(str(source)) else Path(source)
    try:
        if not _is_model(folder):
            folder = _only_below(folder, str(source))
        description = folder / _DESCRIPTION
        if description.is_file():
            folder = folder / _weights_folder(description)
        if not (folder / INFERENCE).is_file():
            raise InputError(f"{source}: not a model: {folder / INFERENCE} is missing", _REMEDY)
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror})", _REMEDY) from None
    return folder


def _is_archive(path: Path) -> bool:
    try:
        return path.is_file() and (path.suffix.lower() == ".zip" or zipfile.is_zipfile(path))
    except OSError:  # a name too long, a folder without permission: said where folders are looked for
        return False


def _is_model(folder: Path) -> bool:
    return (folder / _DESCRIPTION).is_file() or (folder / INFERENCE).is_file()


def _only_below(folder: Path, source: str) -> Path:
    """Return the one model below a folder. Raises InputError, which names what was looked at, for none or several."""
    if not folder.is_dir():
        what = "no such folder" if not folder.exists() else f"not a model, but a file; {INFERENCE} lies in its folder"
        raise InputError(f"{source}: {what}", _REMEDY)
    for pattern in _BELOW:
        found = sorted(each for each in folder.glob(pattern) if _is_model(each))
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(f"{source}: holds {len(found)} models", f"name one: {', '.join(map(str, found))}")
    looked = ", ".join(_BELOW[:4])
    raise InputError(f"{source}: not a model: no {INFERENCE} in it, nor in {looked} or two levels below", _REMEDY)


def _weights_folder(description: Path) -> str:
    """Return the folder of the weights that an MLmodel file names. Raises InputError where it names none."""
    value: object = read_mapping(description, "export the model again")
    for key in ("flavors", "python_function", "data"):
        value = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(value, str):
        raise InputError(f"{description}: flavors.python_function.data names no folder", "export the model again")
    return value


def _download(uri: str) -> Path:
    try:
        from mlflow.artifacts import download_artifacts
    except ImportError:
        raise InputError(f"{uri}: MLflow is not installed", "pip install 'mlip[mlflow]'") from None
    try:
        return Path(download_artifacts(uri))
    except Exception as error:  # stores, registries and their clients raise what they like
        what = without_secrets(f"{uri}: cannot be downloaded ({type(error).__name__}: {first_line(error)})")
        remedy = f"correct the URI, or see MLFLOW_TRACKING_URI; if access is denied, {ACCESS[401]}"
        raise InputError(what, remedy) from None


def _unpacked(archive: Path, folder: Path) -> Path:
    """Return the folder of the weights of a release, unpacked below `folder`.

    Its members are stored uncompressed, so they cannot be larger than the archive.
    """
    remedy = "name the .zip of a release, or unpack it and name its folder checkpoint"
    try:
        with zipfile.ZipFile(archive) as file:
            members = [each for each in file.infolist() if "checkpoint" in Path(each.filename).parts[:-1]]
            if any(each.compress_type != zipfile.ZIP_STORED or each.flag_bits & 1 for each in members):
                raise InputError(f"{archive}: its members are compressed or encrypted", remedy)
            for each in members:
                parts = Path(each.filename).parts
                if ".." in parts:
                    raise InputError(f"{archive}: {each.filename} would lie elsewhere", remedy)
                target = folder.joinpath(*parts[parts.index("checkpoint") :])
                if not each.is_dir():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(file.read(each))
    # what zipfile raises of damaged directories: other versions, encodings of names, other methods, sizes, ends
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
        raise InputError(f"{archive}: cannot be read ({first_line(error)})", remedy) from None
    found = list(folder.rglob(INFERENCE))
    if len(found) != 1:
        raise InputError(f"{archive}: not a model: holds {len(found)} checkpoint/{INFERENCE}", remedy)
    return found[0].parent
