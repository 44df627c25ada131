"""The results as CSV files with every digit, and as the text that the command line shows at the end."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.few_shot.protocols import in_words
from ..common.files.atomic_files import write_text
from ..few_shot_classification.contract import FewShotResult
from ..few_shot_segmentation.contract import FIGURES
from ..phrase_grounding.contract import PointingGame
from ..retrieval.contract import AgainstChance
from .inputs import Inputs
from .ledger import Ledger
from .numbers import decimal, figures, interval, rank, words
from .protocols import always_note, protocol_name, protocol_note
from .readers.few_shot_classification import FewShot
from .readers.few_shot_segmentation import Segmentation
from .readers.record import METRICS, Estimate

POINTERS = {  # what points, in the words of the page
    "heatmap": "heatmap",
    "heatmap_in_lung": "heatmap, peak inside the lungs",
    "random_in_lung": "random point in the lungs",
    "random_in_content": "random point in the image",
    "fixed_peak_of_training": "fixed peak of the training masks",
    "word_prior": "point read off the phrase's words",
}
RIVALS = tuple(pointer for pointer in POINTERS if not pointer.startswith("heatmap"))  # what a heatmap has to beat
FIGURES_OF_TEXT = ("dice", "predict_nothing", "dice_of_positives")
Row = dict[str, Any]


@dataclass(frozen=True)
class FewShotTable:
    """Table 2 of one data set and protocol: `rows` holds the cells of a variant, one a fraction (in percent)."""

    dataset: str
    protocol: str
    fractions: list[int]
    rows: dict[str, list[FewShotResult]]

    @property
    def columns(self) -> list[FewShotResult]:
        """A cell of every fraction: for what does not depend on the variant."""
        return next(iter(self.rows.values()))

    @property
    def name(self) -> str:
        """Of the protocol, which is not the published one where a setting is not."""
        return protocol_name(self.protocol, self.columns)

    @property
    def note(self) -> str | None:
        return protocol_note(self.protocol, self.columns)

    @property
    def always(self) -> str | None:
        return always_note(self.columns)


def zero_shot_rows(inputs: Inputs) -> list[Row]:
    """Table 1: one row a data set and variant."""
    rows = []
    for each in inputs.zero_shot:
        result = each.result
        row: Row = {"dataset": each.dataset, "finding": result.finding, "variant": each.variant}
        for name in METRICS:
            row |= _columns(name, result.metrics[name])
        rows.append(
            row
            | {
                "prompt_set": result.prompt_set,
                "validation_auc": result.validation_auc[result.prompt_set],
                "threshold": result.threshold,
                "test_images": result.test_images,
                "test_positives": result.test_positives,
                "resampled_by": result.resampled_by,
            }
        )
    return rows


def few_shot_rows(inputs: Inputs) -> list[Row]:
    """Table 2: one row a job and variant; without figures where the job was skipped."""
    return [_job_row(each, METRICS) for each in inputs.few_shot]


def segmentation_rows(inputs: Inputs) -> list[Row]:
    """Table 3: one row a job and variant; without figures where the job was skipped."""
    return [_job_row(each, FIGURES, ("input_size",)) for each in inputs.segmentation]


def _job_row(each: FewShot | Segmentation, measures: Iterable[str], more: tuple[str, ...] = ()) -> Row:
    """A few-shot job of one variant: figures with interval and spread, what it trained on, and overlaps last."""
    result = each.result
    row: Row = vars(each.job) | {"finding": result.finding, "variant": each.variant}
    for name in measures:
        figure = result.metrics.get(name)
        row |= _columns(name, figure) | {f"{name}_spread": figure and figure.spread}
    for part in ("train", "test"):
        row |= {f"{part}_{name}": number for name, number in result.images[part]}
    row |= {name: getattr(result, name) for name in more} | {"seeds": len(result.seeds)}
    row |= {"not_as_published": in_words([result.departures])}
    return row | {"resampled_by": result.resampled_by, "skipped": result.skipped} | dict(result.overlap)


def few_shot_tables(inputs: Inputs) -> list[FewShotTable]:
    tables: dict[tuple[str, str], FewShotTable] = {}
    for each in inputs.few_shot:
        place = (each.job.dataset, each.job.protocol)
        table = tables.setdefault(place, FewShotTable(*place, [], {}))
        if each.job.fraction not in table.fractions:
            table.fractions.append(each.job.fraction)
        table.rows.setdefault(each.variant, []).append(each.result)
    return list(tables.values())


def retrieval_rows(inputs: Inputs) -> list[Row]:
    """One row a variant and direction; where retrieval was skipped, one a variant that says why."""
    rows: list[Row] = []
    for each in inputs.retrieval:
        found = each.result.figures
        if found is None:
            rows.append({"variant": each.variant, "split": each.result.split, "skipped": each.result.skipped})
            continue
        for name, direction in found.directions.items():
            row: Row = {"variant": each.variant, "split": each.result.split, "direction": name}
            measured = {f"recall_at_{k}": recall for k, recall in direction.recall.items()}
            for key, figure in (measured | {"median_rank": direction.median_rank}).items():
                row |= _columns(key, figure) | {f"{key}_chance": figure.chance}
            row |= {"queries": direction.queries, "candidates": direction.candidates}
            rows.append(row | found.model_dump(exclude=set(found.directions)))
    return rows


def pointing_rows(inputs: Inputs) -> list[Row]:
    """One row a data set, prompt set and variant: its heatmap beside the two baselines on the same images."""
    return [
        {"dataset": each.dataset, "finding": each.result.finding, "prompt_set": name, "variant": each.variant}
        | {column: value for pointer in POINTERS for column, value in _columns(pointer, getattr(game, pointer)).items()}
        | {"test_images": each.result.images}
        for each in inputs.grounding
        for name, game in each.result.pointing.items()
    ]


def grounding_rows(inputs: Inputs) -> list[Row]:
    """One row a data set, prompt set, variant, measure and pointer: every figure of phrase grounding."""
    rows = []
    for each in inputs.grounding:
        result = each.result
        games = {
            name: {pointer: getattr(game, pointer) for pointer in POINTERS} for name, game in result.pointing.items()
        }
        measures = {"pointing": games, "contrast_to_noise": result.contrast_to_noise, "iou": result.iou}
        for measure, sets in measures.items():
            for name, pointers in sets.items():
                place = {"dataset": each.dataset, "prompt_set": name, "place_words": " ".join(result.place_words[name])}
                rows += [
                    place
                    | {"variant": each.variant, "measure": measure, "pointer": pointer}
                    | _columns("value", figure)
                    for pointer, figure in pointers.items()
                    if figure is not None
                ]
    return rows


def integrity_rows(inputs: Inputs) -> list[Row]:
    """phi of every variant that has one: its scale, and its AUC against the mean lung mask of each data set."""
    return [
        {
            "dataset": each.dataset,
            "variant": each.variant,
            "lung_auc": phi.lung_auc,
            "smallest": phi.smallest,
            "largest": phi.largest,
            "standard_deviation": phi.standard_deviation,
        }
        for each in inputs.grounding
        if (phi := each.result.integrity_map) is not None
    ]


def selection_rows(inputs: Inputs) -> list[Row]:
    """Every candidate of every variant with its score on validation."""
    return [
        {
            "variant": each.variant,
            "step": step,
            "score": score,
            "chosen": int(step == each.selection.chosen_step),
            "criterion": each.selection.criterion,
            "split": each.selection.split,
            "studies": each.selection.studies,
        }
        for each in inputs.training
        for step, score in sorted(each.selection.candidates.items())
    ]


def reject_rows(ledger: Ledger) -> list[Row]:
    return [vars(reject) for reject in ledger.rejects]


def write_tables(folder: Path, inputs: Inputs, ledger: Ledger) -> list[Path]:
    """Write all tables as CSV; None is an empty cell."""
    tables = {
        "table1_zero_shot.csv": (zero_shot_rows(inputs), []),
        "table2_few_shot.csv": (few_shot_rows(inputs), ["dataset", "protocol", "fraction", "finding", "variant"]),
        "table3_segmentation.csv": (
            segmentation_rows(inputs),
            ["dataset", "protocol", "fraction", "finding", "variant"],
        ),
        "retrieval.csv": (retrieval_rows(inputs), []),
        "pointing.csv": (pointing_rows(inputs), []),
        "grounding.csv": (grounding_rows(inputs), []),
        "integrity_map.csv": (
            integrity_rows(inputs),
            ["dataset", "variant", "lung_auc", "smallest", "largest", "standard_deviation"],
        ),
        "selection.csv": (selection_rows(inputs), []),
        "rejects.csv": (reject_rows(ledger), ["stage", "dataset", "reason", "count"]),
    }
    for name, (rows, header) in tables.items():
        write_text(Path(folder) / name, as_csv(rows, header))
    return [Path(folder) / name for name in tables]


def as_csv(rows: Sequence[Mapping[str, Any]], header: Sequence[str] = ()) -> str:
    """`header` names the columns of a table that may have no rows."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else list(header), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def baselines(inputs: Inputs, dataset: str, prompt_set: str) -> PointingGame:
    """The baselines of a data set and prompt set: they do not depend on the variant."""
    return next(
        game
        for each in inputs.grounding
        if each.dataset == dataset
        for name, game in each.result.pointing.items()
        if name == prompt_set
    )


def text_summary(title: str, inputs: Inputs, synthetic: Sequence[str], report: Path) -> str:
    """What `python -m stages.summarize` prints."""
    lines = [f"{title}: {', '.join(inputs.tree.variants)} on {', '.join(inputs.tree.evaluate_on)}"]
    if synthetic:
        lines += [f"Synthetic patients in {', '.join(synthetic)}: no figure speaks of real ones."]
    if left_out := inputs.tree.image_only:
        lines += [f"No text, so no zero-shot, grounding and retrieval ({len(left_out)}): {', '.join(left_out)}"]
    lines += ["", "Zero-shot AUC on the test part [95 % interval]"]
    lines += aligned(
        [("data set", "finding", "variant", "AUC", "images", "positives", "prompts")]
        + [
            (
                each.dataset,
                each.result.finding,
                variant_label(inputs, each.variant),
                interval(each.result.metrics["auc"]),
                str(each.result.test_images),
                str(each.result.test_positives),
                each.result.prompt_set,
            )
            for each in inputs.zero_shot
        ]
    )
    lines += [*_few_shot_lines(inputs), *_segmentation_lines(inputs), *_retrieval_lines(inputs)]
    lines += ["", "Pointing game, share of hits; heatmaps must beat all the others to mean anything"]
    lines += aligned([("data set", "prompts", "what points", "hits", "images"), *_pointing_lines(inputs)])
    phi = [
        (
            variant_label(inputs, row["variant"]),
            row["dataset"],
            "lungs unknown" if row["lung_auc"] is None else decimal(row["lung_auc"]),
            *(figures(row[key]) for key in ("smallest", "largest", "standard_deviation")),
        )
        for row in integrity_rows(inputs)
    ]
    if phi:
        lines += ["", "Integrity map phi (centred)"]
        lines += aligned([("variant", "data set", "AUC against lungs", "min", "max", "sd"), *phi])
    return "\n".join([*lines, "", f"Report: {report}", ""])


def variant_label(inputs: Inputs, variant: str) -> str:
    """The name, with a word where the variant was not trained here."""
    if variant in inputs.tree.image_only:
        return f"{variant} (ready-made, images alone)"
    return variant if inputs.trained(variant) else f"{variant} (untrained)"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with columns of equal width."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _few_shot_lines(inputs: Inputs) -> Iterable[str]:
    for table in few_shot_tables(inputs):
        yield from (
            "",
            f"Few-shot AUC on the test part [95 % interval] +- over seeds: {table.dataset}, {table.name}",
            *([f"  {table.note}"] if table.note else []),
        )
        train = [each.images["train"] for each in table.columns]
        header = [f"{fraction} %, {part.images} images ({part.positives} positives)"
                  for fraction, part in zip(table.fractions, train, strict=True)]  # fmt: skip
        yield from aligned(
            [("variant", *header)]
            + [(variant_label(inputs, variant), *map(_few_shot_cell, cells)) for variant, cells in table.rows.items()]
        )


def _few_shot_cell(result: FewShotResult) -> str:
    overlaps = "".join(f"; {words(kind)}: {number}" for kind, number in result.overlap.found.items())
    if result.skipped is not None:
        return f"- {result.skipped}{overlaps}"
    auc = result.metrics["auc"]
    return interval(auc) + ("" if auc.spread is None else f" +- {decimal(auc.spread)}") + overlaps


def _segmentation_lines(inputs: Inputs) -> Iterable[str]:
    rows = [
        (
            f"{each.job.dataset}, {protocol_name(each.job.protocol, [each.result])}, {each.job.fraction} %",
            variant_label(inputs, each.variant),
            *(
                [each.result.skipped, "", ""]
                if each.result.skipped is not None
                else (interval(each.result.metrics[name]) for name in FIGURES_OF_TEXT)
            ),
        )
        for each in inputs.segmentation
    ]
    if rows:
        yield from ("", "Few-shot segmentation, Dice on the test part [95 % interval]")
        yield from aligned([("job", "variant", "all images", "predicting nothing", "positives"), *rows])
    for job in dict.fromkeys(each.job for each in inputs.segmentation):
        results = [each.result for each in inputs.segmentation if each.job == job]
        if note := protocol_note(job.protocol, results):
            yield f"  {job.dataset}, {job.fraction} %: {note}"


def _retrieval_lines(inputs: Inputs) -> Iterable[str]:
    yield from ("", "Retrieval among the test pairs of pre-training [95 % interval] (chance)")
    rows = []
    for each in inputs.retrieval:
        found = each.result.figures
        if found is None:
            yield f"  {variant_label(inputs, each.variant)}: not measured, {each.result.skipped}"
            continue
        header = ("variant", "direction", *(f"recall@{k}" for k in found.image_to_report.recall), "median rank")
        rows = rows or [header]
        for name, direction in found.directions.items():
            recalls = (f"{interval(figure)} ({figures(figure.chance)})" for figure in direction.recall.values())
            rows.append((variant_label(inputs, each.variant), words(name), *recalls, _ranks(direction.median_rank)))
    if rows:
        yield from aligned(rows)


def _ranks(figure: AgainstChance) -> str:
    return f"{rank(figure.value)} [{rank(figure.low)}, {rank(figure.high)}] ({rank(figure.chance)})"


def _pointing_lines(inputs: Inputs) -> Iterable[tuple[str, ...]]:
    for dataset in inputs.tree.evaluate_on:
        grounding = [each for each in inputs.grounding if each.dataset == dataset]
        for name in grounding[0].result.pointing:
            images = str(grounding[0].result.images)
            for each in grounding:
                label = f"heatmap of {variant_label(inputs, each.variant)}"
                game = each.result.pointing[name]
                yield dataset, name, label, interval(game.heatmap), images
                if game.heatmap_in_lung is not None:
                    yield dataset, name, f"{label}, inside the lungs", interval(game.heatmap_in_lung), images
            game = baselines(inputs, dataset, name)
            for pointer in game.rivals(RIVALS):
                yield dataset, name, POINTERS[pointer], interval(getattr(game, pointer)), images


def _columns(name: str, estimate: Estimate | None) -> Row:
    return {
        name: estimate and estimate.value,
        f"{name}_low": estimate and estimate.low,
        f"{name}_high": estimate and estimate.high,
    }
