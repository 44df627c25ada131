# Encoders named by a hub id, fetched to a local folder. This runs where snakemake runs: compute nodes have no network.
import shlex

from stages.common.encoders.weight_files import RECORD, tokenizer_file, weight_files
from stages.fetch_weights.contract import folder_name, hub_id, identifier_of


def local_weights(weights, files_of=weight_files, image=False):
    """Return where weights of the configuration lie on this machine, and the files that a job needs of them."""
    if weights is None:
        return None, []
    if identifier := hub_id(weights, image=image):
        folder = f"{CONFIG.workspace}/weights/{folder_name(identifier)}"
        return folder, [f"{folder}/{RECORD}"]
    try:
        return weights, [str(path) for path in files_of(weights)]
    except InputError as error:
        raise WorkflowError(str(error)) from None


def starting_weights(variant):
    """Return option of pretrain -> where the weights lie and which files they are."""
    model = CONFIG.settings("pretrain", variant=variant).model
    return {
        "--image-weights": local_weights(model.image.weights, image=True),
        "--text-weights": local_weights(model.text.weights),
    }


def weights_inputs(places):
    return [file for _, files in places.values() for file in files]


def weights_options(places):
    return shlex.join(part for option, (place, _) in places.items() if place for part in (option, place))


TOKENIZER = {
    "--tokenizer-weights": local_weights(
        CONFIG.settings("split_reports", CONFIG.pretrain_on).tokenizer.weights, lambda folder: [tokenizer_file(folder)]
    )
}
for variant in CONFIG.compare:  # missing files are named before anything runs
    starting_weights(variant)


rule fetch_weights:
    output:
        record=update(f"<workspace>/weights/{{model}}/{RECORD}"),  # a complete folder is not fetched again
    log:
        log_of("fetch_weights"),
    localrule: True
    params:
        **identity_of(
            "fetch_weights",
            image=None,
            settings=lambda wildcards: canonical_json({"id": identifier_of(wildcards.model)}),
        ),
        folder=subpath(output.record, parent=True),
    shell:
        command_of("fetch_weights", folder="{params.folder:q}", log='2>&1 | tee "$(new_log {log:q})" >&2')
