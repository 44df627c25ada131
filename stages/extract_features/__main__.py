"""Embed the images of one data set with one variant, once, for every evaluation that needs no gradient.

Settings: contract.py. Inputs: a checkpoint folder, the images' manifest. Output: features.arrow.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..common.command_line import run_stage, stage_parser
from ..common.data.image_store import ImageStore
from ..common.device import add_device_option, choose_device
from ..common.encoders.dual import load_checkpoint
from ..common.files.arrow_tables import write_table
from ..common.files.schemas import features
from ..common.journal.tracking import track
from .contract import ExtractFeaturesSettings
from .embedding import embed_images


def main(arguments: Namespace) -> None:
    settings: ExtractFeaturesSettings = arguments.settings
    inputs = {"checkpoint": arguments.checkpoint / "model.safetensors", "images": arguments.images}
    with track("extract_features", arguments.name, journal=arguments.journal, settings=settings, inputs=inputs,
               image=arguments.image) as run:  # fmt: skip
        device = choose_device(arguments.device)
        model = load_checkpoint(arguments.checkpoint, device).model
        store = ImageStore(arguments.images)
        schema = features(model.settings.embedding_width, model.image.width)
        write_table(arguments.features, schema, embed_images(model, store, settings.batch_size, schema, device))
        run.log_metric("images", len(store))
        run.log_artifact(arguments.features)


def parser() -> ArgumentParser:
    options = stage_parser("extract_features", __doc__, ExtractFeaturesSettings)
    options.add_argument("--checkpoint", type=Path, required=True, help="checkpoint folder of select_checkpoint")
    options.add_argument("--images", type=Path, required=True, help="manifest.json of dicom_to_arrow")
    options.add_argument("--features", type=Path, required=True, help="features.arrow to write")
    add_device_option(options)
    return options


if __name__ == "__main__":
    run_stage(main, parser())
