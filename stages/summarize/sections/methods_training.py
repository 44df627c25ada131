"""Methods, first half: encoders, objective and training of one variant, from the params of its pre-training's journal.

Every clause follows from a param or a record of the run; what the records cannot tell is left out. What no setting can
change (no flip, a loss on masked patches alone) is said as the code does it.
"""

from collections.abc import Callable, Iterator, Sequence

from ...common.wording import counted
from ..inputs import Inputs
from ..numbers import count, decimal
from ..provenance import StageRun

Param = Callable[[str], str]

_AUTHORS = {"mae": "he2022mae", "mrm": "zhou2023mrm", "maco": "huang2024maco", "mgca": "wang2022mgca"}  # by source


def was_trained(run: StageRun) -> bool:
    """Return whether a pre-training trained anything; 0 epochs keep the weights of the start."""
    return int(run.param("optimisation.epochs")) > 0


def lacking(run: StageRun) -> str:
    """Return which parts of the method the variant leaves out or replaces; empty where it has all of them."""
    param = run.param
    local = float(param("local.weight")) > 0
    parts = {
        "masking": not float(param("mask_ratio")),
        "semantic integrity": param("contrastive.integrity") == "none",
        "the local loss": not local,
        "masked image prediction": not float(param("reconstruction.weight")),
    }
    *others, last = [words for words, is_left_out in parts.items() if is_left_out] or [""]
    listed = f"{', '.join(others)} and {last}" if others else last
    without = f", here without {listed}" if listed else ""
    return without + (
        ", with attention for its local matching" if local and param("local.score") == "attention" else ""
    )


def encoders(run: StageRun, inputs: Inputs) -> str:
    """Return what the encoders are, what they see and where their weights start."""
    sentences = [_image_encoder(run, list(dict.fromkeys(each.size for each in inputs.manifests)))]
    if run.name not in inputs.tree.image_only:
        sentences.append(_text_encoder(run))
        width = run.param("model.embedding_width")
        bias = ", that of images with a bias," if run.pretrained_with("model.image_bias") == "True" else ""
        sentences.append(f"One linear projection each{bias} leads to a space of {width} dimensions.")
    return " ".join([*sentences, _normalisation(run.param, inputs)])


def _image_encoder(run: StageRun, stored: Sequence[int]) -> str:
    param, trained = run.param, was_trained(run)
    size, patch = int(param("model.image.input_size")), int(param("model.image.patch_size"))
    patches, ratio = (size // patch) ** 2, float(param("mask_ratio"))
    if param("model.image.architecture") == "custom":
        image = f"a vision transformer [@dosovitskiy2021vit] ({_blocks(param, 'model.image')})"
    else:
        image = f"{param('model.image.architecture')} (timm) [@dosovitskiy2021vit]"
    cropped = trained and float(param("augmentation.min_area")) < 1
    target = _target(run) if trained else None
    sizes = [*([target] if target else []), *([size] if cropped or any(each != size for each in stored) else [])]
    changes = [*(["cropped"] if cropped else []), *(f"resized to {each}" for each in sizes)]
    made = f", {' and '.join(changes)}," if changes else ""
    masking = ""
    if trained and ratio:
        visible = max(1, round((1 - ratio) * patches))
        masking = (
            f", and in pre-training the encoder sees {visible} of the {patches}, drawn afresh for every image (mask "
            f"ratio {ratio:g}){_unmasked(run, param)}"
        )
    elif trained:
        masking = ", and in pre-training the encoder sees all of them"
    return (
        f"Images of {' or '.join(map(str, stored))} pixels{made} are cut into {patches} patches of {patch} "
        f"pixels{masking}. Images are encoded by {image}, {_start(run)}."
    )


def _unmasked(run: StageRun, param: Param) -> str:
    """Return in which last epochs nothing was hidden, and what did not learn in them."""
    epochs = int(run.pretrained_with("unmasked_epochs"))
    if not epochs:
        return ""
    idle = ["the integrity map"] if param("contrastive.integrity") != "none" else []
    idle += ["the decoder of masked patches"] if float(param("reconstruction.weight")) else []
    kept = f", which left {' and '.join(idle)} as {'they were' if len(idle) > 1 else 'it was'}" if idle else ""
    return f", but all of them in the last {'epoch' if epochs == 1 else f'{epochs} epochs'} [@li2023flip]{kept}"


def _text_encoder(run: StageRun) -> str:
    """Return what the text encoder reads: reports in one pass, or each sentence on its own."""
    param = run.param
    if param("model.text.weights") == "None":
        dropout = float(param("model.text.dropout"))
        blocks = f"{_blocks(param, 'model.text')}, {f'dropout {dropout:g}' if dropout else 'no dropout'}"
        encoder = f"a BERT [@devlin2019bert] ({blocks}) initialised at random"
    else:
        work = "alsentzer2019clinicalbert" if "ClinicalBERT" in param("model.text.weights") else "devlin2019bert"
        encoder = f"{param('model.text.weights')} [@{work}]{_terms(run, 'text')}"
    most = (
        f"at most {counted(int(param('model.text.max_tokens')), 'word piece')} and "
        f"{counted(int(param('model.text.max_sentences')), 'sentence')} of a report"
    )
    if param("model.text.context") == "report":
        return f"Reports ({most}) are encoded in one pass by {encoder}; a report's embedding is that of [CLS]."
    return (
        f"The sentences of reports ({most}) are encoded each on its own by {encoder}; a report's embedding is the mean "
        "of its sentences'."
    )


def _start(run: StageRun) -> str:
    """Return the origin of the image encoder's starting weights."""
    weights = run.param("model.image.weights")
    if weights == "None":
        return "initialised at random"
    source = _AUTHORS.get(run.params.get("model.image.source", ""))
    return f"started from {weights}{f' [@{source}]' if source else ''}{_terms(run, 'image')}"


def _terms(run: StageRun, encoder: str) -> str:
    """Return revision and licence of starting weights, from the tag that pretrain gave its journal."""
    said = run.tags.get(f"{encoder}_weights", "").removeprefix(f"{run.param(f'model.{encoder}.weights')}, ")
    return f" ({said})" if said else ""


def _normalisation(param: Param, inputs: Inputs) -> str:
    if param("normalisation") == "given":
        return (
            f"Grey values 0..1 were standardised by the mean {param('model.image.mean')} and the standard deviation "
            f"{param('model.image.standard_deviation')}, as the settings give them."
        )
    grey = inputs.pairs.fingerprint.intensity
    return (
        f"Grey values 0..1 were standardised by the mean {decimal(grey.mean, 4)} and the standard deviation "
        f"{decimal(grey.standard_deviation, 4)} of {counted(grey.images, 'training image')}, padding left out; the "
        "checkpoint carries both to every evaluation."
    )


def _target(run: StageRun) -> str | None:
    """Return the side in pixels of the image that is predicted, where that is not the input."""
    target = run.pretrained_with("reconstruction.target_size")
    predicts = float(run.param("reconstruction.weight")) > 0 and target != run.param("model.image.input_size")
    return target if predicts and target != "None" else None


def objective(run: StageRun) -> str:
    """Return the terms of the loss that have a weight."""
    param = run.param
    masked = "masked " if float(param("mask_ratio")) else ""
    integrity, scaled = param("contrastive.integrity"), "without semantic integrity"
    if integrity != "none":
        rate = float(param("contrastive.integrity_learning_rate_factor"))
        learns = "the learning rate" if rate == 1 else f"{rate:g} times the learning rate"
        decay = ", with weight decay" if run.pretrained_with("contrastive.integrity_decay") == "True" else ""
        scaled = f"scaled by semantic integrity ({integrity}; its map learns at {learns}{decay})"
    terms = [
        f"the {masked}contrastive loss [@radford2021clip; @huang2024maco], {scaled}, with a learned temperature from "
        f"{param('contrastive.temperature')}"
    ]
    if float(param("local.weight")):
        terms.append(
            f"{float(param('local.weight')):g} times the local loss, with a learned temperature from "
            f"{param('local.temperature')}, which scores {_local(param)}"
        )
    if float(param("reconstruction.weight")):
        standardised = "standardised " if param("reconstruction.normalise") == "True" else ""
        terms.append(
            f"{float(param('reconstruction.weight')):g} times masked image prediction [@he2022mae] with a decoder of "
            f"{_blocks(param, 'reconstruction')}, of {standardised}grey values{_of_target(run)}, on masked patches "
            "alone"
        )
    return f"The objective is {', plus '.join(terms)}. Pairs whose reports have the same text are no negatives."


def _of_target(run: StageRun) -> str:
    target = _target(run)
    return f" of the image at {target} pixels" if target else ""


def _local(param: Param) -> str:
    """Return how the local loss scores a pair."""
    group, visible = int(param("local.group")), "visible patches" if float(param("mask_ratio")) else "patches"
    among = f"its group of {counted(group, 'pair')}" if group < int(param("optimisation.batch_size")) else "the batch"
    pairs = f"every image against every report of {among}"
    weighted = {"idf": "weighted by idf: rare ones weigh more", "uniform": "of equal weight"}[param("local.sentences")]
    if param("local.score") == "attention":
        return (
            f"{pairs} by attention [@huang2021gloria]: every sentence attends to the {visible} (temperature "
            f"{param('local.attention_temperature')}), and its similarity with what it attends to counts over "
            f"sentences ({weighted}, temperature {param('local.sentence_temperature')})"
        )
    masses = {"uniform": "of equal mass", "integrity": "with masses by the integrity map"}[param("local.patches")]
    score = {
        "entropic": "the score is 1 minus the minimum",
        "transport": "the score is the similarity that the plan transports, without a gradient through the plan",
    }[param("local.score")]
    return (
        f"{pairs} by entropic optimal transport [@cuturi2013sinkhorn] between {visible} ({masses}) and sentences "
        f"({weighted}): {_transport(param)}; {score}"
    )


def _transport(param: Param) -> str:
    """Return the constraint on the side of patches, epsilon, and how the problem is solved."""
    rho, pot = param("local.rho"), param("local.solver") == "pot"
    closed = rho != "balanced" and float(rho) == 0
    if rho == "balanced":
        kind = "balanced transport"
    elif closed:
        kind = "transport free on the side of patches (rho 0)"
    else:
        kind = f"transport relaxed on the side of patches (rho {rho}) [@chizat2018unbalanced]"
    if pot:
        solved = "solved by POT, pair by pair in double precision"
    elif closed:
        solved = "solved in closed form"
    else:
        solved = (
            f"solved to a marginal error of {float(param('local.tolerance')):g} in at most "
            f"{counted(int(param('local.max_iterations')), 'iteration')}"
        )
    return f"{kind}, epsilon {param('local.epsilon')}, {solved}"


def training(run: StageRun) -> str:
    """Return optimiser, schedule, batches, precision, and what is drawn of images and reports."""
    param = run.param
    epochs, batch = int(param("optimisation.epochs")), int(param("optimisation.batch_size"))
    clip = param("optimisation.clip_norm")
    clipped = "without clipping of gradients" if clip == "None" else f"gradients clipped at {clip}"
    sentences = [
        f"Training ran for {counted(epochs, 'epoch')} of AdamW [@loshchilov2019adamw] (betas "
        f"{plain(param('optimisation.betas'))}, weight decay {param('optimisation.weight_decay')}) with batches of "
        f"{counted(batch, 'pair')}{_batches(run, batch)}, {_schedule(param, epochs)}{_rates(param)}, {clipped}, "
        f"in {_precision(run)}, with seed {param('seed')}.",
    ]
    if frozen := int(param("optimisation.frozen_text_layers")):
        layers = "the lowest layer" if frozen == 1 else f"the lowest {frozen} layers"
        sentences.append(f"The embeddings and {layers} of the text encoder were frozen.")
    if param("resume_from") != "None":
        sentences.append("It resumed from a state that the settings name, of an earlier training.")
    return " ".join([*sentences, *_sentences(param), _augmentation(param)])


def _precision(run: StageRun) -> str:
    """Return the arithmetic that was used, which is fp32 on a GPU without bf16, whatever the settings say."""
    used = run.tags.get("precision", run.param("optimisation.precision"))
    if used == "fp32":
        return used
    transported = float(run.param("local.weight")) and run.param("local.score") != "attention"
    return f"{used} ({'transport and ' if transported else ''}losses in fp32)"


def _batches(run: StageRun, batch: int) -> str:
    """Return how many batches an update has, and how many pairs are held at once if a process has more of the batch."""
    said = []
    if (accumulated := int(run.pretrained_with("optimisation.accumulate"))) > 1:
        said.append(f"{accumulated} to an update, by the mean of their gradients, each compared within itself")
    size = run.param("optimisation.micro_batch")
    if size != "None" and int(size) < batch // int(run.tags.get("processes", "1")):
        said.append(f"activations of {counted(int(size), 'pair')} at once, by GradCache [@gao2021gradcache]")
    return f" ({'; '.join(said)})" if said else ""


def _schedule(param: Param, epochs: int) -> str:
    rate, warmup = param("optimisation.learning_rate"), float(param("optimisation.warmup_epochs"))
    if not warmup:
        return f"a learning rate that falls from {rate} as a cosine, without warm-up"
    if warmup >= epochs:
        return f"a learning rate that rises linearly to the end, towards {rate} after {counted(warmup, 'epoch')}"
    return f"a learning rate that rises linearly to {rate} over {counted(warmup, 'epoch')} and falls as a cosine"


def _rates(param: Param) -> str:
    """Return where learning rates differ between encoders and layers."""
    rates = []
    for encoder in ("image", "text"):
        if (factor := float(param(f"optimisation.{encoder}_rate_factor"))) != 1:
            rates.append(f"{factor:g} times that in the {encoder} encoder")
    if (decay := float(param("optimisation.layer_decay"))) != 1:
        rates.append(f"{decay:g} times as large with every layer farther down in both encoders")
    return f" ({'; '.join(rates)})" if rates else ""


def _sentences(param: Param) -> Iterator[str]:
    """Yield which sentences of a report a step reads; their order is nothing to an encoder of single sentences."""
    keep, shuffled = param("sentences.keep"), param("sentences.shuffle") == "True"
    ordered = ", in random order" if shuffled and param("model.text.context") == "report" else ""
    if keep == "random":
        yield f"Of a report's n sentences a step reads 1 to n, the number and the sentences drawn at random{ordered}."
    elif keep != "None":
        yield f"A step reads at most {counted(int(keep), 'sentence')} of a report, drawn at random{ordered}."
    elif ordered:
        yield f"A step reads all sentences of a report{ordered}."


def _augmentation(param: Param) -> str:
    """Return the random changes of training images that have a strength."""

    def strength(name: str) -> float:
        return float(param(f"augmentation.{name}"))

    changes = []
    if (area := strength("min_area")) < 1:
        changes.append(f"cropped to at least {100 * area:g} % of their area")
    for name, words in (("rotation", "rotated by up to {:g} degrees"), ("translation", "shifted by up to {:.4g} %"),
                        ("scale", "changed in size by up to {:.4g} %"),
                        ("brightness", "changed in brightness by up to {:g}"),
                        ("contrast", "changed in contrast by up to {:.4g} %")):  # fmt: skip
        if value := strength(name):
            changes.append(words.format(100 * value if "%" in words else value))
    if not changes:
        return "Images were not augmented."
    return f"Images were {', '.join(changes)}, at random, and never flipped: reports say left and right."


def choice(inputs: Inputs) -> str:
    """Return which candidate was kept, by what."""
    selection = next(each.selection for each in inputs.training if each.replicate == inputs.told)
    step = f"step {count(selection.chosen_step)}"
    if len(selection.candidates) == 1:
        return f"There was one candidate ({step})."
    part = selection.split
    judged = f"{counted(selection.studies, f'{part} study', f'{part} studies')}; no labelled data set"
    if selection.by_labels:
        images = counted(selection.labelled_images, f"labelled {part} image")
        judged = f"{images} of {selection.zero_shot_on}; no test image"
    return (
        f"Of {len(selection.candidates)} candidates {selection.rule.replace('candidate', 'one') or 'the best one'} was "
        f"kept ({step}), by {selection.criterion}, over {judged} took part in that choice."
    )


def _blocks(param: Param, prefix: str) -> str:
    blocks, heads = counted(int(param(f"{prefix}.depth")), "block"), counted(int(param(f"{prefix}.heads")), "head")
    return f"{blocks} of width {param(f'{prefix}.width')}, {heads}"


def plain(text: str) -> str:
    """Return a list without the brackets and quotes with which the journal writes it."""
    return text.strip("[]").replace("'", "")
