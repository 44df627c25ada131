"""Options that several commands of a model have."""

from argparse import ArgumentParser


def add_checkpoint(options: ArgumentParser) -> None:
    """Add the option that names the model."""
    options.add_argument(
        "--checkpoint", required=True, help="checkpoint or mlflow_model folder, a folder above one, or MLflow URI"
    )
