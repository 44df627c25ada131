"""`pip install`: one package, every function of it and every command, on a DICOM, far from the checkout."""

import ast
import json
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest

from stages import load, split_report
from stages.__main__ import stages
from stages.common.files.code_digest import PACKAGE, ROOT, import_closure

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("package")]

CLASSES = {"opacity": ["opacity in the left lung ."], "none": ["no opacity ."]}
REPORT = "FINDINGS: No effusion. Heart normal.\nIMPRESSION: Clear."
# No `__main__` guard: `predict` decodes in a child process, which must not run this script again.
PROGRAM = """
import json, sys
from pathlib import Path
import mlip
print(mlip.__file__)
checkpoint, exported, path, classes, report = sys.argv[1:]
model = mlip.load(checkpoint, device="cpu")
square = mlip.read_radiograph(path, model.size)
heatmap = model.heatmap(Path(path).read_bytes(), "opacity")
heatmap.write("heatmap.png")
print(json.dumps({
    "pixels": square.pixels.tolist(),
    "images": model.embed_images([path, square]).tolist(),
    "texts": model.embed_texts(["no opacity .", "opacity"]).tolist(),
    "probabilities": model.classify(square.pixels, json.loads(classes)).probabilities,
    "heatmap": heatmap.values.tolist(),
    "exported": mlip.load(exported, device="cpu").embed_texts(["opacity"]).tolist(),
    "report": [vars(sentence) for sentence in mlip.split_report(report)],
}))
try:
    mlip.load("nowhere")
except mlip.InputError as error:
    print(error)
"""


def test_the_wheel_holds_one_package_with_all_that_lies_in_the_folder(installed) -> None:
    names = {Path(name) for name in zipfile.ZipFile(installed.wheel).namelist()}
    code = {name.relative_to("mlip") for name in names if name.parts[0] == "mlip"}
    assert {name.parts[0] for name in names} == {"mlip", f"{'-'.join(installed.wheel.name.split('-')[:2])}.dist-info"}
    files = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert code == files


def test_every_function_answers_as_in_the_checkout(installed, exported) -> None:
    (installed.folder / "program.py").write_text(PROGRAM)
    given = exported.checkpoint, exported.model, exported.radiograph, json.dumps(CLASSES), REPORT
    done = installed.run("python", "program.py", *given)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    file, answer, error = done.stdout.splitlines()
    assert Path(file).is_relative_to(installed.environment)
    answer, model = json.loads(answer), load(exported.checkpoint, "cpu")
    square = model.read_radiograph(exported.radiograph)
    assert answer["pixels"] == square.pixels.tolist()
    assert (
        answer["images"][0] == answer["images"][1] == pytest.approx(model.embed_images([square])[0].tolist(), abs=1e-5)
    )
    assert answer["texts"][0] == pytest.approx(model.embed_texts(["no opacity ."])[0].tolist(), abs=1e-5)
    assert answer["exported"][0] == pytest.approx(answer["texts"][1], abs=1e-5)
    expected = model.classify(square.pixels, CLASSES).probabilities
    assert answer["probabilities"] == pytest.approx(expected, abs=1e-5)
    assert answer["heatmap"][0] == pytest.approx(model.heatmap(square, "opacity").values[0].tolist(), abs=1e-5)
    assert answer["report"] == [vars(sentence) for sentence in split_report(REPORT)]
    assert (installed.folder / "heatmap.png").stat().st_size > 0
    assert error.startswith("nowhere: no such folder; name the checkpoint")


@pytest.mark.parametrize(
    ("page", "workspace", "said"),
    [("README.md", "runs/demo", "{'pneumothorax': "), ("docs/operators/checkpoint.md", "runs/main", "(1, 2)")],
)
def test_the_lines_of_a_page_run(installed, exported, page, workspace, said) -> None:
    [program] = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    for name, path in ((f"{workspace}/results/select_checkpoint/mlip/checkpoint", exported.checkpoint),
                       ("image.dcm", exported.radiograph)):  # fmt: skip
        assert f'"{name}"' in program
        program = program.replace(f'"{name}"', f'"{path}"')
    (installed.folder / "page.py").write_text(f"{program}print(cosines.shape)" if "cosines" in program else program)
    (installed.folder / "heatmap.png").unlink(missing_ok=True)
    done = installed.run("python", "page.py")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1].startswith(said)
    assert (installed.folder / "heatmap.png").is_file()


def test_the_notebook_runs(installed, exported) -> None:
    """Its cells in order, as one program, on a checkpoint with random weights: figures are of their kind, not good."""
    notebook = json.loads((ROOT / "docs" / "tutorial" / "checkpoint.ipynb").read_text())
    program = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    [default] = re.findall(r'^CHECKPOINT = "(.*?)"', program, re.MULTILINE)
    program = program.replace(f'"{default}"', f'"{exported.checkpoint}"')
    program += "\nprint(len(ranks), ranks.min(), ranks.max(), auc, len(hits))"
    (installed.folder / "notebook.py").write_text(program)
    done = installed.run("python", "notebook.py")
    assert done.returncode == 0, done.stderr[-3000:]
    queries, first, last, auc, pointed = map(float, done.stdout.splitlines()[-1].split())
    assert queries >= 40
    assert 1 <= first <= last <= queries
    assert 0 <= auc <= 1
    assert pointed == 4
    assert (installed.folder / "runs" / "notebook" / "heatmap.png").is_file()


def test_predict_embed_and_split_report_run(installed, exported) -> None:
    (installed.folder / "prompts.yaml").write_text(json.dumps(CLASSES))
    (installed.folder / "texts.txt").write_text("opacity\nno opacity .\n")
    checkpoint = ("--checkpoint", exported.model)
    done = installed.run("mlip", "predict", exported.radiograph, "--prompts", "prompts.yaml", *checkpoint, "--json")
    assert json.loads(done.stdout)["probabilities"].keys() == CLASSES.keys(), done.stderr[-3000:]
    for options in (("--images", exported.radiograph), ("--texts", "texts.txt")):
        done = installed.run(
            "mlip", "embed", *checkpoint, *options, "--output", "embeddings.parquet", "--device", "cpu"
        )
        assert (done.returncode, done.stdout) == (0, ""), done.stderr[-3000:]
    done = installed.run("mlip", "split-report", stdin=REPORT)
    assert len(done.stdout.splitlines()) == 3, done.stderr[-3000:]


@pytest.mark.parametrize("command", ["doctor", "estimate", "why", "images", "audit"])
def test_commands_of_the_pipeline_find_the_checkout_or_ask_for_it(installed, command) -> None:
    done = installed.run("mlip", command)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {installed.folder}: not a checkout of MLIP")
    assert len(done.stderr.splitlines()) == 1
    done = installed.run("mlip", "--checkout", ROOT, command, "--help")
    assert f"usage: mlip {command} " in done.stdout, done.stderr[-3000:]


@pytest.mark.parametrize("stage", sorted(stages()))
def test_every_stage_starts(installed, stage) -> None:
    done = installed.run("mlip", stage.replace("_", "-"), "--help")
    assert done.stdout.startswith("usage: "), done.stderr[-3000:]


def test_what_is_imported_is_required() -> None:
    """What the API and its commands import is a dependency; what stages import beyond, one of an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = {_name(line) for line in project["dependencies"]}
    extras = {_name(line) for lines in project["optional-dependencies"].values() for line in lines}
    modules = ("stages.api.models", "stages.api.reports", "stages.commands.embed", "stages.commands.predict")
    of_api = {path for module in modules for path in import_closure(module).values()}
    assert _not_from(required | {"mlflow"}, of_api) == set()
    assert _not_from(required | extras, PACKAGE.rglob("*.py")) == set()


def _not_from(packages: set[str], files: Iterable[Path]) -> set[str]:
    """Return the top-level imports of the files that none of the packages holds."""
    owners = metadata.packages_distributions()
    found = set().union(*map(_imported, files)) - set(sys.stdlib_module_names)
    return {name for name in found if not packages & set(map(_name, owners.get(name, [name])))}


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")


def _imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found
