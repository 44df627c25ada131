"""Outline a finding with few labels: one variant, data set, protocol and fraction of the training images; seeds inside.

Settings: those of one job (contract.py).
linear    A SETR-PUP decoder on the frozen image encoder.
finetune  UPerNet and all weights of the image encoder.
Inputs: a checkpoint folder, the images' manifest, labels.arrow (masks, or boxes that are filled), its
audit.json. Outputs: result.json, overlaps/seed_<n>.arrow (pixels of truth and prediction, image by image) and
samples.arrow (empty unless `publish_samples`). A killed job goes on from `--state`.
"""

from argparse import ArgumentParser, Namespace

from ..audit_splits.contract import read_overlap
from ..common.command_line import run_stage
from ..common.data.image_store import ImageStore
from ..common.device import choose_device
from ..common.encoders.dual import load_checkpoint
from ..common.few_shot.parts import read_finding, split_parts
from ..common.journal.tracking import track
from ..common.training.served_states import state_in_use
from ..common.training.state_files import ResumableState
from .contract import ALWAYS_DIFFERENT, departures_of
from .evaluation import evaluate
from .options import command_parser
from .outlines import refuse_upsampling
from .repetitions import Build, OutlinedParts, repeat, write_result
from .segmenters import SetrSegmenter


def linear(arguments: Namespace) -> None:
    _segment(arguments, SetrSegmenter)


def finetune(arguments: Namespace) -> None:
    from .segmenters import UperNetSegmenter  # its library takes seconds to import

    _segment(arguments, UperNetSegmenter)


def _segment(arguments: Namespace, build: Build) -> None:
    settings = arguments.settings
    inputs = {name: getattr(arguments, name) for name in ("images", "labels", "audit")}
    inputs["checkpoint"] = arguments.checkpoint / "model.safetensors"
    with track("few_shot_segmentation", arguments.name, journal=arguments.journal, settings=settings, inputs=inputs,
               image=arguments.image) as run, state_in_use(arguments.state / run.digest[:16]) as state:  # fmt: skip
        overlap = read_overlap(arguments.audit, arguments.labels)
        parts = split_parts(read_finding(arguments.labels, settings.finding), settings.fraction, arguments.labels)
        store = ImageStore(arguments.images)
        refuse_upsampling(store, arguments.images, settings.input_size, settings.allow_upsampling)
        outlined = OutlinedParts.of(parts, store, arguments.labels)
        encoder = load_checkpoint(arguments.checkpoint, choose_device(arguments.device)).model.image
        repetitions = []
        for seed in [] if outlined.skipped else range(settings.seed, settings.seed + settings.seeds):
            kept = ResumableState(state / f"seed_{seed}", arguments.save_minutes * 60)
            repetitions.append(repeat(encoder, outlined, build, settings, seed, kept, run.log_metrics))
        result = {"finding": parts.finding, "protocol": arguments.protocol, "fraction": settings.fraction,
                  "input_size": settings.input_size, "stored_size": store.size, "skipped": outlined.skipped,
                  "images": outlined.counts(parts), "overlap": overlap,
                  "departures": departures_of(settings, arguments.protocol, store.size),
                  "always_different": ALWAYS_DIFFERENT[arguments.protocol]}  # fmt: skip
        result |= evaluate(outlined.test.labels, [each.result for each in repetitions], settings.draws, settings.seed)
        places = {name: getattr(arguments, name) for name in ("result", "overlaps", "samples")}
        write_result(places, result, outlined.test, repetitions, run)


def parser() -> ArgumentParser:
    return command_parser(__doc__, linear, finetune)


if __name__ == "__main__":
    run_stage(lambda arguments: arguments.main(arguments), parser())
