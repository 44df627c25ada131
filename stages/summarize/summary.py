"""From the results of a run to the report, its tables and a short text on standard output."""

import sys

from ..common.errors import InputError
from ..common.files.atomic_files import write_text
from ..common.journal.tracking import track_job
from .cautions import cautions_of
from .contract import HEADLINE, SummarizeJob
from .inputs import read_inputs
from .ledger import read_ledger
from .page import render
from .provenance import read_provenance
from .results_tree import FewShotJob, ResultsTree, parse_not_measured, parse_variants
from .sections.label_efficiency import efficiency_figure, efficiency_groups
from .sections.report import Report
from .tables.ablation import headlines
from .tables.all_tables import headline, paper_tables, text_summary, write_paper_tables
from .tables.checklist_answers import checklist_markdown
from .tables.comparisons import Comparisons
from .tables.flat_rows import write_flat_rows
from .tables.quoted import read_quotations
from .tables.study import study_of


def summarize(job: SummarizeJob) -> None:
    """Read all results of the other stages, write report and tables, and print the text."""
    settings, tree = job.settings, tree_of(job)
    if not job.template.is_file():
        raise InputError(f"{job.template}: no such file", "name stages/summarize/templates/report.html.jinja")
    templates = {f"template/{path.name}": path for path in sorted(job.template.parent.glob("*.jinja"))}
    with track_job(job, tree.files() | templates) as run:
        read = read_inputs(tree)
        ledger, provenance, quotations = read_ledger(read), read_provenance(tree), read_quotations(job.quoted)
        comparisons = Comparisons(settings.comparison_draws, settings.seed)
        study = study_of(read, provenance, settings.study_axis)
        tables = paper_tables(read, comparisons, quotations, provenance.synthetic, study)
        figures = headlines(read, comparisons)
        report = Report(settings, read, ledger, provenance, tables, figures, quotations, run.record["digests"])
        page = render(job.template, report)  # before anything is written, since a template may be wrong
        write_flat_rows(job.tables, read, ledger, provenance)
        write_paper_tables(job.tables, tables, comparisons)
        write_text(job.tables / "checklist.md", checklist_markdown(report.checklists))
        write_text(job.tables / HEADLINE, headline(settings.title, read, figures, provenance.synthetic))
        write_text(job.report, page)
        run.log_metrics(
            {f"{one.dataset}/{one.replicate.name}/auc": one.result.metrics["auc"].value for one in read.zero_shot}
        )
        for (dataset, protocol), cells in efficiency_groups(report).items():
            svg = efficiency_figure(cells, report.styles, "white")
            run.pictures.drawn(f"label_efficiency_{dataset}_{protocol}.svg", svg)
    sys.stdout.write(text_summary(settings.title, read, tables, provenance.synthetic, job.report))
    for line in cautions_of(read, provenance):  # on standard error, so that the end of a run repeats them
        print(f"warning: {line}", file=sys.stderr)


def tree_of(job: SummarizeJob) -> ResultsTree:
    """Return where the results of the job's variants and data sets lie."""
    seeds = parse_variants(job.variants)
    for variant in set(job.image_only) - seeds.keys():
        raise InputError(f"--image-only {variant}: not among --variants", "correct the name, or add the variant")
    few_shot = tuple(FewShotJob.parse(each) for each in job.few_shot)
    segmentation = tuple(FewShotJob.parse(each, "--segmentation") for each in job.segmentation)
    return ResultsTree(job.results, job.pretrain_on, job.datasets, tuple(seeds), few_shot, segmentation, job.image_only,
                       parse_not_measured(job.not_measured),
                       {variant: own for variant, own in seeds.items() if own})  # fmt: skip
