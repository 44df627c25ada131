"""The stage's work: candidates scored, one chosen, the decision recorded, the checkpoint exported."""

from argparse import Namespace
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from ..common.data.image_store import ImageStore
from ..common.data.paired_reports import read_pairs
from ..common.data.prompts import read_prompts
from ..common.device import choose_device
from ..common.encoders.text import SpecialTokens, load_tokenizer
from ..common.errors import InputError
from ..common.files.atomic_files import read_json, verify, write_record
from ..common.journal.tracking import Run
from .candidate_scores import (
    ValidationLabels,
    ValidationPairs,
    read_validation_labels,
    score_candidates,
)
from .contract import SelectCheckpointSettings
from .decision import decide
from .export import export_checkpoint, model_card, write_integrity_files


def select(arguments: Namespace, run: Run) -> None:
    """From candidates.json to selection.json and a checkpoint folder."""
    settings: SelectCheckpointSettings = arguments.settings
    verify(arguments.candidates)
    record = read_json(arguments.candidates)
    text = record["encoder"]["model"]["text"]
    reports = read_pairs(arguments.pairs, arguments.sentences, "validation", text["max_tokens"], text["max_sentences"])
    store, tokenizer = ImageStore(arguments.images), load_tokenizer(arguments.tokenizer)
    pairs = ValidationPairs(reports, store, SpecialTokens.of(tokenizer), settings)
    labels = _labels(arguments, settings)
    scored = score_candidates(arguments.candidates, record, pairs, labels, choose_device(arguments.device))
    for each in scored:
        run.log_metrics({f"validation/{name}": value for name, value in each.scores().items()}, each.step)
    by_labels = settings.criterion == "zero_shot_auc" and labels is not None
    decision = decide(scored, labels.patients if by_labels else pairs.patients, settings)
    run.log_metrics({"chosen/step": decision.chosen.step, "validation/studies": len(pairs.studies)})
    card = model_card(arguments.name, record, decision, scored, len(pairs.studies), store.dataset)
    weights = load_file(decision.chosen.path)
    export_checkpoint(arguments.checkpoint, weights, record["encoder"], arguments.tokenizer, card)
    if (phi := weights.get("integrity_map")) is not None:
        size, step = record["encoder"]["model"]["image"]["input_size"], decision.chosen.step
        mean, images = np.zeros((size, size)), 0
        if settings.publish_samples:
            mean, images = pairs.mean_radiograph(size), len(pairs.studies)
        for path in write_integrity_files(arguments.checkpoint, phi.numpy(), mean, images, step):
            run.log_artifact(path, publish=True)
    write_record(arguments.selection, {
        "split": "validation", "studies": len(pairs.studies),
        "candidates": {str(each.step): float(each.score(settings.criterion)[0]) for each in scored},
        "scores": {str(each.step): each.scores() for each in scored},
        "temperatures": {str(each.step): each.temperature for each in scored},
        "zero_shot_on": settings.zero_shot_on, "labelled_images": len(labels.targets) if labels else 0,
        **decision.record(),
    })  # fmt: skip


def label_inputs(arguments: Namespace) -> dict[str, Path]:
    """Files of the data set that `zero_shot_on` names, by role; InputError where an option is missing."""
    dataset = arguments.settings.zero_shot_on
    roles = {role: getattr(arguments, f"zero_shot_{role}") for role in ("images", "labels", "prompts")}
    if dataset is None:
        return {}
    if missing := [role for role, path in roles.items() if path is None]:
        raise InputError(f"zero_shot_on is {dataset}: give " + ", ".join(f"--zero-shot-{role}" for role in missing))
    return {f"zero_shot_{role}": path for role, path in roles.items()}


def _labels(arguments: Namespace, settings: SelectCheckpointSettings) -> ValidationLabels | None:
    if settings.zero_shot_on is None:
        return None
    prompts = read_prompts(arguments.zero_shot_prompts)
    rows = read_validation_labels(arguments.zero_shot_labels, prompts.finding)
    tokenizer = load_tokenizer(arguments.tokenizer)
    return ValidationLabels(rows, ImageStore(arguments.zero_shot_images), prompts, tokenizer, settings.batch_size)
