"""The page: its sections in order, each with its own names and its own template.

To add a section, write a function in sections/ from the report to the names that its template uses, the template in
templates/, and a line in `SECTIONS`. A function that returns None leaves the section out, because the run has nothing
for it. A template also has the names of `common_names` and the macros of macros.html.jinja. Figures are SVG by
drawing.py. Every figure, table and number must pass the tests of test_summarize_page.py (alt text, header cells,
escaping).
"""

from pathlib import Path
from traceback import extract_tb

from jinja2 import (
    Environment,
    FileSystemLoader,
    StrictUndefined,
    TemplateNotFound,
    TemplateSyntaxError,
    UndefinedError,
)

from ..common.digests import digest_of
from ..common.errors import InputError
from ..common.wording import counted
from . import numbers
from .naming import findings_label
from .sections import checklist, data, evaluation, judgements, localisation, methods, provenance, study, training
from .sections.report import Names, Report, Section, runs_of
from .tables.seeds import median_note
from .tables.table import legend_of
from .tables.writers import as_html

SECTIONS = (
    Section("coverage", "What is measured", "What is measured", evaluation.coverage_names),
    Section("study", "Study", "Study", study.study_names),
    Section("zero_shot", "Zero-shot", "Table 1. Zero-shot classification", evaluation.zero_shot_names),
    Section("operating_points", "Operating points", "Operating points and curves", judgements.operating_points_names),
    Section("subgroups", "Subgroups", "Subgroups by sex, age and view", judgements.subgroups_names),
    Section("judged_images", "Right and wrong", "Radiographs judged right and wrong", judgements.judged_images_names),
    Section("multi_class", "Multi-class", "Multi-class classification", evaluation.multi_class_names),
    Section("few_shot", "Few-shot", "Table 2. Few-shot classification", evaluation.few_shot_names),
    Section("segmentation", "Segmentation", "Table 3. Few-shot segmentation", evaluation.segmentation_names),
    Section("ablation", "Ablation", "Table 4. Ablation", evaluation.ablation_names),
    Section("retrieval", "Retrieval", "Retrieval", evaluation.retrieval_names),
    Section("pointing", "Pointing game", "Pointing game", localisation.pointing_names),
    Section("heatmaps", "Heatmaps", "Prompt heatmaps (Fig. 3b)", localisation.heatmaps_names),
    Section("integrity_map", "Integrity map", "Integrity map phi (Fig. 3a)", localisation.integrity_map_names),
    Section("training", "Training", "Training and the choice of the checkpoint", training.training_names),
    Section("fingerprint", "Data", "The data of the pre-training", data.fingerprint_names),
    Section("quality", "Sentences", "The reports: quality of the sentences", data.quality_names),
    Section("ledger", "Ledger", "Ledger of the inputs", data.ledger_names),
    Section("cards", "Data cards", "Data cards", data.cards_names),
    Section("methods", "Methods", "Methods", methods.methods_names),
    Section("checklist", "Checklists", "Checklists: CLAIM 2024 and TRIPOD+AI", checklist.checklist_names),
    Section("dag", "Stages", "What was run", provenance.dag_names),
    Section("provenance", "Provenance", "Provenance", provenance.provenance_names),
)


def render(template: Path, report: Report) -> str:
    """Return the page; everything from outside is escaped.

    Raises InputError, which names template and line, for wrong syntax, an unknown name or another mistake in it.
    """
    try:
        return _render(template, report)
    except Exception as error:
        if (place := _place_in_template(error, template.parent)) is None:
            raise
        raise InputError(f"{place}: {' '.join(str(error).split())}", remedy="correct the template") from None


def _place_in_template(error: Exception, folder: Path) -> str | None:
    """Return the file (and line) of a template that an error comes from; None where our own code raised it."""
    if isinstance(error, TemplateSyntaxError):
        return f"{error.filename or folder}: line {error.lineno}"
    if isinstance(error, TemplateNotFound):
        return str(folder)
    if isinstance(error, UnicodeDecodeError):
        return f"{folder}: a template is not UTF-8"
    frames = extract_tb(error.__traceback__)
    inside = [each for each in frames if Path(each.filename).parent == folder]
    if inside and (inside[-1] is frames[-1] or isinstance(error, UndefinedError)):
        return f"{inside[-1].filename}: line {inside[-1].lineno}"
    return None


def _render(template: Path, report: Report) -> str:
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("decimal", "interval", "figures", "rank", "count", "percent", "moment", "duration", "words"):
        environment.filters[name] = getattr(numbers, name)
    environment.filters["counted"] = counted
    environment.filters["findings_label"] = findings_label
    environment.filters["anchor"] = anchor
    environment.filters["runs_of"] = runs_of
    environment.filters["legend"] = legend_of
    environment.filters["drawn"] = lambda table: as_html(table, report.styles, anchor(table.caption))
    common = common_names(report)
    sections = []
    for section in SECTIONS:
        if (names := section.names(report)) is not None:
            html = environment.get_template(f"{section.template}.html.jinja").render(common | names)
            sections.append({"anchor": section.anchor, "link": section.link, "heading": section.heading,
                             "html": html})  # fmt: skip
    return environment.get_template(template.name).render(common | head_names(report) | {"sections": sections})


def anchor(caption: str) -> str:
    """Return the id of a caption, by which its table is labelled: equal for equal words, whatever these are."""
    return f"table-{digest_of(caption)[:12]}"


def common_names(report: Report) -> Names:
    """Return the names that every template may use."""
    return {
        "tree": report.inputs.tree,
        "labels": report.labels,
        "shown_labels": report.shown_labels,
        "styles": report.styles,
        "provenance": report.provenance,
        "median_note": median_note(report.inputs),
    }


def head_names(report: Report) -> Names:
    """Return the names above the sections."""
    provenance = report.provenance
    return {
        "title": report.settings.title,
        "note": report.settings.note,
        "phantom_seed": provenance.run("make_phantom", "").params.get("seed") if provenance.synthetic else None,
        "digests": report.digests,
    }
