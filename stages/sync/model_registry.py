"""Chosen models in MLflow's registry: one version per set of weights, with its metrics and the decision behind it.

The files go into the artifacts of the run that chose them. A version that pointed into the results would load other
weights after the next run there.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..common.digests import digest_of
from ..common.errors import InputError
from ..common.files.atomic_files import sha256_of
from ..common.journal.journals import INTERVAL, FoundJournal, Journal
from ..common.journal.mlflow_texts import TAG_LENGTH, is_constant, mlflow_keys, shortened
from .metrics import COLUMNS
from .quiet_mlflow import MlflowClient, MlflowException, ModelVersion, RegisteredModel
from .refusals import refused

CURRENT = "current"  # alias of the version that the results hold now: models:/NAME@current
_ARTIFACT = "mlflow_model/MLmodel"  # of select_checkpoint, below its journal
_FOLDER = "model"  # among the artifacts of the run
_WEIGHTS = "mlip.weights_sha256"
_CARD = "checkpoint/README.md"  # of select_checkpoint, below its journal
_DESCRIBED = "mlip.described"  # digest of the description that a sync wrote: one that a person edited is kept
_DESCRIPTION_LENGTH = 5000  # MLflow's limit
_TEST = "test/"  # prefix of the metrics of evaluations


@dataclass(frozen=True)
class ChosenModel:
    """A model folder with the facts about its weights; `figures` by "zero_shot_classification/rsna/auc" and so on.

    A figure is a text: the value, with its interval where it has one. `card` is Markdown.
    """

    name: str
    key: str  # of the run that chose it
    folder: Path
    weights: str  # sha256
    decision: Mapping[str, Any]
    figures: Mapping[str, str]
    card: str


def register_models(
    client: MlflowClient, found: Sequence[FoundJournal], project: str, run_ids: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """Register every trained model of the results; return "name version" of the new ones, and warnings.

    The operation is idempotent: weights that have a version keep it, and its tags are updated. `run_ids` maps keys of
    runs to their ids in the store. A store without a registry, or without room, costs a warning and no run.
    """
    new, warnings = [], []
    for model in chosen_models(found, project):
        try:
            new += _register(client, model, run_ids[model.key])
        except Exception as error:  # a registry is an extra: S3, proxies and servers raise what they like
            reason, remedy = refused(error)
            warnings.append(f"{model.name}: not registered as a model in MLflow ({reason}); {remedy}")
    return new, warnings


def chosen_models(found: Sequence[FoundJournal], project: str) -> Iterator[ChosenModel]:
    """Yield the model of each variant in the results, without encoders that were not trained here."""
    for each in found:
        journal = each.journal
        written = {artifact.path: artifact.sha256 for artifact in journal.artifacts}
        path = each.folder / _ARTIFACT
        if each.earlier or journal.stage != "select_checkpoint" or journal.status != "FINISHED":
            continue
        if _ARTIFACT not in written or not path.is_file() or sha256_of(path) != written[_ARTIFACT]:
            continue  # half written by a run in progress: a later sync finds it complete
        weights, decision = _said_by(path)
        if not decision.get("chosen_step"):
            continue
        figures = _figures(journal, "validation/", "validation/") | measured_with(weights, found)
        card = _card_beside(path.parent)
        yield ChosenModel(model_name(project, journal.name), journal.key, path.parent, weights, decision, figures, card)


def model_name(project: str, variant: str) -> str:
    """Return a name that MLflow accepts: without "/", ":", and quotes, which its filters cannot escape."""
    return re.sub(r"[^\w. -]", "-", f"{project}-{variant}")


def measured_with(weights: str, found: Sequence[FoundJournal]) -> dict[str, str]:
    """Return test figures of every stage that read these weights, or features that were extracted with them."""
    present = [each.journal for each in found if not each.earlier and each.journal.status == "FINISHED"]
    digests = {weights}
    for journal in present:
        if journal.stage == "extract_features" and weights in journal.inputs.values():
            digests |= {artifact.sha256 for artifact in journal.artifacts}
    figures: dict[str, str] = {}
    for journal in present:
        if digests & set(journal.inputs.values()):
            place = "/".join([journal.stage, *journal.name.split("/")[1:]])  # the variant is the model itself
            figures |= _figures(journal, _TEST, f"{place}/")
    return figures


def _figures(journal: Journal, prefix: str, place: str) -> dict[str, str]:
    """Return the last value of each metric that begins with `prefix`, as text; names begin with `place` instead."""
    found = {}
    for metric in journal.metrics:
        if metric.key.startswith(prefix) and isinstance(metric.value, float) and not is_constant(metric.key):
            interval = journal.tags.get(f"{INTERVAL}{metric.key}")
            value = f"{metric.value:.6g}" if interval is None else f"{metric.value:.4g} ({interval})"
            found[f"{place}{metric.key.removeprefix(prefix)}"] = value
    return found


def _card_beside(model: Path) -> str:
    """Return the model card without its head of keys; empty where there is none."""
    path = model.parent / _CARD
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return (text.partition("\n---\n")[2] if text.startswith("---\n") else text).strip()


def _said_by(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        metadata = yaml.safe_load(path.read_text(encoding="utf-8"))["metadata"]
        return str(metadata["weights_sha256"]), dict(metadata["selection"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
        raise InputError(f"{path}: not a model of select_checkpoint", remedy="run that stage again") from None


def _register(client: MlflowClient, model: ChosenModel, run_id: str) -> list[str]:
    try:
        client.create_registered_model(model.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    description = _description(model)
    tags = _tags(model) | {_DESCRIBED: digest_of(description)}
    held = _version_of(client, model)
    if held is None:
        client.log_artifacts(run_id, str(model.folder), _FOLDER)
        source = f"runs:/{run_id}/{_FOLDER}"
        made = client.create_model_version(
            model.name, source, run_id=run_id, tags=tags | {_WEIGHTS: model.weights}, description=description
        )
        first = _version_of(client, model)
        if first is not None and str(first.version) != str(made.version):  # another workspace was faster
            client.delete_model_version(model.name, str(made.version))
            return _register(client, model, run_id)
        version = str(made.version)
    else:
        version = str(held.version)
        ours = held.description in (None, "", _words(model.decision))  # the last: of an earlier version of MLIP
        if ours or held.tags.get(_DESCRIBED) == digest_of(held.description):
            if held.description != description:
                client.update_model_version(model.name, version, description)
        else:
            tags[_DESCRIBED] = held.tags.get(_DESCRIBED, "")  # a person's words stay
        for key, value in tags.items():
            if held.tags.get(key) != value:
                client.set_model_version_tag(model.name, version, key, value)
        for key in sorted(held.tags.keys() - tags.keys() - {_WEIGHTS}):
            client.delete_model_version_tag(model.name, version, key)
    registered = client.get_registered_model(model.name)
    aliases = registered.aliases
    _describe(client, registered, model)
    if str(aliases.get(CURRENT)) != version:  # SQL stores say 1, servers "1"
        client.set_registered_model_alias(model.name, CURRENT, version)
    return [] if held else [f"{model.name} {version}"]


def _version_of(client: MlflowClient, model: ChosenModel) -> ModelVersion | None:
    """Return the first version with the weights of a model."""
    versions = client.search_model_versions(f"name = '{model.name}' AND tags.`{_WEIGHTS}` = '{model.weights}'")
    return min(versions, key=lambda each: int(each.version), default=None)


def _tags(model: ChosenModel) -> dict[str, str]:
    names = mlflow_keys(f"metric.{key}" for key in model.figures)
    tags = {names[f"metric.{key}"]: value for key, value in model.figures.items()}
    return tags | {f"selection.{key}": shortened(str(value), TAG_LENGTH) for key, value in model.decision.items()}


def _description(model: ChosenModel) -> str:
    """Return Markdown for the page of a version: the decision, the headline figures, the model card."""
    ends = tuple(f"/{column.removeprefix(_TEST)}" for column in COLUMNS)
    rows = [f"| {key} | {value} |" for key, value in sorted(model.figures.items()) if key.endswith(ends)]
    table = "\n".join(["| measured on test data | value (95 % interval) |", "|---|---|", *rows]) if rows else ""
    text = "\n\n".join(filter(None, [_words(model.decision), table, model.card]))
    return shortened(text, _DESCRIPTION_LENGTH)


def _describe(client: MlflowClient, registered: RegisteredModel, model: ChosenModel) -> None:
    """Write the card of the current version onto the model's page, unless a person wrote something else there."""
    wanted = shortened("\n\n".join(filter(None, [_PAGE, model.card])), _DESCRIPTION_LENGTH)
    held = registered.description or ""
    ours = not held or held == _PAGE or registered.tags.get(_DESCRIBED) == digest_of(held)
    if ours and held != wanted:
        client.update_registered_model(model.name, wanted)
        client.set_registered_model_tag(model.name, _DESCRIBED, digest_of(wanted))


_PAGE = "Checkpoints that MLIP chose on validation data: one version per set of weights."


def _words(decision: Mapping[str, Any]) -> str:
    """Return the decision in a sentence, with its reason where the stage gives one."""
    candidates = decision.get("candidates", {})
    first = (
        f"Step {decision['chosen_step']} of {len(candidates)} candidates, by {decision.get('criterion')} on "
        f"{decision.get('split')} data."
    )
    return " ".join([first, *([f"{decision['reason']}."] if decision.get("reason") else [])])
