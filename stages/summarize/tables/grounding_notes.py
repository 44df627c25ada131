"""Explain the columns and rows of the tables of phrase grounding, in the notes below them."""

from ...phrase_grounding.contract import FindingResult

IN_LUNG, PROBE, READING = "pointing_in_lung", "supervised_probe", "reading"  # columns, and a pointer
NOTE = (
    "Hits: share of images in which the peak lies in the true box or mask, without the tolerance of 15 pixels that the "
    "pointing game was first played with. CNR: contrast-to-noise ratio inside and outside of it, with its sign; IoU: "
    "of the map above a share of its range that validation chose; mIoU: mean of the IoU above .1, .2, .3, .4 and .5 of "
    "that range."
)
NOTES = {  # behind NOTE, where the table has what they explain
    IN_LUNG: "Points and peaks of training masks have the same hits in both columns.",
    READING: "Read: how heatmaps are read, which validation chose; rows with a fixed reading say what the others give "
    "on test, which took no part in the choice.",
    "brightness": "Brightness: the radiograph standardised by mean and deviation of training images at each place, its "
    "sign chosen on training regions.",
    "random_encoders": "Random encoders have the architecture of the first variant; their heatmaps are read in the "
    "same ways, as validation chooses for each.",
    PROBE: "The supervised probe is a linear classifier of patches, trained on true regions: what the patches hold, "
    "not a rival.",
}
PHRASES_NOTE = (
    "Each phrase of an image is a query of its own, compared with its own boxes. |CNR|: the mean without the sign, as "
    "BioViL reports it (Boecking et al., ECCV 2022); CNR and mIoU as above. BioViL's mIoU has the same thresholds, but "
    "of the cosine itself, not of the map scaled to its range, so that the two are not comparable."
)


def note_of(result: FindingResult, prompt_set: str) -> str:
    """Return what the columns and rows of one table are."""
    game = result.pointing[prompt_set]
    there = {
        IN_LUNG: game.heatmap_in_lung is not None,
        READING: len(result.readings[prompt_set]) > 1,
        "brightness": game.brightness is not None,
        "random_encoders": game.random_encoders is not None,
        PROBE: game.supervised_probe is not None,
    }
    return " ".join([NOTE, *(text for name, text in NOTES.items() if there[name])])
