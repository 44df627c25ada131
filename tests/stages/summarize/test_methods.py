"""The methods say what the records hold, and nothing that they do not."""

import json

import pytest

from stages.common.errors import InputError
from stages.select_checkpoint import decision
from stages.select_checkpoint.contract import Selection
from stages.summarize.inputs import read_inputs
from stages.summarize.provenance import read_provenance
from stages.summarize.sections.methods import methods

PRETRAIN = "pretrain/mlip/journal.json"
SELECTION = "select_checkpoint/mlip/selection.json"


@pytest.fixture
def text_of(tree):
    """The methods after changes of a journal's params, and of its tags."""

    def text(place=PRETRAIN, tags=None, **changes):
        journal = json.loads((tree.results / place).read_text())
        params = journal["params"] | {key.replace("__", "."): value for key, value in changes.items()}
        tree.edit(place, params=params, tags=journal["tags"] | (tags or {}))
        try:
            return " ".join(methods(read_inputs(tree.layout), read_provenance(tree.layout)))
        finally:
            tree.edit(place, params=journal["params"], tags=journal["tags"])

    return text


def test_the_methods_follow_the_journals(text_of):
    assert "98 of the 196" in text_of()
    assert "1,800 pairs" in text_of()
    assert "49 of the 196" in text_of(mask_ratio="0.75")
    assert "sees all of them" in text_of(mask_ratio="0.0")
    assert "balanced transport" in text_of()
    assert "relaxed on the side of patches (rho 0.1)" in text_of(local__rho="0.1")
    assert "times the local loss" not in text_of(local__weight="0.0")
    assert "times masked image prediction" not in text_of(reconstruction__weight="0.0")
    assert "without semantic integrity" in text_of(contrastive__integrity="none")
    assert "Nothing was trained" in text_of(optimisation__epochs="0")
    assert "over all pairs of a column" in text_of()


def test_attention_is_not_called_transport(text_of):
    assert "by entropic optimal transport [@cuturi2013sinkhorn]" in text_of()
    assert "attention" not in text_of()
    text = text_of(local__score="attention")
    assert "by attention [@huang2021gloria]: every sentence attends to the visible patches (temperature 0.25)" in text
    assert "transport" not in text
    assert "epsilon" not in text


def test_starting_weights_are_named_with_their_terms(text_of):
    assert "initialised at random. Reports (at most" in text_of()
    named = text_of(
        model__image__weights="vit_base_patch16_224.mae",
        model__image__source="timm",
        model__text__weights="emilyalsentzer/Bio_ClinicalBERT",
        tags={
            "image_weights": "timm/vit_base_patch16_224.mae, revision 12ab, license cc-by-nc-4.0",
            "text_weights": "emilyalsentzer/Bio_ClinicalBERT, revision 34cd, license mit",
        },
    )
    assert (
        "started from vit_base_patch16_224.mae (timm/vit_base_patch16_224.mae, revision 12ab, license cc-by-nc-4.0)."
    ) in named
    assert "emilyalsentzer/Bio_ClinicalBERT [@alsentzer2019clinicalbert] (revision 34cd, license mit);" in named
    assert "started from MRM.pth [@zhou2023mrm]." in text_of(
        model__image__weights="MRM.pth", model__image__source="mrm"
    )


def test_the_choice_names_the_labels_that_took_part_in_it(tree, text_of):
    words = "over 148 validation studies; no labelled data set took part in that choice."
    assert words in text_of()
    labels = {"zero_shot_on": "rsna", "labelled_images": 1234}
    tree.edit(SELECTION, **labels)  # scored beside the criterion, which is another
    assert words in text_of()
    tree.edit(SELECTION, criterion=decision._WORDS["zero_shot_auc"], **labels)
    text = text_of()
    assert "over 1,234 labelled validation images of rsna; no test image took part in that choice." in text
    assert "no labelled data set" not in text
    assert "validation studies" not in text


def test_a_choice_by_labels_that_names_none_is_refused(tree):
    tree.edit(SELECTION, criterion=decision._WORDS["zero_shot_auc"])
    with pytest.raises(InputError, match=r"selection\.json.*names no labels"):
        read_inputs(tree.layout)


@pytest.mark.parametrize("criterion", sorted(decision._WORDS))
def test_the_criterion_says_whether_labels_decided(criterion):
    record = {"criterion": decision._WORDS[criterion], "split": "validation", "studies": 3, "candidates": {"1": 0.5},
              "chosen_step": 1, "zero_shot_on": "rsna", "labelled_images": 5, "rule": "", "reason": "", "scores": {},
              "temperatures": {}, "best_step": 1, "runner_up_step": None, "lead_of_best": None,
              "resampled_by": "patient"}  # fmt: skip
    assert Selection.model_validate(record).by_labels == (criterion == "zero_shot_auc")


def test_a_margin_is_told(tree, text_of):
    assert "candidates the best one was kept" in text_of()
    tree.edit(SELECTION, rule="the earliest candidate at most 0.01 worse than the best")
    assert "candidates the earliest one at most 0.01 worse than the best was kept (step 675)" in text_of()


def test_the_local_score_is_told(text_of):
    whole = "an image with affirming and denying prompts"
    assert f"compares {whole}." in text_of()
    patches = (
        "the 5 % of an image's patches that are nearest with affirming prompts (the mean of their centred cosines)"
    )
    rsna, siim = (f"zero_shot_classification/mlip/{dataset}/journal.json" for dataset in ("rsna", "siim"))
    assert f"compares {patches} (in rsna) and {whole} (in siim)." in text_of(rsna, score="local")
    assert f"compares {whole} (in rsna) and {patches} (in siim)." in text_of(siim, score="local")
    nearest = "the 5 % of its patches that are nearest with affirming ones (the mean of their centred cosines)"
    both = f"{whole}, and {nearest}, both standardised by training images"
    assert f"compares {both} (in rsna) and {whole} (in siim)." in text_of(rsna, score="global_and_local")
    assert "(the mean of their cosines)" in text_of(rsna, score="local", reading="raw")
