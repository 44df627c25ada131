"""The worked examples of docs/operators, taken from the pages and run; their messages, found in the code."""

import gzip
import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from stages.common.data.distributions import MIMIC_SPLIT, name_in
from stages.common.data.index_tables import read_index
from stages.common.encoders.image import ImageEncoder
from stages.common.errors import InputError
from stages.common.files.arrow_tables import read_table
from stages.common.files.code_digest import import_closure
from stages.common.files.schemas import LABELS, PAIRS
from stages.config import check
from stages.config_layers import merged
from stages.contracts import EVALUATIONS
from workflow.doctor.indexes import Indexes
from workflow.doctor.inputs import check_dataset
from workflow.doctor.labels import check_labels_of
from workflow.input_files import check_files

ROOT = Path(__file__).resolve().parents[2]
OPERATORS = ROOT / "docs" / "operators"
PAGES = ("own_data", "labels", "public_data", "encoders", "evaluations")
TEXT = "\n".join((OPERATORS / f"{name}.md").read_text() for name in PAGES)


def block(first_line: str) -> str:
    """The example that begins with a line."""
    (found,) = [text for text in re.findall(r"```\w+\n(.*?)```", TEXT, re.DOTALL) if text.startswith(first_line)]
    return found


def config_with(overlay: str) -> dict:
    return merged(yaml.safe_load((ROOT / "config.yaml").read_text()), yaml.safe_load(overlay))


def test_the_data_set_is_indexed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "our_data" / "images").mkdir(parents=True)
    (tmp_path / "our_data" / "table.csv").write_text(block("file,patient_id"))
    for name in "ab":
        cv2.imwrite(f"our_data/images/{name}.png", np.arange(64 * 64, dtype=np.uint8).reshape(64, 64))
    config = check(config_with(block("# our_data.yaml")))
    finding = check_dataset(config, "ours", Indexes(config))
    assert finding.status == "ok", finding
    assert "2 images, 2 reports" in finding.what
    settings = config.settings("index_inputs", "ours").model_dump_json()
    subprocess.run(
        [sys.executable, "-m", "stages.index_inputs", "--root", "our_data", "--dataset", "ours", "--private", "private",
         "--files", "files.arrow", "--reports", "reports.arrow", "--settings", settings, "--journal", "journal.json"],
        check=True, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    metrics = {each["key"]: each["value"] for each in json.loads(Path("journal.json").read_text())["metrics"]}
    assert (metrics["images"], metrics["reports"], metrics["files_missing"]) == (2, 2, 0)


def test_a_zip_of_folders_is_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, picture = cv2.imencode(".png", np.arange(64 * 64, dtype=np.uint8).reshape(64, 64))
    with zipfile.ZipFile("chest.zip", "w") as archive:
        for number in range(60):
            label = "PNEUMONIA" if number % 2 else "NORMAL"
            archive.writestr(f"chest/train/{label}/person{number}_virus_3.png", picture.tobytes())
        archive.writestr("chest/readme.txt", "no image")
        archive.writestr("chest/train/OTHER/person0_virus_3.png", b"")
    config = check(config_with(block("# our_tree.yaml")))
    indexes = Indexes(config)
    finding = check_dataset(config, "ours", indexes)
    assert (finding.status, "60 images, 0 reports in chest.zip" in finding.what) == ("warning", True), finding
    assert "chest.zip: 1 image files do not fit `tree`: they are not read" in finding.what
    assert indexes.of("ours").files["patient_id"].n_unique() == 60
    labels = check_labels_of(config, "ours", indexes)
    assert "at most 60 labelled images" in labels.what, labels


def our_labelled_data(folder: Path, patients: int = 120) -> None:
    """Data in the form of the page's two tables: its rows, repeated for other patients, and noise as radiographs."""
    noise = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    for table, first in (("images.csv", "file,view"), ("labels.csv", "file,effusion")):
        header, *rows = block(first).splitlines()
        lines = [re.sub(r"(images/|,p)\d+", rf"\g<1>{number}", rows[number % len(rows)]) for number in range(patients)]
        (folder / table).write_text("\n".join([header, *lines]) + "\n")
    for number in range(patients):
        picture = noise.integers(0, 255, (160, 160), dtype=np.uint8)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), picture)


@pytest.mark.slow
def test_labels_of_ones_own_pass_the_doctor_and_are_split_as_pre_training_splits(
    new_checkout: Callable[[Path], Any], tmp_path: Path
) -> None:
    """The page's commands; the last one ends before pre-training, with the audit."""
    folder = new_checkout(tmp_path / "checkout").folder
    our_labelled_data(folder / "our_data")
    for name in ("our_labels.yaml", "our_prompts.yaml"):
        (folder / name).write_text(block(f"# {name}"))
    doctor, planned, run = [shlex.split(line) for line in block("# in the folder").splitlines()[2:]]
    ours = "runs/ours/results"

    def call(words: list[str], *more: str) -> str:
        command = words[1:] if words[0] == "python" else ["-m", *words]
        environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
        done = subprocess.run([sys.executable, *command, *more], cwd=folder, env=environment, capture_output=True,
                              text=True, check=False, timeout=900)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert re.search(r"80 labelled images; positives: train \d+ of \d+, validation", call(doctor))
    assert re.search(r"^phrase_grounding +2$", call(planned), re.MULTILINE)
    assert "The report: " not in call(run, "--cores", "2", "--", f"{ours}/audit_splits/ours/audit.json")
    parts = [
        dict(zip(table["patient_id"].to_pylist(), table["split"].to_pylist(), strict=True))
        for table in (read_table(folder / ours / "label_images/ours/labels.arrow", LABELS),
                      read_table(folder / ours / "pair_images_reports/ours/pairs.arrow", PAIRS))
    ]  # fmt: skip
    assert len(parts[0]) == 80
    assert parts[0].items() <= parts[1].items()
    assert set(parts[0].values()) == {"train", "validation", "test"}
    overlap = json.loads((folder / ours / "audit_splits/ours/audit.json").read_text())["overlap"]
    assert set(overlap.values()) == {0}
    card = json.loads((folder / ours / "label_images/ours/card.json").read_text())
    assert (card["split_by"], card["patient_split"]["test"]) == ("patient, as in pre-training", 0.3)


def test_the_encoder_is_built() -> None:
    config = check(config_with(block("# our_encoder.yaml")))
    assert config.compare == ["mlip", "small_vit"]
    image = config.settings("pretrain", variant="small_vit").model.image
    assert ImageEncoder(image).width == 384


def test_a_published_encoder_is_a_variant() -> None:
    config = check(config_with(block("# published.yaml")))
    assert config.compare == ["mlip", "mrm"]
    settings = config.settings("pretrain", variant="mrm")
    assert (settings.model.image.weights, settings.optimisation.epochs) == ("weights/MRM.pth", 0)


@pytest.mark.slow
def test_seeds_are_trainings() -> None:
    config = check(config_with(block("seeds: [0, 1, 2]")))
    seeds = {variant: config.seeds_of(variant) for variant in ("mlip", "clip", "random")}
    assert seeds == {"mlip": [0, 1, 2, 3, 4], "clip": [0, 1, 2], "random": None}


def test_the_evaluation_runs_and_nothing_else_does(finished_run, tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    shutil.copytree(finished_run.folder, folder)
    for name in ("stages/score_calibration/contract.py", "stages/score_calibration/__main__.py",
                 "stages/score_calibration/calibration.py", "workflow/rules/score_calibration.smk"):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(block(f"# {name}"))
    (folder / "stages/score_calibration/__init__.py").touch()
    ((file, line, before),) = re.findall(r"^\| (\S+) \| `(.*)` \| before `(.*)` \|$", TEXT, re.MULTILINE)
    text = (folder / file).read_text()
    assert text.count(before) == 1
    (folder / file).write_text(text.replace(before, f"{line}\n{before}"))
    target = "runs/demo/results/score_calibration/mlip/rsna/result.json"
    checkout = type(finished_run)(folder, finished_run.overlay)
    planned = checkout.snakemake("--dry-run", "--quiet", "host", "--", target).stdout
    assert re.search(r"^total\s+1$", planned, re.MULTILINE), planned
    checkout.snakemake("--", target)
    result = json.loads((folder / target).read_text())
    assert 0 <= result["expected_calibration_error"] <= 1
    journal = json.loads((folder / target).with_name("journal.json").read_text())
    assert (journal["status"], journal["params"]["bins"]) == ("FINISHED", "10")


FOREIGN = {"Snakemake", "SLURM", "SLURM's plugin", "CUDA", "Linux"}


def code_of(origin: str) -> str:
    """Text of what may say a message: a stage with all that it imports, what stages share, or the workflow's own."""
    if origin == "several stages":
        files = list((ROOT / "stages" / "common").rglob("*.py"))
    elif origin == "workflow":
        files = [path for path in (ROOT / "workflow").rglob("*") if path.suffix in (".py", ".smk")]
        files += (ROOT / "stages").glob("config*.py")
    else:
        assert (ROOT / "stages" / origin).is_dir(), f"{origin} is no stage"
        files = list(import_closure(f"stages.{origin}.__main__").values())
    text = "\n".join(path.read_text() for path in files)
    return re.sub(r'",\s*(?:remedy=)?f?"', "; ", text)  # what is wrong and the remedy, as they are printed


def test_messages_with_a_remedy_are_messages_of_the_stage_beside_them() -> None:
    page = (OPERATORS / "troubleshooting.md").read_text()
    rows = re.findall(r"^\| (`.*?) \| (.*?) \| .+ \|$", page, re.MULTILINE)
    quoted = [
        (message, origin)
        for first, origins in rows
        for message in re.findall(r"`(.*?)`", first)
        for origin in origins.split(", ")
    ]
    assert len(quoted) > 40
    assert len(rows) == len(re.findall(r"^\| `", page, re.MULTILINE))
    wrong = [
        (message, origin) for message, origin in quoted if origin not in FOREIGN and message not in code_of(origin)
    ]
    assert wrong == []
    assert {origin for _, origin in quoted} >= FOREIGN


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert not [link for link in links if not (page.parent / link).exists()]


def test_site_settings_name_the_rules_that_ask_for_a_gpu() -> None:
    from workflow.rule_requests import rule_requests

    on_gpu = {name for name, each in rule_requests(ROOT / "workflow" / "rules").items() if each.gpus}
    line = next(line for line in (OPERATORS / "cluster.md").read_text().splitlines() if "GPU rules:" in line)
    assert set(re.findall(r"\w+", line.partition("GPU rules:")[2])) == on_gpu


def test_chexpert_5x200_is_drawn_as_published_and_alone() -> None:
    """Of 13 findings five are classes; what the block says fits together, and nothing else is measured."""
    block = {"chexpert": {"distribution": "chexpert_5x200", "root": "data/chexpert"}}
    overlay = {"evaluate_on": ["chexpert"], "datasets": block}
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text())
    config = check(merged(shipped, overlay))
    assert [*config.not_measured("chexpert")] == [each for each in EVALUATIONS if each != "multi_class_classification"]
    settings, labels = (config.settings(stage, "chexpert") for stage in ("multi_class_classification", "label_images"))
    assert (len(labels.by_finding), len(settings.classes), settings.per_class) == (13, 5, 200)
    assert {labels.uncertain_as(finding) for finding in labels.by_finding} == {"ignore"}
    same = {"datasets": {"mimic_cxr": {"root": "data/chexpert"}}}
    with pytest.raises(InputError, match="part: all, but pre-training reads patients of chexpert"):
        check(merged(shipped, merged(overlay, same)))


def test_patients_of_rsna_are_read_off_the_mapping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "rsna-pneumonia").mkdir(parents=True)
    mapping = [
        {"subset_img_id": "aa", "img_id": "00000013_005.png"},
        {"subset_img_id": "bb", "img_id": "00000013_026.png"},
    ]
    Path("pneumonia-challenge-dataset-mappings_2018.json").write_text(json.dumps(mapping))
    subprocess.run([sys.executable, "-c", block("# rsna_patients.py")], check=True)
    written = Path("data/rsna-pneumonia/patients.csv").read_text().splitlines()
    assert written == ["image_id,patient_id", "aa,00000013", "bb,00000013"]


def test_ms_cxr_is_grounded_and_its_patients_are_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = check(config_with(block("# ms_cxr.yaml")))
    assert config.measured_on("phrase_grounding") == ["ms_cxr"]
    assert config.measures_on_test_alone("ms_cxr")
    assert check_files(config) == []
    monkeypatch.chdir(tmp_path)
    images = [("aa", 10000001, "train"), ("bb", 10000001, "train"), ("cc", 10000002, "train"), ("dd", 10000003, "test")]
    lines = ["dicom_id,study_id,subject_id,split", *(f"{image},5,{who},{part}" for image, who, part in images)]
    with gzip.open("mimic-cxr-2.0.0-split.csv.gz", "wt") as handle:
        handle.write("\n".join(lines))
    Path("MS_CXR_Local_Alignment_v1.1.0.csv").write_text("dicom_id,path\naa,files/p10/p10000001/s5/aa.jpg\n")
    subprocess.run([sys.executable, "-c", block("# hold_out.py")], check=True)
    root = Path()
    split = read_index(root, name_in(root, MIMIC_SPLIT), ["dicom_id", "split"])
    assert dict(split.select("dicom_id", "split").iter_rows()) == {
        "aa": "test",
        "bb": "test",
        "cc": "train",
        "dd": "test",
    }
