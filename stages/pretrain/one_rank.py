"""One process's share of a pre-training: read, train, and on rank 0 write the outputs."""

from argparse import Namespace
from pathlib import Path

from stages.common.device import choose_device
from stages.common.dual_encoder import checkpoint_record
from stages.common.image_store import ImageStore
from stages.common.paired_reports import read_pairs
from stages.common.report_batches import SpecialTokens, load_tokenizer
from stages.common.tracking import Run
from stages.pretrain.batches import TrainingData
from stages.pretrain.candidates import write_candidates, write_curve
from stages.pretrain.normalisation import with_normalisation
from stages.pretrain.ranks import Ranks
from stages.pretrain.starting_weights import StartingWeights
from stages.pretrain.training import Place, build, train


def pretrain(arguments: Namespace, start: StartingWeights, ranks: Ranks, run: Run | None) -> Path:
    """Train and write the outputs; returns the state's folder. `run` is the journal, on rank 0 alone."""
    digest = ranks.from_first(run.digest if run else None)
    place = Place(arguments.state / digest[:16], arguments.save_minutes * 60, choose_device(arguments.device))
    tokenizer = load_tokenizer(arguments.tokenizer)
    settings = with_normalisation(arguments.settings, arguments.fingerprint)
    text, image = settings.model.text, settings.model.image
    reports = read_pairs(arguments.pairs, arguments.sentences, "train", text.max_tokens, text.max_sentences)
    data = TrainingData(settings, ImageStore(arguments.images), reports, SpecialTokens.of(tokenizer), ranks)
    model = build(settings, tokenizer.get_vocab_size(), start.text_configuration())
    if run is None:
        train(model, data, settings, place, lambda *_: None, ranks)
        return place.state
    run.log_tag("state", place.state.name)
    run.log_tag("processes", str(ranks.world))
    run.log_metrics({"data/studies": len(reports.studies), "data/sentences_left_out": reports.sentences_left_out,
                     "normalisation/mean": image.mean,
                     "normalisation/standard_deviation": image.standard_deviation})  # fmt: skip
    start.load(model.encoder, run)
    state = train(model, data, settings, place, run.log_metrics, ranks)
    write_candidates(arguments.candidates, place.state, state.step, settings, checkpoint_record(model.encoder))
    write_curve(arguments.curve, state.history)
    run.log_artifact(arguments.candidates)
    run.log_artifact(arguments.curve, publish=True)
    return place.state
