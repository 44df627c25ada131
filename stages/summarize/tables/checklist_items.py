"""Items of two reporting checklists: their numbers, in our words, with what a run can say of each and what it cannot.

CLAIM 2024 is of Tejani et al., Radiology: Artificial Intelligence 6:e240300, 2024, with 44 items. TRIPOD+AI is of
Collins et al., BMJ 385:e078378, 2024, with 27 items in 52 parts. The words are ours, and the originals count.
"""

from typing import NamedTuple


class Item(NamedTuple):
    """An item: `answer` is a key of tables/checklist_answers.py, empty where a run knows nothing of it."""

    number: str
    asks: str
    answer: str
    authors: str  # what is left to the authors; empty: to check the answer


CLAIM = (
    Item("1", "title names an AI study and its kind of method", "method", "title"),
    Item("2", "structured abstract", "", "abstract"),
    Item("3", "scientific and clinical background, intended role", "", "background, intended use"),
    Item("4", "aims and hypotheses", "", "aims, hypotheses"),
    Item("5", "prospective or retrospective", "", "study design"),
    Item("6", "goal of the study", "", "goal"),
    Item("7", "sources of the data", "sources", "why these; dates"),
    Item("8", "inclusion and exclusion criteria", "excluded", "how the owners chose patients"),
    Item("9", "preprocessing of the data", "preprocessing", ""),
    Item("10", "choice of subsets of the data", "excluded", "why"),
    Item("11", "de-identification", "identifiers", "what the owners did before"),
    Item("12", "handling of missing data", "missing", ""),
    Item("13", "protocol of image acquisition", "", "devices, protocols"),
    Item("14", "how the reference standard was obtained", "labels", "how the owners labelled"),
    Item("15", "why this reference standard", "", "rationale"),
    Item("16", "who made the annotations", "", "annotators, qualifications"),
    Item("17", "annotation of the test set", "labels", "procedure, tools"),
    Item("18", "variability within and between readers", "", "from the owners' papers"),
    Item("19", "assignment to partitions", "split", ""),
    Item("20", "level at which partitions are disjoint", "disjoint", ""),
    Item("21", "intended sample size", "test_size", "how it was determined"),
    Item("22", "description of the model", "method", ""),
    Item("23", "software and versions", "software", ""),
    Item("24", "initialisation of parameters", "training", ""),
    Item("25", "training in detail", "training", ""),
    Item("26", "how the final model was chosen", "selection", ""),
    Item("27", "ensembles", "ensemble", ""),
    Item("28", "performance metrics", "metrics", "why these"),
    Item("29", "uncertainty and significance", "uncertainty", ""),
    Item("30", "robustness or sensitivity analysis", "ablation", "further analyses"),
    Item("31", "explainability", "heatmaps", "how it was judged by readers"),
    Item("32", "evaluation on internal data", "internal", ""),
    Item("33", "testing on external data", "external", "or why not"),
    Item("34", "registration of a clinical trial", "", "number, or none"),
    Item("35", "numbers included and excluded", "flow", "flow chart"),
    Item("36", "demographic and clinical characteristics per partition", "demographics", "clinical characteristics"),
    Item("37", "performance, with its uncertainty", "performance", "benchmarks"),
    Item("38", "diagnostic performance with intervals", "points", ""),
    Item("39", "analysis of failures", "failures", "what they have in common"),
    Item("40", "limitations", "cautions", "limitations"),
    Item("41", "implications for practice", "", "implications"),
    Item("42", "where the full protocol is", "", "protocol"),
    Item("43", "availability of software, model and data", "code", "where model and data are"),
    Item("44", "funding and role of the funders", "", "funding"),
)

TRIPOD_AI = (
    Item("1", "title: development or evaluation, population, outcome", "", "title"),
    Item("2", "abstract by TRIPOD+AI for Abstracts", "", "abstract"),
    Item("3a", "healthcare context and rationale", "", "context, existing models"),
    Item("3b", "target population, purpose, users", "", "population, purpose, users"),
    Item("3c", "known health inequalities", "", "inequalities"),
    Item("4", "objectives", "", "objectives"),
    Item("5a", "data of development and of evaluation", "sources", "representativeness"),
    Item("5b", "dates of the data", "", "dates"),
    Item("6a", "setting, number and place of centres", "", "setting, centres"),
    Item("6b", "eligibility of participants", "excluded", "criteria of the owners"),
    Item("6c", "treatments", "", "treatments, or not relevant"),
    Item("7", "data preparation and quality checks", "preprocessing", "whether equal over groups"),
    Item("8a", "definition of the outcome", "labels", "definition by the owners"),
    Item("8b", "who assessed the outcome", "", "assessors"),
    Item("8c", "blinding of that assessment", "", "blinding"),
    Item("9a", "choice of predictors", "predictors", ""),
    Item("9b", "definition of predictors", "predictors", ""),
    Item("9c", "who assessed predictors", "predictors", ""),
    Item("10", "how the sample size came about", "test_size", "justification"),
    Item("11", "missing data", "missing", ""),
    Item("12a", "how data were used and partitioned", "split", ""),
    Item("12b", "how predictors entered the model", "preprocessing", ""),
    Item("12c", "type of model, its building, internal validation", "training", "rationale"),
    Item("12d", "heterogeneity over clusters", "", "by centre, if known"),
    Item("12e", "measures and plots of performance", "metrics", "why these"),
    Item("12f", "updating of the model, e.g. recalibration", "calibration", ""),
    Item("12g", "how predictions were computed", "method", ""),
    Item("13", "methods against class imbalance", "imbalance", ""),
    Item("14", "approaches to fairness", "fairness", "rationale"),
    Item("15", "output of the model and its thresholds", "thresholds", ""),
    Item("16", "differences of development and evaluation data", "external", "setting, eligibility, outcome"),
    Item("17", "ethics approval and consent", "", "ethics"),
    Item("18a", "funding", "", "funding"),
    Item("18b", "conflicts of interest", "", "conflicts"),
    Item("18c", "protocol", "", "protocol, or none"),
    Item("18d", "registration", "", "register, or none"),
    Item("18e", "sharing of data", "licenses", ""),
    Item("18f", "sharing of code", "code", "address"),
    Item("19", "involvement of patients and the public", "", "involvement, or none"),
    Item("20a", "flow of participants, with and without the outcome", "flow", ""),
    Item("20b", "characteristics of participants", "demographics", "further characteristics"),
    Item("20c", "comparison with the development data", "", "distributions side by side"),
    Item("21", "participants and events of each analysis", "split", ""),
    Item("22", "the full model, for use by others", "code", "where the weights are"),
    Item("23a", "performance with intervals, also of subgroups", "performance", ""),
    Item("23b", "heterogeneity of performance over clusters", "", "by centre, if examined"),
    Item("24", "results of updating", "calibration", ""),
    Item("25", "interpretation, also of fairness", "", "interpretation"),
    Item("26", "limitations", "cautions", "limitations"),
    Item("27a", "poor or missing input in use", "refused", "handling in practice"),
    Item("27b", "interaction and expertise of users", "", "users"),
    Item("27c", "next steps of research", "", "next steps"),
)
