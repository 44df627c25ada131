"""A small results tree in the writers' own formats. Its numbers are fabricated, from a seed: they mean nothing."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from data_results import write_card, write_duplicates, write_images, write_pairs, write_reports
from evaluation_results import (
    GRID,
    SIZE,
    is_random,
    phi_of,
    seed_of,
    write_grounding,
    write_integrity,
    write_multi_class,
    write_retrieval,
    write_segmentation,
)
from report_page import Page
from split_audit import CLEAN
from stage_links import input_paths_of
from told_methods import telling

from stages.common import records
from stages.common.command_line import run_stage
from stages.common.data.label_matrix import label_matrix
from stages.common.data.run_lengths import encode
from stages.common.digests import digest_of
from stages.common.encoders.settings import EncoderRecord
from stages.common.few_shot.parts import Parts
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_frame, write_rows
from stages.common.files.atomic_files import sha256_of, write_json, write_sidecar, write_text
from stages.common.journal.tracking import flatten
from stages.common.replicates import Replicate
from stages.dicom_to_arrow.contract import DicomToArrowSettings
from stages.few_shot_classification import evaluation as few_shot_evaluation
from stages.few_shot_classification.contract import LinearJobSettings
from stages.pair_images_reports.contract import PairImagesReportsSettings
from stages.phrase_grounding.contract import IntegrityMap, PhraseGroundingSettings
from stages.pretrain.contract import PretrainSettings
from stages.pretrain.learning_curve import write_curve
from stages.select_checkpoint.contract import Selection
from stages.split_reports.contract import SplitReportsSettings
from stages.summarize.__main__ import WORK
from stages.summarize.inputs import Inputs, read_inputs
from stages.summarize.results_tree import FewShotJob, ResultsTree, parse_variants
from stages.zero_shot_classification.contract import ZeroShotResult, ZeroShotSettings
from stages.zero_shot_classification.evaluation import evaluate

REPOSITORY = Path(__file__).resolve().parents[3]
TEMPLATE = REPOSITORY / "stages" / "summarize" / "templates" / "report.html.jinja"
QUOTED = REPOSITORY / "stages" / "summarize" / "tables" / "quoted.yaml"
FINDINGS = {"rsna": "lung_opacity", "siim": "pneumothorax"}
FEW_SHOT = ["rsna/linear/1", "rsna/linear/10", "siim/linear/1", "siim/linear/10"]  # siim/linear/1 has no positives
SEGMENTATION = ["rsna/linear/10", "siim/linear/10"]
MULTI_CLASS = "multi_class_classification"  # of rsna alone, for the sake of its tables
START = 1_760_000_000_000  # Unix milliseconds


@dataclass
class Tree:
    """A workspace: `results`, and the phantom beside it. The arguments are those of the stage, as are `variants`."""

    workspace: Path
    datasets: list[str]
    variants: list[str]

    @property
    def results(self) -> Path:
        return self.workspace / "results"

    @property
    def layout(self) -> ResultsTree:
        jobs = tuple(FewShotJob.parse(each) for each in FEW_SHOT)
        outlined = tuple(FewShotJob.parse(each) for each in SEGMENTATION)
        left_out = {(dataset, MULTI_CLASS): "fewer than two findings" for dataset in self.datasets if dataset != "rsna"}
        seeds = parse_variants(self.variants)
        return ResultsTree(
            self.results, "mimic_cxr", tuple(self.datasets), tuple(seeds), jobs, outlined, not_measured=left_out,
            seeds={variant: own for variant, own in seeds.items() if own},
        )  # fmt: skip

    def arguments(self, output: Path) -> list[str]:
        return ["--results", str(self.results), "--pretrain-on", "mimic_cxr", "--datasets", *self.datasets,
                "--variants", *self.variants, "--few-shot", *FEW_SHOT,
                "--segmentation", *SEGMENTATION, "--template", str(TEMPLATE), "--not-measured",
                *(f"{dataset}/{stage}={why}" for (dataset, stage), why in self.layout.not_measured.items()),
                "--quoted", str(QUOTED),
                "--report", str(output / "report.html"), "--tables", str(output / "tables"),
                "--journal", str(output / "journal.json")]  # fmt: skip

    def edit(self, place: str, **changes: object) -> None:
        """Replace keys of a JSON file and renew its side-car."""
        path = self.results / place
        write_json(path, json.loads(path.read_text()) | changes)
        if path.name != "journal.json":
            write_sidecar(path)

    def only(self, place: str) -> dict:
        """The record of the only finding of a result."""
        findings = json.loads((self.results / place).read_text())["findings"]
        [found] = findings.values() if isinstance(findings, dict) else findings
        return found

    def edit_only(self, place: str, finding: str | None = None, **changes: object) -> None:
        """Replace keys of the only finding of a result, or its name."""
        findings = json.loads((self.results / place).read_text())["findings"]
        if isinstance(findings, list):
            named = {} if finding is None else {"finding": finding}
            self.edit(place, findings=[findings[0] | named | changes])
        else:
            [(name, found)] = findings.items()
            self.edit(place, findings={finding or name: found | changes})


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Tree:
    return build_tree(tmp_path_factory.mktemp("summarize"), ["rsna", "siim"], ["mlip", "random"])


@pytest.fixture(scope="session")
def build() -> Callable[[Path, list[str], list[str]], Tree]:
    """A results tree of other data sets and variants than `built`; `mlip=0,1,2` has three seeds."""
    return build_tree


@pytest.fixture
def tree(built, tmp_path) -> Tree:
    """A copy that a test may spoil."""
    shutil.copytree(built.workspace, tmp_path / "workspace")
    return Tree(tmp_path / "workspace", built.datasets, built.variants)


def build_tree(workspace: Path, datasets: list[str], variants: list[str]) -> Tree:
    tree = Tree(workspace, datasets, variants)
    _phantom(tree)
    for number, dataset in enumerate(["mimic_cxr", *datasets]):
        _images(tree, dataset, number)
    _reports(tree)
    write_duplicates(tree.layout)
    for dataset in datasets:
        _labels(tree, dataset)
    for number, variant in enumerate(each.name for each in tree.layout.replicates):
        _training(tree, variant, number)
        write_retrieval(tree.layout, variant)
        _journal(tree, "retrieval", variant, {}, 760)
        for job in tree.layout.few_shot_jobs:
            _few_shot(tree, job, variant)
        for job in tree.layout.segmentation_jobs:
            write_segmentation(tree.layout, job, variant, FINDINGS[job.dataset], SIZE)
            _journal(tree, "few_shot_segmentation", job.of(variant), {}, 760)
        for dataset in datasets:
            if (dataset, MULTI_CLASS) not in tree.layout.not_measured:
                write_multi_class(tree.layout, dataset, variant)
                _journal(tree, MULTI_CLASS, f"{variant}/{dataset}", {"draws": "50"}, 720)
            _zero_shot(tree, dataset, variant)
            _grounding(tree, dataset, variant)
            _journal(tree, "extract_features", f"{variant}/{dataset}", {}, 600)
    return tree


def _journal(tree, stage, name, params, second, path=None, inputs=None, tags=None):
    record = {
        "version": 1, "stage": stage, "name": name, "status": "FINISHED", "started": START + 1000 * second,
        "ended": START + 1000 * second + 4200, "error": None,
        "digests": {"code": digest_of(stage), "settings": digest_of(params), "data": digest_of([stage, name]),
                    "image": "env-0123456789abcdef"},
        "inputs": inputs or {}, "input_paths": input_paths_of(stage),
        "params": params, "metrics": [], "artifacts": [],
        "tags": {"git_commit": "0123456789abcdef" * 2 + "01234567", "git_dirty": "true"} | (tags or {}),
    }  # fmt: skip
    write_json(path or tree.results / stage / name / "journal.json", record)


def _phantom(tree):
    for name in ("mimic_cxr/cxr-record-list.csv.gz", "rsna/stage_2_train_labels.csv", "siim/train-rle.csv"):
        write_text(tree.workspace / "phantom" / name, f"{name}\n")
    _journal(tree, "make_phantom", "", {"seed": "7"}, 0)


def _images(tree, dataset, number):
    write_images(tree.layout, dataset, 2000 + number, {"file_missing": 2, "not_dicom": 1} if number == 0 else {})
    params = flatten(DicomToArrowSettings(size=SIZE).model_dump(mode="json"))
    for shard in range(2):
        path = tree.layout.folder("dicom_to_arrow", dataset) / "shards" / f"journal_{shard}.json"
        _journal(tree, "dicom_to_arrow", f"{dataset}/{shard}", params, 60, path)
    _journal(tree, "dicom_to_arrow", dataset, params, 70)
    index = sorted((tree.workspace / "phantom" / dataset).glob("*.csv*"))
    _journal(tree, "index_inputs", dataset, {}, 50, inputs={path.name: sha256_of(path) for path in index})


def _reports(tree):
    write_reports(tree.layout)
    write_pairs(tree.layout)
    settings = flatten(SplitReportsSettings().model_dump(mode="json"))
    _journal(tree, "split_reports", "mimic_cxr", settings, 80)
    pairing = flatten(PairImagesReportsSettings().model_dump(mode="json"))
    _journal(tree, "pair_images_reports", "mimic_cxr", pairing, 90)


def _labels(tree, dataset):
    write_card(tree.layout, dataset, FINDINGS[dataset])
    _journal(tree, "label_images", dataset, {}, 100)
    _journal(tree, "audit_splits", dataset, {}, 110)


def _training(tree, variant, number):
    trained = not is_random(variant)
    epochs = {} if trained else {"optimisation": {"epochs": 0}}
    seed = Replicate.parse(variant).seed or 0
    settings = PretrainSettings.model_validate({"seed": seed, "model": {"text": {"weights": None}}} | epochs)
    page = {"mlflow_run": "https://mlflow.example/#/experiments/7/runs/abc"} if trained else {}
    _journal(tree, "pretrain", variant, flatten(settings.model_dump(mode="json")), 200 + number, tags=page)
    steps = np.arange(20, 901, 20) if trained else []
    rows = [
        {
            "step": float(step),
            "loss/contrastive": 4.1 * np.exp(-step / 500),
            "loss/local": 4 * np.exp(-step / 900),
            "loss/reconstruction": 0.3 + np.exp(-step / 100),
            "loss/total": 8.4 * np.exp(-step / 600) + 0.3,
        }
        for step in steps
    ]
    write_curve(tree.results / "pretrain" / variant / "learning_curve.csv", rows)
    candidates = {225: 0.11, 450: 0.19, 675: 0.27 + number / 50, 900: 0.26} if trained else {0: 0.034}
    selection = Selection(
        criterion="mean reciprocal rank of validation pairs, both directions",
        split="validation",
        studies=148,
        candidates=candidates,
        scores={},
        temperatures={},
        zero_shot_on=None,
        labelled_images=0,
        rule="",
        best_step=675 if trained else 0,
        runner_up_step=None,
        lead_of_best=None,
        resampled_by="patient",
        chosen_step=675 if trained else 0,
        reason="",
    )
    folder = tree.results / "select_checkpoint" / variant
    records.write_record(folder / "selection.json", selection)
    encoder = EncoderRecord(model=settings.model, vocabulary=100, text_configuration={})
    records.write_record(folder / "checkpoint" / "config.json", encoder)
    _journal(tree, "select_checkpoint", variant, {}, 500)
    write_integrity(tree.results / "select_checkpoint" / variant / "checkpoint", trained)


def _zero_shot(tree, dataset, variant):
    common = np.random.default_rng([len(dataset), ord(dataset[0])])
    targets = (common.random(480) < 0.4).astype(np.int64)
    noise = np.random.default_rng([*seed_of(variant), len(dataset), ord(dataset[0])]).normal(size=480)
    gain = {"random": 0.1, "mlip": 0.9}.get(Replicate.parse(variant).variant, 0.7)
    finding = FINDINGS[dataset]
    labels = label_matrix(pl.DataFrame(
        {"image_id": [f"i{n}" for n in range(480)], "patient_id": [f"p{n // 2}" for n in range(480)],
         "split": ["validation", "validation", "test", "test"] * 120, "subset": 100, "finding": finding,
         "target": targets.astype(np.int8)} | (attributes_of(480) if dataset == "rsna" else {})
    ))  # fmt: skip
    scores = {"there_is": gain * targets + noise, "phrasings_and_places": gain * targets + noise / 2}
    published = dataset == "rsna"
    asked = {"calibration": "platt", "decision_curve": True} if published else {}
    settings = ZeroShotSettings(prompts="prompts.yaml", draws=200, publish_samples=published, **asked)
    result = evaluate(labels, {finding: scores}, settings, temperature=0.5)
    folder = tree.results / "zero_shot_classification" / variant / dataset
    chosen = labels.scored({finding: scores[result.findings[finding].prompt_set]})
    write_frame(folder / "scores.arrow", schemas.SCORES, chosen)
    record = ZeroShotResult(score="global", overlap=CLEAN, **vars(result))
    records.write_record(folder / "result.json", record)
    shown = (
        [_judged(number, finding, outcome) for outcome in records.OUTCOMES for number in range(2)] if published else []
    )
    write_rows(folder / "samples.arrow", schemas.judged_images(SIZE), shown)
    params = flatten(settings.model_dump(mode="json"))
    _journal(tree, "zero_shot_classification", f"{variant}/{dataset}", params, 700)


def attributes_of(images):
    """Two sexes, three ages and a rare view, of which too few images are positive to be measured."""
    return {
        "sex": [("female", "male", None)[number // 2 % 3] for number in range(images)],
        "age": [(25.0, 50.0, 90.0)[number // 4 % 3] for number in range(images)],
        "view": ["LATERAL" if number % 96 == 2 else "PA" for number in range(images)],
    }


def _judged(number, finding, outcome):
    pixels = _sample(number, "mlip")["pixels"]
    image_id = f"1.2.276.0.7230010.3.1.4.8323329.2000.{outcome}.{number}"
    return {"image_id": image_id, "finding": finding, "outcome": outcome, "score": 0.5, "pixels": pixels}


def _few_shot(tree, job, variant):
    """The stage's own figures, of 60 test images and two repetitions."""
    common = np.random.default_rng(ord(job.dataset[0]))
    targets = (common.random(200) < 0.4).astype(np.int8)
    targets[:2] = [0, int(job.dataset == "rsna")]  # one percent: both targets, or no positives
    labels = pl.DataFrame({"image_id": [f"i{n}" for n in range(200)], "patient_id": [f"p{n // 2}" for n in range(200)],
                           "split": np.repeat(["train", "validation", "test"], [80, 60, 60]), "subset": 100,
                           "finding": FINDINGS[job.dataset], "target": targets})  # fmt: skip
    parts = Parts(*map(label_matrix, (labels[: 2 * job.fraction], labels[80:140], labels[140:])), {})
    noise = np.random.default_rng([*seed_of(variant), ord(job.dataset[0]), job.fraction])
    gain = 0.1 if is_random(variant) else 0.5 + job.fraction / 20
    runs = [
        few_shot_evaluation.SeedScores(
            seed, 3, 0.7, *(gain * part.targets + noise.normal(size=(60, 1)) for part in
                            (parts.validation, parts.test))
        )
        for seed in range(0 if parts.skipped else 2)
    ]  # fmt: skip
    changed = LinearJobSettings(fraction=job.fraction, draws=50, **({"epochs": 5} if job.dataset == "siim" else {}))
    result = few_shot_evaluation.result_of(job.protocol, changed, parts, runs, CLEAN)
    folder = tree.layout.folder("few_shot_classification", job.of(variant))
    few_shot_evaluation.write_scores(folder / "scores", parts, runs)
    records.write_record(folder / "result.json", result)
    _journal(tree, "few_shot_classification", job.of(variant), {}, 750)


def _grounding(tree, dataset, variant):
    phi = phi_of(not is_random(variant)).ravel()
    integrity = IntegrityMap(values=phi.tolist(), lung_auc=0.5 if is_random(variant) else 0.871, smallest=phi.min(),
                             largest=phi.max(), standard_deviation=phi.std())  # fmt: skip
    write_grounding(tree.layout, dataset, variant, FINDINGS[dataset], integrity)
    folder = tree.results / "phrase_grounding" / variant / dataset
    published = dataset == "rsna"
    shown = [_sample(number, variant) for number in range(3)] if published else []
    write_rows(folder / "samples.arrow", schemas.samples(SIZE), shown)
    settings = PhraseGroundingSettings(prompts="prompts.yaml", draws=200, publish_samples=published)
    params = flatten(settings.model_dump(mode="json"))
    _journal(tree, "phrase_grounding", f"{variant}/{dataset}", params, 800)


def _sample(number, variant):
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    lungs = sum(np.exp(-((((columns - x) / 0.13) ** 2 + ((rows - 0.5) / 0.3) ** 2) ** 2)) for x in (0.3, 0.7))
    centre = (0.3 + 0.15 * number, 0.3 if number % 2 else 0.68)
    opacity = np.exp(-(((rows - centre[0]) / 0.09) ** 2 + ((columns - centre[1]) / 0.08) ** 2))
    noise = np.random.default_rng([number, *seed_of(variant)])
    pixels = np.clip(190 - 130 * lungs + 90 * opacity + 6 * noise.normal(size=(SIZE, SIZE)), 0, 255).astype(np.uint8)
    coarse = np.kron(noise.normal(size=(GRID, GRID)), np.ones((SIZE // GRID, SIZE // GRID)))
    heatmap = 0.02 * coarse + (0 if is_random(variant) else 0.3 * opacity)
    region = opacity > 0.4
    peak = np.unravel_index(heatmap.argmax(), heatmap.shape)
    image_id = f"1.2.276.0.7230010.3.1.4.8323329.1000.1517875162.{number:06d}"  # as long as those of SIIM
    return {"image_id": image_id, "finding": FINDINGS["rsna"], "pixels": pixels.tobytes(),
            "prompts": ["There is a lung opacity.", "Lung opacity is seen."], "reading": "centred",
            "heatmap": heatmap.ravel().tolist(), "content": encode(np.ones_like(region)), "region": encode(region),
            "peak": [int(each) for each in peak], "hit": bool(region[peak])}  # fmt: skip


@pytest.fixture(scope="session")
def read(built) -> Inputs:
    return read_inputs(built.layout)


@pytest.fixture(scope="session")
def output(built, tmp_path_factory) -> Path:
    """What the stage writes from `built`."""
    folder = tmp_path_factory.mktemp("output")
    run_stage(WORK, built.arguments(folder))
    return folder


@pytest.fixture(scope="session")
def page(output: Path) -> Page:
    """The page that the stage writes."""
    return Page((output / "report.html").read_text(encoding="utf-8"))


@pytest.fixture
def told(tree: "Tree") -> Callable[..., str]:
    return telling(tree)
