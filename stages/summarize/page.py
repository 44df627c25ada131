"""The page: an overview, and sections in order, each with its own names and its own template.

The overview comes first, then chapters that fold. To add a section, write a function in sections/ from the report to
the names that its template uses, the template in templates/, and a line in `SECTIONS` with its chapter. A function that
returns None leaves the section out, because the run has nothing for it. A template also has the names of `common_names`
and the macros of macros.html.jinja. Figures are SVG by drawing.py. Every figure, table and number must pass the tests
of test_summarize_page.py (alt text, header cells, escaping).
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
from .sections import data, evaluation, judgements, localisation, methods, provenance, study, training
from .sections.overview import overview_names
from .sections.report import Chapter, Names, Report, Section, runs_of, shared_legend, without_legend
from .tables.checklist_answers import OURS, SOURCES
from .tables.seeds import median_note
from .tables.table import legend_of
from .tables.writers import as_html, bar, cell_as_html

MOST_ROWS = 40  # of a table; its file has the rest
RESULTS, LOCALISATION, TRAINING, DATA, METHODS = CHAPTERS = (
    Chapter("Results", "classification, segmentation and retrieval, every variant, with paired tests"),
    Chapter("Localisation", "what heatmaps point at, beside what fools such figures"),
    Chapter("Training", "learning curves, diagnostics, the choice of the checkpoint"),
    Chapter("Data", "radiographs, sentences, what was rejected and why, parts and their patients"),
    Chapter("Methods and provenance", "the text to paste, its citations, every run with its digests"),
)
SECTIONS = (
    Section("coverage", "What is measured", "What is measured", evaluation.coverage_names, RESULTS),
    Section("study", "Study", "Study", study.study_names, RESULTS),
    Section("zero_shot", "Zero-shot", "Table 1. Zero-shot classification", evaluation.zero_shot_names, RESULTS),
    Section("operating_points", "Operating points", "Operating points and curves", judgements.operating_points_names,
            RESULTS),
    Section("subgroups", "Subgroups", "Subgroups by sex, age and view", judgements.subgroups_names, RESULTS),
    Section("judged_images", "Classified", "Correctly and incorrectly classified radiographs",
            judgements.judged_images_names, RESULTS),
    Section("multi_class", "Multi-class", "Multi-class classification", evaluation.multi_class_names, RESULTS),
    Section("few_shot", "Few-shot", "Table 2. Few-shot classification", evaluation.few_shot_names, RESULTS),
    Section("segmentation", "Segmentation", "Table 3. Few-shot segmentation", evaluation.segmentation_names, RESULTS),
    Section("ablation", "Ablation", "Table 4. Ablation", evaluation.ablation_names, RESULTS),
    Section("retrieval", "Retrieval", "Retrieval", evaluation.retrieval_names, RESULTS),
    Section("pointing", "Pointing game", "Pointing game", localisation.pointing_names, LOCALISATION),
    Section("heatmaps", "Heatmaps", "Prompt heatmaps (Fig. 3b)", localisation.heatmaps_names, LOCALISATION),
    Section("integrity_map", "Integrity map", "Integrity map phi (Fig. 3a)", localisation.integrity_map_names,
            LOCALISATION),
    Section("training", "Curves and choice", "Training and the choice of the checkpoint", training.training_names,
            TRAINING),
    Section("fingerprint", "Fingerprint", "The data of the pre-training", data.fingerprint_names, DATA),
    Section("quality", "Sentences", "The reports: quality of the sentences", data.quality_names, DATA),
    Section("ledger", "Ledger", "Ledger of the inputs", data.ledger_names, DATA),
    Section("cards", "Data cards", "Data cards", data.cards_names, DATA),
    Section("methods", "Methods and citations", "Methods", methods.methods_names, METHODS),
    Section("checklist", "Checklists", "Checklists: CLAIM 2024 and TRIPOD+AI",
            lambda report: {"checklists": report.checklists, "sources": SOURCES, "ours": OURS}, METHODS),
    Section("dag", "Stages", "What was run", provenance.dag_names, METHODS),
    Section("provenance", "Provenance", "Provenance", provenance.provenance_names, METHODS),
)  # fmt: skip


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
    environment.filters["drawn"] = lambda table: as_html(
        table.first_rows(MOST_ROWS), report.styles, anchor(table.caption)
    )
    environment.filters["left_out"] = lambda table: table.row_count - table.first_rows(MOST_ROWS).row_count
    environment.filters["cell"] = cell_as_html
    environment.filters["bar"] = bar
    written = {table.name for table in report.tables}
    environment.filters["is_written"] = lambda table: table.name in written
    common = common_names(report)
    chapters = [drawn for each in CHAPTERS if (drawn := _chapter(environment, report, each, common)) is not None]
    return environment.get_template(template.name).render(common | overview_names(report) | {"chapters": chapters})


def _chapter(environment: Environment, report: Report, chapter: Chapter, common: Names) -> Names | None:
    """Return what the page shows of a chapter, or None where the run has nothing for it."""
    own = [section for section in SECTIONS if section.chapter == chapter]
    found = [(section, names) for section in own if (names := section.names(report)) is not None]
    if not found:
        return None
    shared = shared_legend(names for _, names in found)
    sections = []
    for section, names in found:
        template = environment.get_template(f"{section.template}.html.jinja")
        html = template.render(common | without_legend(names, shared))
        sections.append({"anchor": section.anchor, "link": section.link, "heading": section.heading, "html": html})
    return {"anchor": chapter.anchor, "heading": chapter.heading, "about": chapter.about, "sections": sections,
            "legend": shared}  # fmt: skip


def anchor(caption: str) -> str:
    """Return the id of a caption, by which its table is labelled: equal for equal words, whatever these are."""
    return f"table-{digest_of(caption)[:12]}"


def common_names(report: Report) -> Names:
    """Return the names that every template may use."""
    return {
        "title": report.settings.title,
        "note": report.settings.note,
        "digests": report.digests,
        "tree": report.inputs.tree,
        "labels": report.labels,
        "shown_labels": report.shown_labels,
        "styles": report.styles,
        "provenance": report.provenance,
        "median_note": median_note(report.inputs),
    }
