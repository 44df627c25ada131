"""No clause of the methods is constant against the settings: a changed param or record changes the sentence."""

import json
import re

import pytest
from pydantic import BaseModel
from told_methods import ZERO_SHOT

from stages.pretrain.contract import PretrainSettings
from stages.pretrain.learning_curve import write_curve
from stages.summarize import provenance
from stages.summarize.provenance import StageRun

SPLIT = "split_reports/mimic_cxr/journal.json"
PAIRS = "pair_images_reports/mimic_cxr/journal.json"
GROUNDING = "phrase_grounding/mlip/rsna/journal.json"
QUALITY = "split_reports/mimic_cxr/quality.json"
AUDIT = "pair_images_reports/mimic_cxr/audit.json"

# param -> (another value, words that then stand there, params that must be set for it to matter).
CHANGED = {
    "seed": ("5", "with seed 5", {}),
    "resume_from": ("/s/step_3.pt", "It resumed from a state that the settings name", {}),
    "data_share": ("0.1", "mlip read those of 10 % of these patients, drawn by a hash of their ids", {}),
    "model.image.architecture": ("custom", "(12 blocks of width 768, 12 heads)", {}),
    "model.image.weights": ("vit.mae", "started from vit.mae", {}),
    "model.image.source": ("mrm", "started from vit.mae [@zhou2023mrm]", {"model.image.weights": "vit.mae"}),
    "model.image.input_size": ("160", "resized to 160, are cut into 100 patches", {}),
    "model.image.patch_size": ("32", "49 patches of 32 pixels", {}),
    "model.image.width": ("96", "blocks of width 96", {"model.image.architecture": "custom"}),
    "model.image.depth": ("1", "(1 block of width 768", {"model.image.architecture": "custom"}),
    "model.image.heads": ("1", "width 768, 1 head)", {"model.image.architecture": "custom"}),
    "model.image.mean": ("0.123", "by the mean 0.123", {"normalisation": "given"}),
    "model.image.standard_deviation": ("0.456", "standard deviation 0.456", {"normalisation": "given"}),
    "model.text.weights": ("bert-base", "in one pass by bert-base [@devlin2019bert];", {}),
    "model.image_bias": ("True", "projection each, that of images with a bias, leads", {}),
    "model.text.width": ("96", "width 96", {}),
    "model.text.depth": ("2", "(2 blocks of width 768", {}),
    "model.text.heads": ("3", "width 768, 3 heads, dropout 0.1)", {}),
    "model.text.dropout": ("0.0", "no dropout", {}),
    "model.text.context": ("sentences", "encoded each on its own", {}),
    "model.text.max_tokens": ("99", "at most 99 word pieces", {}),
    "model.text.max_sentences": ("1", "and 1 sentence of a report", {}),
    "model.embedding_width": ("64", "a space of 64 dimensions", {}),
    "normalisation": ("given", "as the settings give them", {}),
    "mask_ratio": ("0.75", "sees 49 of the 196", {}),
    "unmasked_epochs": ("2", "(mask ratio 0.5), but all of them in the last 2 epochs [@li2023flip], which left", {}),
    "contrastive.integrity": ("share", "semantic integrity (share;", {}),
    "contrastive.integrity_learning_rate_factor": ("0.5", "its map learns at 0.5 times", {}),
    "contrastive.integrity_decay": ("True", "times the learning rate, with weight decay)", {}),
    "contrastive.temperature": ("0.2", "learned temperature from 0.2", {}),
    "local.weight": ("0.5", "plus 0.5 times the local loss", {}),
    "local.score": ("transport", "the similarity that the plan transports", {}),
    "local.solver": ("pot", "solved by POT, pair by pair in double precision", {}),
    "local.attention_temperature": ("0.4", "patches (temperature 0.4)", {"local.score": "attention"}),
    "local.sentence_temperature": ("0.3", "temperature 0.3)", {"local.score": "attention"}),
    "local.patches": ("integrity", "with masses by the integrity map", {}),
    "local.sentences": ("uniform", "sentences (of equal weight)", {}),
    "local.epsilon": ("0.03", "epsilon 0.03", {}),
    "local.rho": ("0.0", "free on the side of patches (rho 0), epsilon 0.1, solved in closed form", {}),
    "local.tolerance": ("0.001", "a marginal error of 0.001", {}),
    "local.max_iterations": ("7", "at most 7 iterations", {}),
    "local.temperature": ("0.3", "local loss, with a learned temperature from 0.3", {}),
    "local.group": ("64", "of its group of 64 pairs", {}),
    "reconstruction.weight": ("2.0", "plus 2 times masked image prediction", {}),
    "reconstruction.normalise": ("False", "heads, of grey values", {}),
    "reconstruction.target_size": ("448", "grey values of the image at 448 pixels, on masked patches alone", {}),
    "reconstruction.width": ("96", "a decoder of 4 blocks of width 96", {}),
    "reconstruction.depth": ("1", "a decoder of 1 block of", {}),
    "reconstruction.heads": ("2", "width 512, 2 heads", {}),
    "sentences.keep": ("3", "at most 3 sentences of a report, drawn at random.", {}),
    "sentences.shuffle": ("True", "reads all sentences of a report, in random order.", {}),
    "augmentation.min_area": ("0.9", "cropped to at least 90 % of their area", {}),
    "augmentation.rotation": ("7.0", "rotated by up to 7 degrees", {}),
    "augmentation.translation": ("0.05", "shifted by up to 5 %", {}),
    "augmentation.scale": ("0.1", "changed in size by up to 10 %", {}),
    "augmentation.brightness": ("0.3", "in brightness by up to 0.3", {}),
    "augmentation.contrast": ("0.4", "in contrast by up to 40 %", {}),
    "optimisation.epochs": ("1", "for 1 epoch of", {"optimisation.warmup_epochs": "0.5"}),
    "optimisation.warmup_epochs": ("1.0", "over 1 epoch and falls as a cosine", {}),
    "optimisation.batch_size": ("128", "batches of 128 pairs", {}),
    "optimisation.accumulate": ("2", "(2 to an update, by the mean of their gradients", {}),
    "optimisation.micro_batch": ("32", "activations of 32 pairs at once, by GradCache [@gao2021gradcache]", {}),
    "optimisation.learning_rate": ("0.001", "rises linearly to 0.001", {}),
    "optimisation.image_rate_factor": ("0.5", "0.5 times that in the image encoder", {}),
    "optimisation.text_rate_factor": ("0.2", "0.2 times that in the text encoder", {}),
    "optimisation.layer_decay": ("0.7", "0.7 times as large with every layer farther down", {}),
    "optimisation.frozen_text_layers": ("6", "The embeddings and the lowest 6 layers of the text encoder were", {}),
    "optimisation.betas": ("[0.8, 0.99]", "betas 0.8, 0.99,", {}),
    "optimisation.weight_decay": ("0.1", "weight decay 0.1", {}),
    "optimisation.clip_norm": ("3.0", "clipped at 3.0", {}),
    "optimisation.precision": ("bf16", "in bf16", {}),
}
# What else switches a clause: param -> (another value, words that then stand there); one list per param above.
MORE = [
    ("sentences.keep", "random", "Of a report's n sentences a step reads 1 to n, the number and the sentences"),
    ("optimisation.clip_norm", "None", "without clipping of gradients"),
    ("contrastive.integrity_learning_rate_factor", "1.0", "its map learns at the learning rate)"),
    ("local.score", "attention", "by attention [@huang2021gloria]"),
]
# Settings that switch something off, and words that must then be gone, here and in every sentence that is near.
OFF = [
    ({"local.weight": "0.0"}, ("local loss", "transport", "idf", "epsilon")),
    ({"local.weight": "0.0", "optimisation.precision": "bf16"}, ("transport",)),
    ({"local.score": "attention", "optimisation.precision": "bf16"}, ("transport", "epsilon")),
    ({"reconstruction.weight": "0.0"}, ("masked image prediction", "decoder of", "masked patches alone")),
    ({"reconstruction.weight": "0.0", "reconstruction.target_size": "448"}, ("448",)),
    ({"reconstruction.target_size": "224"}, ("of the image at",)),
    ({"contrastive.integrity": "none"}, ("scaled by", "its map learns", "softplus")),
    ({"mask_ratio": "0.0", "reconstruction.weight": "0.0"}, ("masked", "visible", "drawn afresh", "mask ratio")),
    ({"sentences.keep": "1"}, ("Whole reports", "all sentences")),
    ({"sentences.keep": "random"}, ("Whole reports", "all sentences")),
    ({"model.text.context": "sentences"}, ("in one pass", "[CLS]")),
    ({"optimisation.clip_norm": "None"}, ("clipped at",)),
    ({"optimisation.warmup_epochs": "0.0"}, ("rises linearly",)),
    ({"normalisation": "given"}, ("of 8 training images", "padding left out")),
    ({"model.image.weights": "vit.mae", "model.text.weights": "bert"}, ("initialised at random",)),
    ({"augmentation.min_area": "1.0"}, ("cropped",)),
    ({"augmentation.min_area": "1.0", "augmentation.brightness": "0.0", "augmentation.contrast": "0.0"},
     ("cropped", "at random, and never flipped")),
]  # fmt: skip
# What no setting of pre-training can make false, because the code does it always.
ALWAYS = {"Pairs whose reports have the same text are no negatives."}
NOT_TOLD = {
    "optimisation.compiled",
    "optimisation.recompute",  # memory alone
    "optimisation.deterministic",
    "optimisation.candidates",  # the choice counts the candidates that there are
    "model.image.pooling",  # of ready-made encoders; the few-shot protocols say what they classify
}


def keys_of(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Every key of a block, those that a digest leaves out while they have their default, too."""
    found = set()
    for name, field in model.model_fields.items():
        inner = field.annotation if isinstance(field.annotation, type) else None
        is_block = inner is not None and issubclass(inner, BaseModel)
        found |= keys_of(inner, f"{prefix}{name}.") if is_block else {prefix + name}
    return found


def of_pretraining(text: str) -> str:
    """The paragraphs on encoders, objective and training."""
    return text.partition("Images of ")[2].partition("Zero-shot classification (")[0]


def test_every_setting_of_pretraining_is_in_the_list():
    assert keys_of(PretrainSettings) == CHANGED.keys() | NOT_TOLD


class Noted(dict):
    """Params that note which of them is read."""

    def __init__(self, params, read):
        super().__init__(params)
        self.read = read

    def __getitem__(self, key):
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key, default=None):
        self.read.add(key)
        return super().get(key, default)


# The same of the other stages: (stage, param) -> (journal, other params, words that then stand there).
OTHERS = {
    ("pair_images_reports", "patient_split.validation"): (
        PAIRS, {"patient_split.validation": "0.5"}, "validation 50 %"),
    ("pair_images_reports", "patient_split.test"): (PAIRS, {"patient_split.test": "0.25"}, "test 25 %"),
    ("pair_images_reports", "patient_split.seed"): (PAIRS, {"patient_split.seed": "77"}, "seed 77"),
    ("pair_images_reports", "images_per_study"): (PAIRS, {"images_per_study": "one"}, "with one image of each study"),
    ("split_reports", "sections"): (SPLIT, {"sections": "['impression']"}, "the sections kept were impression"),
    ("split_reports", "sections_fallback"): (SPLIT, {"sections_fallback": "whole_report"}, "the whole text was kept"),
    ("split_reports", "tokenizer.weights"): (SPLIT, {"tokenizer.weights": "org/bert"}, "pieces are those of org/bert"),
    ("label_images", "unlabelled_values"): (
        "label_images/rsna/journal.json", {"unlabelled_values": "['-1']"}, "(cells -1 count as no label)"),
    ("zero_shot_classification", "score"): (
        ZERO_SHOT, {"score": "local", "patch_share": "0.1"}, "the 10 % of an"),
    ("zero_shot_classification", "draws"): (
        ZERO_SHOT, {"draws": "999"}, "999 or 200 bootstrap draws"),
    ("zero_shot_classification", "patch_share"): (
        ZERO_SHOT, {"score": "local", "patch_share": "0.2"}, "the 20 % of an"),
    ("zero_shot_classification", "reading"): (
        ZERO_SHOT, {"score": "local", "reading": "stitched"}, "on a grid 2 times as fine by shift-and-stitch"),
    ("index_inputs", "distribution"): (
        "index_inputs/rsna/journal.json", {"distribution": "vindr"}, "from two hospitals in Hanoi"),
    ("index_inputs", "layout"): ("index_inputs/rsna/journal.json", {"layout": "siim"}, "rsna are the data of SIIM-ACR"),
}  # fmt: skip

# Ways of reading heatmaps: setting -> (another value, words that then stand behind the name of the way).
READINGS = {
    "mean": ("dataset", "the cosine of each patch with prompts less its mean at the same place over training "
             "radiographs of the data set"),
    "unit_patches": ("False", "the product of each patch, not normalised, with prompts"),
    "integrity_temperature": ("0.02", "times softmax(phi / 0.02)"),
    "smoothing": ("1.5", "smoothed by a Gaussian of 1.5 patches"),
    "denied": ("0.5", "less 0.5 times that of the prompts which deny the finding"),
    "shifts": ("2", "on a grid 2 times as fine by shift-and-stitch"),
}  # fmt: skip
OTHERS |= {
    ("phrase_grounding", key := f"readings.{way}.{name}"): (GROUNDING, {key: value}, words)
    for way in ("raw", "centred")
    for name, (value, words) in READINGS.items()
}  # fmt: skip


def test_the_text_reads_no_param_that_is_not_in_the_lists(told, monkeypatch):
    read, original = {}, StageRun.__init__

    def noting(self, *args, **kwargs):
        original(self, *args, **kwargs)
        object.__setattr__(self, "params", Noted(self.params, read.setdefault(self.stage, set())))

    monkeypatch.setattr(StageRun, "__init__", noting)
    told()
    told(ZERO_SHOT, {"score": "local"})  # which has settings of its own
    assert read["pretrain"] <= CHANGED.keys()
    assert len(read["pretrain"]) > 40
    rest = {(stage, key) for stage, keys in read.items() if stage != "pretrain" for key in keys}
    assert rest == OTHERS.keys()


@pytest.mark.parametrize("key", OTHERS, ids=".".join)
def test_a_changed_setting_of_another_stage_changes_the_sentence(told, monkeypatch, key):
    place, params, words = OTHERS[key]
    if key[0] == "index_inputs":  # of synthetic patients no origin is told
        monkeypatch.setattr(provenance, "synthetic_datasets", lambda *_: [])
    assert words not in told()
    assert words in told(place, params)


@pytest.mark.parametrize(("key", "value", "words"), MORE)
def test_another_value_is_told_in_other_words(told, key, value, words):
    assert words not in told()
    assert words in told(params={key: value})


@pytest.mark.parametrize(("params", "gone"), OFF, ids=[str(sorted(params)) for params, _ in OFF])
def test_what_a_setting_switches_off_is_not_mentioned(told, params, gone):
    text = of_pretraining(told(params=params))
    assert text
    for words in gone:
        assert words not in text, words


def test_no_sentence_is_constant_but_what_the_code_always_does(told):
    """A sentence that stands there under the defaults, with everything changed, and with everything off."""
    defaults = of_pretraining(told())
    changed = {key: value for key, (value, _, _) in CHANGED.items()} | {"model.image.weights": "vit.mae"}
    off = {key: value for params, _ in OFF for key, value in params.items()} | {"optimisation.epochs": "3"}
    texts = [defaults, *(of_pretraining(told(params=params)) for params in (changed, off))]
    constant = set.intersection(*(set(re.split(r"(?<=[.]) (?=[A-Z])", text)) for text in texts))
    assert {each for each in constant if "candidate" not in each} == ALWAYS  # candidates: of select_checkpoint


def test_the_method_is_named_with_what_a_variant_leaves_out(told):
    def method(**off):
        return told(params={key.replace("__", "."): value for key, value in off.items()}).partition(", run by")[0]

    assert method().endswith("(MLIP) [@liu2024mlip]")
    assert method(local__weight="0.0").endswith(", here without the local loss")
    clip = {"mask_ratio": "0.0", "contrastive__integrity": "none", "local__weight": "0.0",
            "reconstruction__weight": "0.0", "local__score": "attention"}  # fmt: skip
    left_out = ", here without masking, semantic integrity, the local loss and masked image prediction"
    assert method(**clip).endswith(left_out)
    assert method(local__score="attention").endswith("[@liu2024mlip], with attention for its local matching")


def test_precision_is_the_one_that_was_used(told):
    asked = {"optimisation.precision": "bf16"}
    assert "in bf16 (transport and losses in fp32)" in told(params=asked, tags={"precision": "bf16"})
    assert "in fp32, with seed" in told(params=asked, tags={"precision": "fp32"})


def test_sizes_are_those_of_every_data_set(told, built):
    place = "dicom_to_arrow/rsna/manifest.json"
    record = json.loads((built.results / place).read_text())
    text = told(record=place, size=512)
    assert "pixels (mimic_cxr, siim) or 512 pixels (rsna), padded" in text
    assert record["size"] != 512


def test_differences_of_prompts_are_told(tree, told):
    plain = "nearest, by the cosine with the normalised mean of their embeddings, not standardised"
    assert plain in told()
    for variant in tree.variants:
        tree.edit(f"multi_class_classification/{variant}/rsna/result.json", score="difference")
    text = told()
    assert plain not in text
    assert "embeddings minus the cosine with that of the prompts which deny the finding, not" in text


def test_without_a_training_no_pairs_were_used(tree, told):
    assert "Pre-training used" in told()
    for variant in tree.variants:
        curve = tree.results / f"pretrain/{variant}/learning_curve.csv"
        write_curve(curve, [])
    assert "For pre-training, which no variant did, mimic_cxr has" in told()


@pytest.mark.parametrize("key", CHANGED)
def test_a_changed_setting_changes_the_sentence(told, key):
    value, words, needed = CHANGED[key]
    assert words not in told(params=needed)
    assert words in told(params=needed | {key: value})


def test_what_has_no_effect_is_not_told(told):
    plain = told()
    assert told(params={"optimisation.micro_batch": "256"}) == plain
    assert "GradCache" in told(params={"optimisation.micro_batch": "128"})
    assert told(params={"optimisation.micro_batch": "128"}, tags={"processes": "2"}) == plain  # all a process has
    single = {"model.text.context": "sentences"}
    assert told(params=single) == told(params=single | {"sentences.shuffle": "True"})
    assert "every image against every report of the batch" in plain  # a group of 256 holds all 256
    attention = {"local.score": "attention"}
    for key, value in (("local.patches", "integrity"), ("local.epsilon", "9"), ("local.solver", "pot")):
        assert told(params=attention) == told(params=attention | {key: value})


def test_an_encoder_that_sees_all_is_not_called_masked(told):
    text = told(params={"mask_ratio": "0.0", "reconstruction.weight": "0.0"})
    assert "the encoder sees all of them" in text
    for words in ("the masked contrastive", "visible", "drawn afresh"):
        assert words in told()
        assert words not in text


def test_without_augmentation_nothing_is_called_cropped(told):
    none = {"min_area": "1.0", "brightness": "0.0", "contrast": "0.0"}
    text = told(params={f"augmentation.{name}": value for name, value in none.items()})
    assert "Images were not augmented." in text
    assert "cropped" not in text.split("Few-shot")[0]  # a few-shot protocol has crops of its own


def test_a_warm_up_to_the_end_does_not_fall(told):
    text = told(params={"optimisation.warmup_epochs": "60.0"})
    assert "rises linearly to the end, towards 0.00025 after 60 epochs" in text
    assert "cosine," not in text
    assert "falls from 0.00025 as a cosine, without warm-up" in told(params={"optimisation.warmup_epochs": "0.0"})


def test_an_untrained_variant_has_no_objective(told):
    text = told(params={"optimisation.epochs": "0"})
    assert "mlip was evaluated by the MLIP pipeline" in text
    assert "Nothing was trained" in text
    for words in ("The objective", "AdamW", "masked", "candidates", "cropped and"):
        assert words in told()
        assert words not in text
