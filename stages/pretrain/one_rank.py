"""One process's share of a pre-training: read, train, and on rank 0 write the outputs."""

from argparse import Namespace
from contextlib import nullcontext

from stages.common.device import choose_device
from stages.common.dual_encoder import checkpoint_record
from stages.common.image_store import ImageStore
from stages.common.paired_reports import read_pairs
from stages.common.report_batches import SpecialTokens, load_tokenizer
from stages.common.served_states import state_in_use
from stages.common.tracking import Run
from stages.pretrain.alarms import Watch
from stages.pretrain.batches import TrainingData
from stages.pretrain.candidates import write_candidates, write_curve
from stages.pretrain.hardware import hardware_tags, make_deterministic
from stages.pretrain.normalisation import with_normalisation
from stages.pretrain.ranks import Ranks
from stages.pretrain.settings import PretrainSettings
from stages.pretrain.starting_weights import StartingWeights
from stages.pretrain.training import Place, build, train


def pretrain(arguments: Namespace, start: StartingWeights, ranks: Ranks, run: Run | None) -> None:
    """Train and write the outputs. `run` is the journal, on rank 0 alone."""
    settings = with_normalisation(arguments.settings, arguments.fingerprint)
    if settings.optimisation.deterministic:
        make_deterministic()
    place = _place(arguments, ranks, run)
    with state_in_use(place.state) if run else nullcontext():
        _pretrain(arguments, settings, start, ranks, run, place)


def _pretrain(
    arguments: Namespace,
    settings: PretrainSettings,
    start: StartingWeights,
    ranks: Ranks,
    run: Run | None,
    place: Place,
) -> None:
    tokenizer = load_tokenizer(arguments.tokenizer)
    text, image = settings.model.text, settings.model.image
    reports = read_pairs(arguments.pairs, arguments.sentences, "train", text.max_tokens, text.max_sentences)
    data = TrainingData(settings, ImageStore(arguments.images), reports, SpecialTokens.of(tokenizer), ranks)
    model = build(settings, tokenizer.get_vocab_size(), start.text_configuration())
    if run is None:
        train(model, data, settings, place, lambda *_: None, ranks)
        return
    tags = hardware_tags(place.device) | {"state": place.state.name, "processes": str(ranks.world)}
    for key, value in tags.items():
        run.log_tag(key, value)
    run.log_metrics({"data/studies": len(reports.studies), "data/sentences_left_out": reports.sentences_left_out,
                     "normalisation/mean": image.mean,
                     "normalisation/standard_deviation": image.standard_deviation})  # fmt: skip
    start.load(model.encoder, run)
    state = train(model, data, settings, place, Watch(run).log, ranks)
    if state.origin:
        run.log_tag("resumed_from", state.origin)
    origins = {key: value for key, value in run.record["tags"].items() if key.endswith("_weights")}
    lost = write_candidates(arguments.candidates, place.state, state, settings, checkpoint_record(model.encoder), {
        "starting_weights": origins, "digests": run.record["digests"], "studies": len(reports.studies),
        "fingerprint": run.record["inputs"]["fingerprint"], "resumed_from": state.origin, "seed": settings.seed,
    })  # fmt: skip
    if lost:
        run.log_tag("candidates_lost", ", ".join(map(str, lost)))
    write_curve(arguments.curve, state.history)
    run.log_artifact(arguments.candidates)
    run.log_artifact(arguments.curve, publish=True)


def _place(arguments: Namespace, ranks: Ranks, run: Run | None) -> Place:
    """The state's folder is named by the digest of settings, data, code and image, which rank 0 knows."""
    digest, digests = ranks.from_first((run.digest, run.record["digests"]) if run else None)
    return Place(
        arguments.state / digest[:16],
        arguments.save_minutes * 60,
        choose_device(arguments.device),
        digests,
        arguments.journal.parent / "profile",
        arguments.profile,
    )
