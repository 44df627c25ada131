"""The model card of an exported checkpoint: what it is, what it was made from, what it is for, what was measured."""

from typing import Any

from stages.select_checkpoint.candidate_scores import ScoredCandidate
from stages.select_checkpoint.decision import Decision

_CARD = """---
library_name: timm
license: other
license_name: {license_name}
tags: [medical-imaging, chest-radiograph, vision-language, masked-modelling]
---
# {name}

Image and text encoder trained together on radiographs and their reports (MLIP, arXiv 2401.01591), written by the stage
`select_checkpoint`. Step {step} of {steps}.

## Made from
- Data: `{dataset}`, {studies:,} training studies; fingerprint sha256 `{fingerprint}`. Who may use the data may use the
  weights, at most: they were fitted to them. The terms of the data's licence go with the weights.
- Starting weights, whose licences the weights inherit: {starting_weights}.
- Seed {seed}. Digests: code `{code}`, settings `{settings}`, data `{data}`, image `{image}`.{resumed}

## Intended use
Research on representations of chest radiographs: features for classification, segmentation, retrieval and grounding.
Not a medical device. It was not evaluated for diagnosis, triage or any decision about a person.

## What was measured, and its limits
Chosen among {candidates} candidates on {validated:,} validation studies alone, by {criterion}; rule: {rule}.
{reason}.

{scores}

These are validation figures of the candidate that looked best on them: optimistic by as much. Figures on test data,
with intervals, stand in the report of the run. No figure here says how the model does on another hospital's images, on
children, on lateral views, or by sex, age or ethnicity. Reports carry the omissions and conventions of those who wrote
them, and the model learns these, too.

## Load it without this project
```python
import timm, torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

image = timm.create_model("local-dir:image", pretrained=True).eval()  # mean of the patch tokens
text = AutoModel.from_pretrained("text", add_pooling_layer=False).eval()
tokenizer = AutoTokenizer.from_pretrained("text")
projections = load_file("model.safetensors")
# grey 0..1 at {size} x {size} pixels, then (x - {mean:.4f}) / {deviation:.4f}; shape [batch, 1, {size}, {size}]
features = image(pixels)
words = tokenizer(["There is a pneumothorax."], return_tensors="pt", padding=True)
hidden = text(input_ids=words.input_ids, attention_mask=words.attention_mask).last_hidden_state
report = {pooling}
similarity = torch.cosine_similarity(features @ projections["image_projection.weight"].T,
                                     report @ projections["text_projection.weight"].T)
```
"""
_POOLING = {
    "report": "hidden[:, 0]  # [CLS]",
    "sentences": "hidden[0, 1:-1].mean(0, keepdim=True)  # of one sentence: its word pieces; a report: mean of these",
}


def model_card(
    name: str, record: dict[str, Any], decision: Decision, scored: list[ScoredCandidate], validated: int, dataset: str
) -> str:
    """Markdown, from candidates.json (`record`) and the decision."""
    provenance, image = record["provenance"], record["encoder"]["model"]["image"]
    origins = [f"{key.removesuffix('_weights')}: {value}" for key, value in provenance["starting_weights"].items()]
    resumed = provenance["resumed_from"]
    return _CARD.format(
        license_name="inherited-from-data-and-starting-weights" if origins else "inherited-from-data",
        name=f"MLIP, variant {name or 'unnamed'}",
        step=decision.chosen.step,
        steps=record["steps"],
        dataset=dataset,
        studies=provenance["studies"],
        fingerprint=provenance["fingerprint"],
        starting_weights="; ".join(origins) or "none, both encoders began at random",
        seed=provenance["seed"],
        **{key: digest[:16] for key, digest in provenance["digests"].items()},
        resumed=f"\n- Went on from another training's state: {resumed}." if resumed else "",
        candidates=len(scored),
        validated=validated,
        criterion=decision.criterion,
        rule=decision.rule,
        reason=decision.reason[0].upper() + decision.reason[1:],
        scores=_table(scored, decision.chosen.step),
        size=image["input_size"],
        mean=image["mean"],
        deviation=image["standard_deviation"],
        pooling=_POOLING[record["encoder"]["model"]["text"]["context"]],
    )


def _table(scored: list[ScoredCandidate], chosen: int) -> str:
    names = list(scored[0].scores())
    lines = ["| step | " + " | ".join(name.replace("_", " ") for name in names) + " |", "|---" * (len(names) + 1) + "|"]
    for each in scored:
        step = f"**{each.step}**" if each.step == chosen else str(each.step)
        lines.append(f"| {step} | " + " | ".join(f"{each.scores()[name]:.4f}" for name in names) + " |")
    return "\n".join(lines)
