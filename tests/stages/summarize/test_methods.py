"""The methods say what the records hold, and nothing that they do not."""

import json

import pytest
from told_methods import PRETRAIN, ZERO_SHOT

from stages.common.errors import InputError
from stages.select_checkpoint import decision
from stages.select_checkpoint.contract import Selection
from stages.summarize.inputs import read_inputs

SELECTION = "select_checkpoint/mlip/selection.json"
SPLIT = "split_reports/mimic_cxr/journal.json"
PAIRS = "pair_images_reports/mimic_cxr/journal.json"
QUALITY = "split_reports/mimic_cxr/quality.json"
AUDIT = "pair_images_reports/mimic_cxr/audit.json"


@pytest.fixture
def text_of(told):
    """The methods after changes of a journal's params, and of its tags."""

    def text(place=PRETRAIN, tags=None, **changes):
        return told(place, {key.replace("__", "."): value for key, value in changes.items()}, tags=tags)

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
    of = ("the mean of their heatmap: the cosine of each patch with affirming prompts less its mean at the same place "
          "over training radiographs of pre-training")  # fmt: skip
    patches = f"the 5 % of an image's patches that are nearest with affirming prompts ({of})"
    rsna, siim = (f"zero_shot_classification/mlip/{dataset}/journal.json" for dataset in ("rsna", "siim"))
    assert f"compares {patches} (in rsna) and {whole} (in siim)." in text_of(rsna, score="local")
    assert f"compares {whole} (in rsna) and {patches} (in siim)." in text_of(siim, score="local")
    both = f"{whole}, and the 5 % of its patches that are nearest with affirming ones ({of})"
    told = text_of(rsna, score="global_and_local")
    assert f"compares {both}, and adds both, standardised by training images (in rsna) and {whole} (in siim)." in told
    raw = text_of(rsna, score="local", reading="raw")
    assert "(the mean of their heatmap: the cosine of each patch with affirming prompts)" in raw


def quality(built, **reports):
    record = json.loads((built.results / QUALITY).read_text())["reports"]
    return record | reports


def test_sections_that_were_read_by_fallback_are_not_called_findings(told, built):
    assert "the sections kept were findings, impression;" in told(SPLIT)
    split = quality(built)["split"]
    some = told(SPLIT, record=QUALITY, reports=quality(built, by_fallback=split - 1))
    assert f"under no header were kept of the {split - 1:,} among {split:,} reports that have none" in some
    whole = {"sections_fallback": "whole_report"}
    found = told(SPLIT, whole, QUALITY, reports=quality(built, by_fallback=1))
    assert f"the whole text was kept of the 1 among {split:,} reports" in found
    found = told(SPLIT, whole, QUALITY, reports=quality(built, by_fallback=split))
    assert "no report has a section findings or impression, so that the whole text of each was kept" in found
    assert "sections kept were" not in found
    found = told(SPLIT, {"sections": "['impression']"})
    assert "the sections kept were impression;" in found
    found = told(SPLIT, record=QUALITY, reports=quality(built, rejected={"no_configured_section": 1}))
    assert "1 report without such a section was left out" in found


def test_the_vocabulary_is_named(told):
    assert "word pieces are those of emilyalsentzer/Bio_ClinicalBERT" in told(SPLIT)
    trained = {"tokenizer.weights": "None", "tokenizer.vocabulary_size": "1500"}
    assert "of a vocabulary of at most 1,500, trained on the training reports" in told(SPLIT, trained)


def test_the_split_is_the_one_of_the_audit(told):
    assert "by a hash of the patient's id (validation 2 %, test 2 %; seed 0)" in told(PAIRS)
    changed = told(PAIRS, {"patient_split.validation": "0.08", "patient_split.seed": "3"})
    assert "(validation 8 %, test 2 %; seed 3)" in changed
    whole = told(PAIRS, record=AUDIT, split_by="patient, as distributed")
    assert "split by patient as the data set is distributed" in whole
    assert "hash" not in whole
    both = told(PAIRS, record=AUDIT, split_by="patient, as distributed where it says", images_with_distributed_split=9)
    assert "as the data set is distributed where it says (9 of 2,000 images), else by a hash" in both
    assert "with one image of each study" in told(PAIRS, {"images_per_study": "one"})


def test_a_single_item_is_singular(told):
    one = {"pairs": 1, "studies": 1, "patients": 1, "copies_of_pixels": 0, "copies_of_text": 0}
    text = told(PAIRS, record=AUDIT, splits={"train": one})
    assert "1 pair of image and report from 1 study of 1 patient of mimic_cxr" in text


def test_labels_are_told_as_the_card_has_them(told, built):
    place, card = "label_images/rsna/journal.json", "label_images/rsna/card.json"
    record = json.loads((built.results / card).read_text())
    labelled = record["labelled"]
    shares = {"train": 0.7, "validation": 0.2, "test": 0.1}
    whole = told(place, record=card, images=labelled, shares=shares)
    parts = "in parts by patient: train 70 %, validation 20 %, test 10 %, seed"
    assert f"rsna has {labelled:,} labelled images for lung opacity, {parts}" in whole
    assert f"rsna has {labelled:,} of {record['images']:,} images that have a label for lung opacity" in told(place)
    lists = told(place, record=card, shares=None)
    assert "for lung opacity, in parts by lists of the user." in lists
    unknown = told(place, {"unlabelled_values": "['-1']"}, card, images=labelled + 5)
    assert f"{labelled:,} of {labelled + 5:,} images that have a label (cells -1 count as no label)" in unknown
    assert "in parts by image (patients are unknown)" in told(place, record=card, split_by="image", shares=shares)


def test_the_choice_of_prompts_is_told_where_there_was_one(tree, told):
    assert "The set of prompts (by AUC) and the threshold" in told()
    for variant in tree.variants:
        for dataset in tree.datasets:
            place = f"zero_shot_classification/{variant}/{dataset}/result.json"
            record = tree.only(place)
            only = record["prompt_set"]
            kept = {key: {only: record[key][only]} for key in ("validation_auc", "test_auc")}
            tree.edit_only(place, **kept)
    text = told()
    assert "The threshold (by F1) was chosen on the validation part, the test part was measured once." in text
    assert "set of prompts" not in text


def test_the_draws_are_those_of_the_journal(told):
    assert "of 200 bootstrap draws" in told(ZERO_SHOT)
    assert "of 999 or 200 bootstrap draws" in told(ZERO_SHOT, {"draws": "999"})


def test_one_candidate_was_not_chosen(told):
    place = "select_checkpoint/mlip/selection.json"
    assert "Of 4 candidates" in told()
    text = told(record=place, candidates={"675": 0.2})
    assert "There was one candidate (step 675)." in text
    assert "took part in that choice" not in text


def test_snakemake_is_named_where_it_called_the_stages(told):
    assert "Snakemake" not in told()
    assert "on Snakemake [@molder2021snakemake]" in told(tags={"invocation": "i1"})
