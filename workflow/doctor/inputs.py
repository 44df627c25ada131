"""Checks of what a run reads: data sets and weights.

The data sets' own indexes are read as index_inputs reads them. Weights must exist, or be fetchable from where snakemake
is called.
"""

from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,  # of the HTTP client, whichever the package uses
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from stages.common.data.index_tables import Index
from stages.common.encoders.weight_files import RECORD, tokenizer_file, weight_files
from stages.common.errors import InputError
from stages.configuration import Config
from stages.fetch_weights.contract import folder_name, hub_id
from stages.index_inputs.contract import IndexInputsSettings
from stages.index_inputs.index import present_index_files
from stages.index_inputs.presence import LOOKED_FOR, OUTSIDE, first_missing, missing_files
from stages.make_phantom.file_tree import MANIFEST
from workflow.doctor.findings import Finding
from workflow.doctor.headers import check_headers
from workflow.doctor.indexes import Indexes, check_views


def check_datasets(config: Config, indexes: Indexes, every_file: bool = False) -> Iterator[Finding]:
    """Yield a finding for each data set that the configuration uses, and one on views or headers that are rejected."""
    for name in config.used_datasets:
        yield check_dataset(config, name, indexes, every_file)
        yield from check_views(config, name, indexes)
        yield from check_headers(config, name, indexes)


def check_dataset(config: Config, name: str, indexes: Indexes, every_file: bool = False) -> Finding:
    """Check a data set, without writing anything.

    Where identifiers are keyed, the key may be one for this call only, so no id is shown.
    """
    subject, root = f"data set {name}", Path(config.root(name))
    settings = config.settings(IndexInputsSettings, name)
    if config.is_phantom(name) and not (root / MANIFEST).is_file():  # not there, or half written
        return Finding("ok", subject, "synthetic: make_phantom will create it")
    try:
        roots = tuple(map(Path, config.roots(name)))
        present_index_files(root, settings, roots, Path(config.workspace, "private"))
        index = indexes.of(name)
    except InputError as error:
        return Finding("error", subject, f"datasets.{name}: {error.what}", error.remedy)
    count = f"{len(index.files):,} images, {len(index.reports):,} reports in {root / index.source}"
    count += _beside_published(config, name, index)
    if name == config.pretrain_on and index.reports.is_empty():
        remedy = "pretrain_on needs a data set with reports: name another, or name its column `report`"
        return Finding("error", subject, f"{count}: nothing to pre-train on", remedy)
    listed = indexes.files_of_last_run(name) if settings.tree else None
    if listed not in (None, len(index.files)):  # no table says so to Snakemake
        what = f"{count}; index_inputs listed {listed:,} when it last ran"
        return Finding("warning", subject, what, "add --forcerun index_inputs to the command of the run")
    parts: list[str] = []
    for kind, table, identifier, stage in (
        ("files", index.files, "image_id", "dicom_to_arrow"),
        ("report files", index.reports if name == config.pretrain_on else index.reports.clear(), "study_id",
         "split_reports"),
    ):  # fmt: skip
        missing, looked_for = missing_files(root, table, roots, len(table) if every_file else LOOKED_FOR)
        if len(missing):
            first = first_missing(missing, settings, identifier, ids_are_kept=False)[0]
            what = f"{count}; {len(missing):,} of {looked_for:,} {kind} checked are missing, first {first}"
            if others := sorted(set(missing["problem"]) - {"missing", OUTSIDE}):
                what += f" ({'; '.join(others)})"
            if OUTSIDE in set(missing["problem"]):
                return Finding("error", subject, f"{what}: {OUTSIDE}", f"add it to datasets.{name}.roots")
            if len(missing) == looked_for:
                remedy = f"no file exists: correct datasets.{name}.root, name their folder in datasets.{name}.roots"
                return Finding("error", subject, what, f"{remedy}, or download them")
            return Finding("warning", subject, what, f"download them, or continue: {stage} rejects each")
        looked = f"all {kind} exist" if looked_for == len(table) else f"the {looked_for:,} {kind} checked exist"
        parts += [looked] if looked_for else []
    if index.warnings:
        return Finding("warning", subject, f"{count}; {'; '.join(index.warnings)}", "correct it, or continue")
    return Finding("ok", subject, "; ".join([count, *parts]))


def _beside_published(config: Config, name: str, index: Index) -> str:
    """Return how the counts of a public data set differ from those that its owners state; as published: nothing."""
    known = config.datasets[name].distributed
    if known is None or config.is_phantom(name):
        return ""
    published = known.published
    counts = [("images", len(index.files), published.images), ("reports", len(index.reports), published.reports)]
    if published.patients is not None:
        counts.append(("patients", index.files["patient_id"].n_unique(), published.patients))
    other = [f"{number:,} {what}" for what, own, number in counts if own != number]
    return f" (published: {', '.join(other)})" if other else " (as published)"


_SECONDS = 8.0


def check_weights(config: Config) -> list[Finding]:
    """Return a finding for each encoder and tokenizer that the configuration names."""
    named: dict[str, Finding] = {}
    tokenizer = config.settings("split_reports", config.pretrain_on).tokenizer.weights
    if tokenizer:
        named[tokenizer] = check_weight(tokenizer, Path(config.workspace), tokenizer=True)
    for variant in config.compare:
        model = config.settings("pretrain", variant=variant).model
        for weights, image in ((model.image.weights, True), (model.text.weights, False)):
            if weights and weights not in named:
                named[weights] = check_weight(weights, Path(config.workspace), image=image)
    return list(named.values()) or [Finding("ok", "weights", "none named: encoders are initialised at random")]


def check_weight(weights: str, workspace: Path, image: bool = False, tokenizer: bool = False) -> Finding:
    """Check that weights exist, or can be fetched from the hub."""
    subject = "weights"
    identifier = hub_id(weights, image=image)
    if identifier is None:
        try:
            files = [*weight_files(Path(weights)), *([tokenizer_file(Path(weights))] if tokenizer else [])]
        except InputError as error:
            return Finding("error", subject, error.what, error.remedy)
        return Finding("ok", subject, f"{weights}: {', '.join(file.name for file in files)} exist")
    folder = workspace / "weights" / folder_name(identifier)
    if (folder / RECORD).is_file():
        return Finding("ok", subject, f"{identifier}: fetched, in {folder}")
    by_hand = (
        f"fetch it on a machine with network (`hf download {identifier} --local-dir FOLDER`), then copy its contents "
        f"to {folder}"
    )
    problem = _unreachable(identifier)
    if problem:
        what = f"{identifier}: not in {folder}, and {constants.ENDPOINT} does not provide it: {problem}"
        return Finding("error", subject, what, by_hand)
    return Finding("ok", subject, f"{identifier}: {constants.ENDPOINT} has it; snakemake will fetch it to {folder}")


def _unreachable(identifier: str) -> str | None:
    """Return why the hub does not give us such a model, or None; it is asked as fetch_weights asks."""
    try:
        HfApi().model_info(identifier, timeout=_SECONDS)
    except GatedRepoError:
        return "it requires you to accept its terms, and then HF_TOKEN"
    except RepositoryNotFoundError:
        return "no such model, or it needs HF_TOKEN"
    except OfflineModeIsEnabled:
        return "HF_HUB_OFFLINE is set"
    except HfHubHTTPError as error:
        return f"HTTP {error.response.status_code}"
    except (HTTPError, OSError, ValueError) as error:
        return next(iter(str(error).splitlines()), type(error).__name__)
    return None
