"""Everything that was measured: tables as CSV, one self-contained HTML page, a short text on standard output.

Settings: contract.py.
Inputs:   the results of the other stages below --results, with their journals; --template (Jinja), the page, whose
          parts lie beside it; --quoted (YAML), figures of others.
Outputs:  --report (HTML; nothing is loaded from elsewhere), --tables (folder of Tables 1-4 as CSV, Markdown, LaTeX and
          HTML, and of CSV files with every figure).
"""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..common.command_line import run_stage, stage_parser
from ..common.errors import InputError
from ..common.files.atomic_files import write_text
from ..common.journal.tracking import track
from .contract import SummarizeSettings
from .inputs import read_inputs
from .ledger import read_ledger
from .page import render
from .paper_tables.all_tables import paper_tables, write_paper_tables
from .paper_tables.comparisons import Comparisons
from .paper_tables.quoted import read_quotations
from .provenance import read_provenance
from .results_tree import FewShotJob, ResultsTree
from .sections.section import Report
from .tables import text_summary, write_tables


def main(arguments: Namespace) -> None:
    settings: SummarizeSettings = arguments.settings
    jobs = [tuple(map(FewShotJob.parse, each)) for each in (arguments.few_shot, arguments.segmentation)]
    tree = ResultsTree(arguments.results, arguments.pretrain_on, tuple(arguments.datasets), tuple(arguments.variants),
                       *jobs, tuple(arguments.image_only))  # fmt: skip
    if not arguments.template.is_file():
        raise InputError(
            f"{arguments.template}: no such file", remedy="name stages/summarize/templates/report.html.jinja"
        )
    templates = sorted(arguments.template.parent.glob("*.jinja"))
    inputs = tree.files() | {"quoted": arguments.quoted} | {f"template/{path.name}": path for path in templates}
    with track("summarize", arguments.name, journal=arguments.journal, settings=settings, inputs=inputs,
               image=arguments.image) as run:  # fmt: skip
        read = read_inputs(tree)
        ledger, provenance, quotations = read_ledger(read), read_provenance(tree), read_quotations(arguments.quoted)
        comparisons = Comparisons(settings.comparison_draws, settings.seed)
        paper = paper_tables(read, comparisons, quotations, provenance.synthetic)
        report = Report(settings, read, ledger, provenance, comparisons, quotations, run.record["digests"])
        tables = write_tables(arguments.tables, read, ledger) + write_paper_tables(arguments.tables, paper, comparisons)
        write_text(arguments.report, render(arguments.template, report))
        run.log_metrics({f"{one.dataset}/{one.variant}/auc": one.result.metrics["auc"].value for one in read.zero_shot})
        for path in (arguments.report, *tables):
            run.log_artifact(path, publish=True)
    sys.stdout.write(text_summary(settings.title, read, provenance.synthetic, arguments.report))


def parser() -> ArgumentParser:
    options = stage_parser("summarize", __doc__, SummarizeSettings)
    options.add_argument("--results", type=Path, required=True, help="results folder of the workspace")
    options.add_argument("--pretrain-on", required=True, help="data set of the pre-training")
    options.add_argument("--datasets", nargs="+", required=True, help="data sets of the evaluation")
    options.add_argument("--variants", nargs="+", required=True, help="variants to compare; the first is described")
    options.add_argument("--image-only", nargs="*", default=[], help="variants without text: no zero-shot, grounding, "
                         "retrieval")  # fmt: skip
    options.add_argument("--few-shot", nargs="*", default=[], metavar="DATASET/PROTOCOL/FRACTION",
                         help="jobs of few_shot_classification, run for every variant")  # fmt: skip
    options.add_argument("--segmentation", nargs="*", default=[], metavar="DATASET/PROTOCOL/FRACTION",
                         help="jobs of few_shot_segmentation, run for every variant")  # fmt: skip
    options.add_argument("--template", type=Path, required=True, help="Jinja template of the page")
    options.add_argument("--quoted", type=Path, required=True, help="YAML of figures that others published")
    options.add_argument("--report", type=Path, required=True, help="HTML page to write")
    options.add_argument("--tables", type=Path, required=True, help="folder of tables to write")
    return options


if __name__ == "__main__":
    run_stage(main, parser())
