"""The methods section, written from the settings that the journals recorded, not from what was intended."""

from collections.abc import Callable
from dataclasses import dataclass

from stages.summarize.inputs import Inputs
from stages.summarize.numbers import count, decimal, words
from stages.summarize.provenance import Provenance, StageRun
from stages.summarize.sections.section import Names, Report

Param = Callable[[str], str]

CITATIONS = """@inproceedings{liu2024mlip,
  title     = {{MLIP}: Medical Language-Image Pre-training with Masked Local Representation Learning},
  author    = {Liu and others},
  booktitle = {IEEE International Symposium on Biomedical Imaging (ISBI)},
  year      = {2024},
  note      = {arXiv:2401.01591}
}
@inproceedings{dosovitskiy2021vit,
  title     = {An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale},
  author    = {Dosovitskiy, Alexey and others},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year      = {2021}
}
@inproceedings{cuturi2013sinkhorn,
  title     = {Sinkhorn Distances: Lightspeed Computation of Optimal Transport},
  author    = {Cuturi, Marco},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  year      = {2013}
}
@inproceedings{he2022mae,
  title     = {Masked Autoencoders Are Scalable Vision Learners},
  author    = {He, Kaiming and others},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2022}
}"""


@dataclass(frozen=True)
class Difference:
    """A setting of pre-training in which a variant differs from the first one."""

    variant: str
    key: str
    value: str
    instead_of: str


def names(report: Report) -> Names:
    inputs, provenance = report.inputs, report.provenance
    return {
        "methods": methods(inputs, provenance),
        "differences": differences(inputs, provenance),
        "citations": CITATIONS,
    }


def methods(inputs: Inputs, provenance: Provenance) -> list[str]:
    """Paragraphs: data, encoders, objective, training, evaluation. The first variant is the one described."""
    tree = inputs.tree
    pretrain = provenance.run("pretrain", tree.variants[0])
    return [
        _data(inputs, provenance),
        _encoders(pretrain.param, inputs.manifests[0].size) + " " + _normalisation(pretrain.param, inputs),
        _objective(pretrain.param),
        _training(pretrain.param) + " " + _choice(inputs),
        _evaluation(inputs, provenance),
    ]


def differences(inputs: Inputs, provenance: Provenance) -> list[Difference]:
    """Where the other variants differ from the first."""
    first, *others = (provenance.run("pretrain", variant) for variant in inputs.tree.variants)
    return [
        Difference(run.name, key, run.params.get(key, "absent"), first.params.get(key, "absent"))
        for run in others
        for key in dict.fromkeys([*first.params, *run.params])
        if run.params.get(key) != first.params.get(key)
    ]


def _data(inputs: Inputs, provenance: Provenance) -> str:
    audit = inputs.pairs.audit
    training = audit.splits["train"]
    sections = provenance.run("split_reports", inputs.tree.pretrain_on).param("sections")
    return (
        f"Pre-training used {count(training.pairs)} pairs of image and report from {count(training.studies)} studies "
        f"of {count(training.patients)} patients of {inputs.tree.pretrain_on}, split by {audit.split_by}. Radiographs "
        f"were stored as squares of {inputs.manifests[0].size} pixels, padded, in 8-bit grey. Reports were cut into "
        f"{count(inputs.reports.sentences)} sentences; the sections kept were {_plain(sections)}."
    )


def _encoders(param: Param, stored: int) -> str:
    size, patch = int(param("model.image.input_size")), int(param("model.image.patch_size"))
    patches, ratio = (size // patch) ** 2, float(param("mask_ratio"))
    visible = max(1, round((1 - ratio) * patches))
    if param("model.image.architecture") == "custom":
        image = f"a vision transformer ({_blocks(param, 'model.image')})"
    else:
        image = f"{param('model.image.architecture')} (timm)"
    if param("model.text.weights") == "None":
        text = f"a BERT ({_blocks(param, 'model.text')}) initialised at random"
    else:
        text = param("model.text.weights")
    start = "initialised at random" if param("model.image.weights") == "None" else "started from given weights"
    masking = (
        f"the encoder sees {visible} of the {patches}, drawn afresh for every image (mask ratio {ratio:g})"
        if ratio
        else "the encoder sees all of them"
    )
    return (
        f"Images of {stored} pixels, cropped and resized to {size}, are cut into {patches} patches of "
        f"{patch} pixels, and {masking}. Images are encoded by {image}, {start}; whole reports (at most "
        f"{param('model.text.max_tokens')} word pieces and {param('model.text.max_sentences')} sentences) by {text}. "
        f"One linear projection each leads to a space of {param('model.embedding_width')} dimensions."
    )


def _normalisation(param: Param, inputs: Inputs) -> str:
    if param("normalisation") == "given":
        return (
            f"Grey values 0..1 were standardised by the mean {param('model.image.mean')} and the standard deviation "
            f"{param('model.image.standard_deviation')}, as the settings give them."
        )
    grey = inputs.pairs.fingerprint.intensity
    return (
        f"Grey values 0..1 were standardised by the mean {decimal(grey.mean, 4)} and the standard deviation "
        f"{decimal(grey.standard_deviation, 4)} of {count(grey.images)} training images, padding left out; the "
        "checkpoint carries both to every evaluation."
    )


def _objective(param: Param) -> str:
    integrity = param("contrastive.integrity")
    scaled = "without semantic integrity" if integrity == "none" else f"scaled by semantic integrity ({integrity})"
    terms = [
        f"the masked contrastive loss, {scaled}, with a learned temperature from {param('contrastive.temperature')}"
    ]
    if float(param("local.weight")):
        rho = param("local.rho")
        kind = "balanced transport" if rho == "balanced" else f"transport relaxed on the side of patches (rho {rho})"
        terms.append(
            f"{float(param('local.weight')):g} times the local loss, which scores every image against every report by "
            f"entropic optimal transport between visible patches ({param('local.patches')}) and sentences "
            f"({param('local.sentences')}): {kind}, epsilon {param('local.epsilon')}, {param('local.score')} score, "
            f"groups of {param('local.group')}"
        )
    if float(param("reconstruction.weight")):
        terms.append(
            f"{float(param('reconstruction.weight')):g} times masked image prediction with a decoder of "
            f"{_blocks(param, 'reconstruction')}, on masked patches alone"
        )
    return "The objective is " + ", plus ".join(terms) + ". Reports of the same study or text are no negatives."


def _training(param: Param) -> str:
    epochs = int(param("optimisation.epochs"))
    if not epochs:
        return "Nothing was trained: the weights are those of the start."
    return (
        f"Training ran for {epochs} epochs of AdamW (betas {_plain(param('optimisation.betas'))}, weight decay "
        f"{param('optimisation.weight_decay')}) with batches of {param('optimisation.batch_size')} pairs, a learning "
        f"rate that rises linearly to {param('optimisation.learning_rate')} over "
        f"{float(param('optimisation.warmup_epochs')):g} epochs and falls as a cosine, gradients clipped at "
        f"{param('optimisation.clip_norm')}, in {param('optimisation.precision')}, with seed {param('seed')}. "
        "Images were cropped and changed in brightness and contrast, never flipped: reports say left and right."
    )


def _choice(inputs: Inputs) -> str:
    selection = inputs.training[0].selection
    return (
        f"Of {len(selection.candidates)} candidates the best one was kept (step {count(selection.chosen_step)}), by "
        f"{selection.criterion}, over {count(selection.studies)} {selection.split} studies; no labelled data set took "
        "part in that choice."
    )


def _evaluation(inputs: Inputs, provenance: Provenance) -> str:
    tree = inputs.tree
    runs = [provenance.run("zero_shot_classification", f"{tree.with_text[0]}/{each}") for each in tree.evaluate_on]
    units = {each.dataset: each.result.resampled_by for each in inputs.zero_shot}
    resampled = ", ".join(f"{dataset} by {unit}" for dataset, unit in units.items())
    findings = ", ".join(f"{words(card.finding)} in {dataset}" for dataset, card in zip(tree.evaluate_on, inputs.cards,
                                                                                       strict=True))  # fmt: skip
    return (
        f"Zero-shot classification ({findings}) compares an image with affirming and denying prompts. The set of "
        "prompts (by AUC) and the threshold (by F1) were chosen on the validation part, the test part was measured "
        f"once. Intervals are 95 % percentile intervals of {_draws(runs)} bootstrap draws ({resampled}). In the "
        "pointing game the largest value of the heatmap, the cosine of each patch with prompts, hits where it lies in "
        "the true box or mask of a positive test image."
    )


def _draws(runs: list[StageRun]) -> str:
    return " or ".join(dict.fromkeys(count(int(run.param("draws"))) for run in runs))


def _blocks(param: Param, prefix: str) -> str:
    return f"{param(f'{prefix}.depth')} blocks of width {param(f'{prefix}.width')}, {param(f'{prefix}.heads')} heads"


def _plain(text: str) -> str:
    """A list as the journal writes it, without its brackets and quotes."""
    return text.strip("[]").replace("'", "")
