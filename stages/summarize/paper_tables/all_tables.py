"""Our Tables 1-4, grounding and retrieval as files, and the paired comparisons behind their bold figures."""

from collections.abc import Collection, Sequence
from pathlib import Path

from ..inputs import Inputs
from .ablation import ablation_tables
from .classification import few_shot_classification_tables, zero_shot_table
from .comparisons import Comparisons
from .grounding import grounding_tables
from .quoted import Quotation
from .retrieval import retrieval_tables
from .segmentation import few_shot_segmentation_tables
from .table import Table
from .writers import write_all


def paper_tables(
    inputs: Inputs, comparisons: Comparisons, quotations: list[Quotation], synthetic: Collection[str]
) -> list[Table]:
    """Nothing is quoted beside figures of synthetic patients."""
    quotable = [each for each in quotations if each.data_set not in synthetic]
    tables = [zero_shot_table(inputs, dataset, comparisons) for dataset in inputs.tree.evaluate_on]
    tables += few_shot_classification_tables(inputs, comparisons, quotable)
    tables += few_shot_segmentation_tables(inputs, comparisons, quotable)
    tables += retrieval_tables(inputs, comparisons)
    tables += grounding_tables(inputs, comparisons)
    return tables + ablation_tables(inputs, comparisons)  # last: it reads the comparisons of the others


def write_paper_tables(folder: Path, tables: Sequence[Table], comparisons: Comparisons) -> list[Path]:
    paths = [path for table in tables for path in write_all(folder, table)]
    return [*paths, comparisons.write(folder / "comparisons.csv")]
