"""Wordings of reports. Every noun that is negated also occurs affirmed, with and without a place.

Braces are filled by prose.py: {noun} and {a_noun} (with its article), {bare} (without its size), {nouns} (plural),
{place}, {places} (several), {adjective} (a place before its noun), {side}, {size} (may be empty), {degree}, {cm}.
"""

from .anatomy import Side, Zone

# Location of a focus, as a noun ("in the ...") and as an adjective ("... opacity").
PLACES: dict[tuple[Side, Zone], tuple[str, ...]] = {
    ("right", "upper"): ("right upper lobe", "right upper lung", "right upper lung zone", "right lung apex"),
    ("right", "mid"): ("right mid lung", "right middle lobe", "right mid lung zone", "right mid lung field"),
    ("right", "lower"): ("right lower lobe", "right lung base", "right lower lung", "right lower lung zone"),
    ("left", "upper"): ("left upper lobe", "left upper lung", "left upper lung zone", "left lung apex"),
    ("left", "mid"): ("left mid lung", "lingula", "left mid lung zone", "left mid lung field"),
    ("left", "lower"): ("left lower lobe", "left lung base", "left lower lung", "left lower lung zone"),
}
ADJECTIVES: dict[tuple[Side, Zone], tuple[str, ...]] = {
    ("right", "upper"): ("right upper lobe", "right upper lung", "right apical"),
    ("right", "mid"): ("right middle lobe", "right mid lung"),
    ("right", "lower"): ("right lower lobe", "right basilar", "right lower lung"),
    ("left", "upper"): ("left upper lobe", "left upper lung", "left apical"),
    ("left", "mid"): ("left lingular", "left mid lung"),
    ("left", "lower"): ("left lower lobe", "left basilar", "left lower lung"),
}

# Singular, plural. Negations use the first words as well.
OPACITY_NOUNS = (
    ("focal consolidation", "areas of consolidation"),
    ("consolidation", "consolidations"),
    ("airspace opacity", "airspace opacities"),
    ("focal opacity", "opacities"),
    ("opacity", "opacities"),
    ("patchy opacity", "patchy areas of opacity"),
    ("hazy opacity", "hazy opacities"),
    ("parenchymal opacity", "parenchymal opacities"),
    ("airspace disease", "areas of airspace disease"),
    ("infiltrate", "infiltrates"),
)
OPACITY_PLACED = (
    "There is {a_noun} in the {place}.",
    "{a_noun} is seen in the {place}.",
    "{size} {adjective} {bare}.",
    "{size} {adjective} {bare} is present.",
    "{noun} in the {place}.",
    "{noun} in the {place}, concerning for pneumonia.",
    "{size} {adjective} {bare} likely represents pneumonia.",
    "There is {a_noun} projecting over the {place}, which may represent pneumonia.",
    "Findings suggesting pneumonia in the {place}.",
    "{adjective} pneumonia.",
    "New {noun} in the {place} compared to ___.",
    "{a_noun} measuring approximately {cm} cm is seen in the {place}.",
)
OPACITY_MULTIPLE = (
    "There are {nouns} in the {places}.",
    "Multifocal {nouns} involving the {places}.",
    "{nouns} are seen in the {places}.",
    "Multifocal {nouns}, most conspicuous in the {places}.",
    "Multifocal pneumonia with involvement of the {places}.",
)
OPACITY_UNPLACED = (
    "There is {a_noun}.",
    "There is {noun}.",
    "{a_noun} is present.",
    "{a_noun} is seen.",
    "{noun} is identified.",
    "{noun}, concerning for pneumonia.",
    "Findings suggesting pneumonia.",
    "Findings are consistent with pneumonia.",
    "Possible pneumonia.",
    "Pneumonia is suspected given the {noun}.",
    "New {noun} since the prior study.",
    "Lung opacity is present.",
)
OPACITY_UNPLACED_MULTIPLE = (
    "There are {nouns}.",
    "Multifocal {nouns}.",
    "Multifocal {nouns} are present, concerning for multifocal pneumonia.",
    "Findings suggesting multifocal pneumonia.",
    "{nouns} are seen in the lungs.",
)
OPACITY_BILATERAL = ("Bilateral {nouns}.", "There are bilateral {nouns}.", "Bilateral {nouns}, likely pneumonia.")
OPACITY_SIDED = ("{side} lung {noun}.", "There is {a_noun} in the {side} lung.", "{side}-sided pneumonia is suspected.")

PNEUMOTHORAX_PLACED = (
    "There is a {size} {side} pneumothorax.",
    "{size} {side} pneumothorax.",
    "{size} {side} pneumothorax is present.",
    "A {size} {side} pneumothorax is seen.",
    "{size} {side}-sided pneumothorax.",
    "New {size} {side} pneumothorax since ___.",
    "{side} pneumothorax measuring approximately {cm} cm at the apex.",
    "A visceral pleural line is seen on the {side}, consistent with {size} pneumothorax.",
    "Persistent {size} {side} pneumothorax.",
)
PNEUMOTHORAX_APICAL = (
    "There is a {size} {side} apical pneumothorax.",
    "{size} {side} apical pneumothorax.",
    "{size} pneumothorax at the {side} lung apex.",
)
PNEUMOTHORAX_UNPLACED = (
    "There is a pneumothorax.",
    "There is a {size} pneumothorax.",
    "Pneumothorax is present.",
    "Pneumothorax is seen.",
    "A {size} pneumothorax is identified.",
    "Findings consistent with pneumothorax.",
    "A pleural line with lucency beyond it is compatible with pneumothorax.",
    "Evidence of pneumothorax.",
)
PNEUMOTHORAX_BILATERAL = ("Bilateral pneumothoraces.", "There are bilateral pneumothoraces.", "Bilateral pneumothorax.")

EFFUSION_PLACED = (
    "There is a {size} {side} pleural effusion.",
    "{size} {side} pleural effusion.",
    "{size} {side} pleural effusion is present.",
    "{size} {side} effusion.",
    "A {size} {side}-sided pleural effusion is seen.",
    "{side} pleural effusion, {size} in size.",
    "Layering {size} {side} pleural effusion.",
    "Likely {size} {side} pleural effusion.",
)
EFFUSION_SMALL = (
    "Blunting of the {side} costophrenic angle, consistent with small pleural effusion.",
    "Trace {side} pleural effusion.",
    "The {side} costophrenic angle is blunted, suggesting a small effusion.",
)
EFFUSION_UNPLACED = (
    "There is a pleural effusion.",
    "There is a {size} pleural effusion.",
    "Pleural effusion is present.",
    "{size} pleural effusion.",
    "Effusion is present.",
    "Pleural effusion is seen.",
    "Probable {size} pleural effusion.",
)
EFFUSION_BILATERAL = (
    "Bilateral pleural effusions.",
    "There are bilateral pleural effusions.",
    "Bilateral pleural effusions, {larger} greater than {smaller}.",
    "Pleural effusions are present bilaterally.",
)

CARDIOMEGALY = (
    "There is {degree} cardiomegaly.",
    "{degree} cardiomegaly.",
    "Cardiomegaly is present.",
    "Cardiomegaly.",
    "The heart is {degree_adverb} enlarged.",
    "The cardiac silhouette is enlarged.",
    "The cardiac silhouette is {degree_adverb} enlarged.",
    "Enlarged cardiac silhouette.",
    "Heart size is enlarged.",
    "{degree} enlargement of the cardiac silhouette.",
    "The cardiomediastinal silhouette is enlarged.",
    "Cardiomegaly, unchanged from ___.",
)
DEGREES = {"small": ("mild", "mildly"), "moderate": ("moderate", "moderately"), "large": ("severe", "severely")}

NODULE_PLACED = (
    "There is a {cm} cm nodule in the {place}.",
    "{cm} cm nodule in the {place}.",
    "A {cm} cm pulmonary nodule is seen in the {place}.",
    "{adjective} nodule measuring {cm} cm.",
    "{adjective} pulmonary nodule.",
    "Rounded {cm} cm lung nodule projecting over the {place}; CT is recommended.",
)
NODULE_UNPLACED = (
    "There is a pulmonary nodule.",
    "A lung nodule is present.",
    "Pulmonary nodule is seen.",
    "A {cm} cm nodule is identified.",
    "Solitary pulmonary nodule measuring {cm} cm.",
)

DEVICES: dict[str, tuple[str, ...]] = {
    "endotracheal_tube": (
        "Endotracheal tube terminates {cm} cm above the carina.",
        "The endotracheal tube tip is {cm} cm above the carina.",
        "An ET tube is in place, {cm} cm above the carina.",
        "Endotracheal tube in standard position.",
    ),
    "enteric_tube": (
        "An enteric tube courses below the diaphragm.",
        "Nasogastric tube tip is in the stomach.",
        "Enteric tube terminates in the stomach.",
    ),
    "central_line": (
        "{side} internal jugular central venous catheter tip is in the SVC.",
        "{side} IJ line terminates in the superior vena cava.",
        "A {side} central venous catheter is in place.",
    ),
    "picc": (
        "{side} PICC terminates in the SVC.",
        "A {side} PICC line is in place with its tip in the superior vena cava.",
    ),
    "pacemaker": (
        "A {side} chest wall pacemaker is in place.",
        "{side} pectoral pacemaker with leads in standard position.",
        "Pacemaker leads terminate in the expected position.",
    ),
    "chest_tube": (
        "A {side} chest tube is in place.",
        "{side} chest tube is unchanged in position.",
        "{side} pleural drain is in place.",
    ),
}
DEVICES_GENERAL = (
    "Support devices are in place.",
    "There is a support device.",
    "Monitoring and support devices are unchanged in position.",
    "Lines and tubes are in standard position.",
)

# Absent findings. prose.py draws earlier ones more often: the boilerplate that recurs verbatim across patients.
NEGATED_NOUNS: dict[str, tuple[str, ...]] = {
    "lung_opacity": (
        "focal consolidation",
        "consolidation",
        "airspace opacity",
        "focal opacity",
        "infiltrate",
        "pneumonia",
    ),
    "pleural_effusion": ("pleural effusion", "effusion", "pleural effusion"),
    "pneumothorax": ("pneumothorax",),
}
NEGATIONS_JOINED = ("No {nouns}.", "There is no {nouns}.", "No {nouns} is seen.", "No evidence of {nouns}.")
NEGATIONS: dict[str, tuple[str, ...]] = {
    "lung_opacity": (
        "No focal consolidation.",
        "There is no focal consolidation.",
        "No evidence of pneumonia.",
        "There is no airspace opacity.",
        "No focal airspace disease.",
        "The lungs are without focal consolidation.",
        "No new opacity.",
    ),
    "pneumothorax": (
        "No pneumothorax.",
        "There is no pneumothorax.",
        "No pneumothorax is seen.",
        "No evidence of pneumothorax.",
        "No visible pneumothorax.",
    ),
    "pleural_effusion": (
        "No pleural effusion.",
        "There is no pleural effusion.",
        "No effusion is seen.",
        "No large pleural effusion.",
        "The costophrenic angles are sharp.",
    ),
    "cardiomegaly": (
        "The cardiomediastinal silhouette is normal.",
        "Heart size is normal.",
        "The heart is normal in size.",
        "The heart size is within normal limits.",
        "Cardiomediastinal silhouette is unremarkable.",
        "No cardiomegaly.",
        "The heart is not enlarged.",
    ),
    "nodule": ("No pulmonary nodule.", "No suspicious nodule or mass.", "There is no lung nodule."),
    "support_device": (
        "No support devices.",
        "No lines or tubes.",
        "No pacemaker or central venous catheter is seen.",
    ),
}
LUNGS_CLEAR = ("The lungs are clear.", "Lungs are clear.", "The lungs are clear bilaterally.", "Clear lungs.")
SIDE_CLEAR = ("The {side} lung is clear.", "{side} lung is clear.")
NOTHING_ACUTE = (
    "No acute cardiopulmonary process.",
    "No acute cardiopulmonary abnormality.",
    "No acute intrathoracic process.",
    "No evidence of acute cardiopulmonary disease.",
)

# Sentences about what the phantom does not vary.
OTHER = (
    "No acute osseous abnormality.",
    "Osseous structures are unremarkable.",
    "The imaged upper abdomen is unremarkable.",
    "Mediastinal contours are unremarkable.",
    "Pulmonary vasculature is normal.",
    "No free air below the right hemidiaphragm is seen.",
    "Mild degenerative changes of the thoracic spine.",
    "The trachea is midline.",
)
LOW_VOLUMES = ("Low lung volumes.", "Lung volumes are low.", "There are low lung volumes.")
DISCUSSED = (
    "Findings were discussed with Dr. ___ by telephone at 3:15 p.m. on ___.",
    "These findings were communicated to Dr. ___ at 10:40 a.m.",
)
SYMPTOMS = (
    "cough and fever",
    "shortness of breath",
    "chest pain",
    "dyspnea",
    "hypoxia",
    "weakness",
    "fall",
    "altered mental status",
)
QUESTIONS = (
    "eval for pneumonia",
    "? pneumothorax",
    "assess for effusion",
    "please evaluate for acute process",
    "r/o infiltrate",
)
