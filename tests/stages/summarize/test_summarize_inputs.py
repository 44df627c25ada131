"""What is missing, damaged or at odds is named in one line; journals tell what ran."""

import ast
import dataclasses
import shutil
from pathlib import Path

import pytest

from stages.common.command_line import run_stage
from stages.common.errors import InputError
from stages.common.files.atomic_files import write_sidecar, write_text
from stages.common.files.code_digest import import_closure
from stages.summarize.__main__ import WORK
from stages.summarize.inputs import read_inputs, refuse_different_images
from stages.summarize.ledger import read_ledger
from stages.summarize.provenance import read_provenance
from stages.summarize.readers.training import read_curve
from stages.summarize.results_tree import FewShotJob
from stages.summarize.sections.methods import differences, methods


def every_file(tree):
    return sorted({path.relative_to(tree.results).as_posix() for path in tree.layout.files().values()})


LOCATED = {"positives": 95, "positives_without_region": 0, "regions_too_small": 0}
ONE_SEED = {"seed": 0, "thresholds": {}, "kept_at": 1, "validation_auc": 0.5, "auc": 0.5, "average_precision": 0.5,
            "f1": 0.5, "accuracy": 0.5}  # fmt: skip
SCORES_OF_FEW_SHOT = 3 * 2 * 2  # jobs that were not skipped, variants, repetitions
OVERLAPS_OF_SEGMENTATION = 2 * 2 * 2


def test_any_missing_file_is_named_in_one_line_with_its_stage(tree, tmp_path, capsys):
    places = every_file(tree)
    assert (
        len(places)
        == 36 + 2 + 2 + 2 + 4 + 3 + 2 * 4 + 3 * 2 * 2 + 2 + 2 * 3 + SCORES_OF_FEW_SHOT + OVERLAPS_OF_SEGMENTATION
    )
    # there is one a repetition that ran
    places = [place for place in places if "/scores/" not in place and "/overlaps/" not in place]
    places = [place for place in places if "/checkpoint/" not in place]  # a variant may have no phi
    for place in places:
        path = tree.results / place
        kept = path.read_bytes()
        path.unlink()
        with pytest.raises(SystemExit) as stop:
            run_stage(WORK, tree.arguments(tmp_path / "output"))
        path.write_bytes(kept)
        stdout, stderr = capsys.readouterr()
        assert (stop.value.code, stdout) == (2, "")
        assert stderr == f"error: {path}: no such file; run the stage {place.split('/')[0]} first\n"
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [(b"{% if %}", ": line 1: "), (b"\n{{ nothing_such }}", ": line 2: 'nothing_such' is undefined"),
     (b"{{ 1 + 'a' }}", ": line 1: "), (b"{{ title | none }}", ": line 1: No filter named"), (b"\xff", "UTF-8")],
)  # fmt: skip
def test_a_wrong_template_is_named_and_nothing_is_written(tree, tmp_path, capsys, text, words):
    folder, output = tmp_path / "templates", tmp_path / "output"
    arguments = tree.arguments(output)
    place = arguments.index("--template") + 1
    template = Path(arguments[place])
    shutil.copytree(template.parent, folder)
    (folder / template.name).write_bytes(text)
    arguments[place] = str(folder / template.name)
    with pytest.raises(SystemExit) as stop:
        run_stage(WORK, arguments)
    error = capsys.readouterr().err
    assert (stop.value.code, error.count("\n"), error.startswith(f"error: {folder}")) == (2, 1, True)
    assert words in error
    assert not list(output.glob("tables/*"))


@pytest.mark.parametrize("content", [b"step,loss\n1,\xff\n", b'step,loss\n1,"2'])
def test_a_damaged_learning_curve_is_one_line(tmp_path, content):
    path = tmp_path / "learning_curve.csv"
    path.write_bytes(content)
    write_sidecar(path)
    with pytest.raises(InputError, match=r"learning_curve\.csv: is no CSV file \(.*; run pretrain again"):
        read_curve(path)


def test_a_missing_template_is_named(tree, tmp_path, capsys):
    arguments = tree.arguments(tmp_path / "output")
    arguments[arguments.index("--template") + 1] = str(tmp_path / "page.jinja")
    with pytest.raises(SystemExit):
        run_stage(WORK, arguments)
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'page.jinja'}: no such file")


@pytest.mark.parametrize("text", ["rsna/linear", "rsna/linear/all", "/linear/1", "rsna/linear/1/x"])
def test_a_job_that_is_none_is_named(text):
    with pytest.raises(InputError, match=f"--few-shot {text}: name DATASET/PROTOCOL/FRACTION"):
        FewShotJob.parse(text)


def test_a_damaged_file_is_refused(tree):
    path = tree.results / "zero_shot_classification/mlip/rsna/result.json"
    path.write_text(path.read_text().replace("patient", "patiens"))
    with pytest.raises(InputError, match="damaged"):
        read_inputs(tree.layout)


@pytest.mark.parametrize(
    ("place", "changes", "words"),
    [
        ("zero_shot_classification/mlip/rsna/result.json", {"metrics": {}}, "metrics lacks accuracy, auc"),
        ("few_shot_segmentation/mlip/rsna/linear/10/result.json", {"skipped": "-"}, "skipped, but seeds or metrics"),
        ("few_shot_segmentation/mlip/rsna/linear/10/result.json", {"seeds": []}, "not skipped, but no seeds"),
        ("select_checkpoint/mlip/selection.json", {"chosen_step": 1}, "chosen_step 1 is not a candidate"),
        ("label_images/rsna/card.json", {"images": -1}, "images"),
        ("zero_shot_classification/random/siim/result.json", {"resampled_by": "image"}, "other images or prompts"),
        ("few_shot_classification/mlip/rsna/linear/1/result.json", {"metrics": {}}, "metrics lacks accuracy, auc"),
        ("few_shot_classification/mlip/rsna/linear/1/result.json", {"skipped": "-"}, "skipped, but seeds"),
        ("few_shot_classification/mlip/rsna/linear/1/result.json", {"overlap": {"new_kind": 1}}, "overlap.new_kind"),
        ("few_shot_classification/random/rsna/linear/10/result.json", {"resampled_by": "image"}, "other images"),
        ("few_shot_classification/random/rsna/linear/1/result.json", {"seeds": [ONE_SEED]}, "other images"),
        ("retrieval/mlip/result.json", {"figures": {"images": 1}}, "figures.report_to_image"),
        ("retrieval/random/result.json", {"split": "test", "figures": None}, "other images or prompts"),
        ("retrieval/random/result.json", {"skipped": "no pair", "figures": None}, "other images or prompts"),
    ],
)  # fmt: skip
def test_wrong_or_contradicting_records_are_one_line(tree, place, changes, words):
    tree.edit(place, **changes)
    _refused(tree, place, words)


@pytest.mark.parametrize(
    ("place", "changes", "words"),
    [
        ("zero_shot_classification/mlip/rsna/result.json", {"threshold": "high", "prompt_set": 1}, "threshold"),
        ("zero_shot_classification/mlip/rsna/result.json", {"prompt_set": "other"}, "lacks the chosen set other"),
        ("zero_shot_classification/mlip/rsna/result.json", {"test_positives": 3}, "test part"),
        ("zero_shot_classification/mlip/rsna/result.json", {"metrics": {}}, "metrics lacks accuracy, auc"),
        ("zero_shot_classification/random/siim/result.json", {"finding": "mass"}, "test part"),
        ("phrase_grounding/mlip/rsna/result.json", {"pointing": {}}, "pointing"),
        ("phrase_grounding/mlip/rsna/result.json", {"place_words": {}}, "place_words lacks the prompt set no_place"),
        ("phrase_grounding/random/rsna/result.json", {"images": 95, "located": {"test": LOCATED}}, "other images"),
        ("few_shot_classification/mlip/rsna/linear/1/result.json", {"metrics": {}}, "metrics lacks accuracy, auc"),
        ("few_shot_classification/random/rsna/linear/1/result.json", {"finding": "mass"}, "other images"),
    ],
)  # fmt: skip
def test_so_are_those_of_one_finding(tree, place, changes, words):
    tree.edit_only(place, **changes)
    _refused(tree, place, words)


def _refused(tree, place, words):
    with pytest.raises(InputError, match=words) as error:
        read_inputs(tree.layout)
    assert "\n" not in str(error.value)
    assert place.split("/")[0] in str(error.value)


@pytest.mark.parametrize(
    ("place", "changes", "words"),
    [
        ("dicom_to_arrow/mimic_cxr/manifest.json", {"indexed": 2004}, "indexed is 2004, images \\+ rejects is 2003"),
        ("pair_images_reports/mimic_cxr/audit.json", {"reports": 1501}, "reports is 1502"),
        ("pair_images_reports/mimic_cxr/audit.json", {"images": 1999}, "images is 1999"),
        ("pair_images_reports/mimic_cxr/audit.json", {"pairs": 1}, "pairs is 1"),
        (
            "split_reports/mimic_cxr/quality.json",
            {"sentences": {"total": 1, "unique": 1, "over_long": 0, "max_pieces": 254}},
            "sentences is 1",
        ),
        ("pair_images_reports/mimic_cxr/fingerprint.json", {"pairs_digest": "00"}, "of other pairs than audit.json"),
        ("pair_images_reports/mimic_cxr/audit.json", {"rejects": {"image_without_report": 9}}, "rejects is 9"),
    ],
)
def test_counts_that_do_not_reconcile_are_refused(tree, place, changes, words):
    tree.edit(place, **changes)
    with pytest.raises(InputError, match=words):
        read_ledger(read_inputs(tree.layout))


def test_a_curve_with_an_empty_cell_and_without_rows(tmp_path):
    path = tmp_path / "curve.csv"
    write_text(path, "step,loss/total,late\n20,3.5,\n40,3.0,1\n")
    write_sidecar(path)
    curve = read_curve(path)
    assert curve["loss/total"].tolist() == [3.5, 3.0]
    assert curve["late"].tolist()[1:] == [1.0]
    assert curve["late"][0] != curve["late"][0]
    write_text(path, "step,loss/total\n20,high\n")
    write_sidecar(path)
    with pytest.raises(InputError, match="no number"):
        read_curve(path)


def test_the_untrained_variant_is_told_by_its_empty_curve(read):
    assert [each.trained for each in read.training] == [True, False]


def test_a_missing_journal_is_named(tree):
    shutil.rmtree(tree.results / "dicom_to_arrow/rsna/shards")
    with pytest.raises(InputError, match="no journal; run the stage dicom_to_arrow again"):
        read_provenance(tree.layout)


def test_journals_are_all_there_and_shards_are_summed(built):
    provenance = read_provenance(built.layout)
    assert len(provenance.runs) == 1 + 3 * 3 + 2 + 2 * 2 + 2 * 2 + 3 * 4 + 2 * 4 + 2 * 2 + 2 + 2
    shards = provenance.run("dicom_to_arrow", "rsna/shards")
    assert (shards.executions, shards.milliseconds, shards.status) == (2, 8400, "FINISHED")
    assert shards.digests["code"] == provenance.run("dicom_to_arrow", "siim").digests["code"]
    assert shards.digests["data"] == "several"
    assert provenance.commits == [("0123456789abcdef" * 2 + "01234567", True)]
    assert provenance.milliseconds == 4200 * sum(run.executions for run in provenance.runs)


def test_a_stage_that_failed_or_did_not_end_is_shown_so(tree):
    tree.edit("pretrain/mlip/journal.json", status="RUNNING", ended=None)
    tree.edit("dicom_to_arrow/rsna/shards/journal_1.json", status="FAILED")
    provenance = read_provenance(tree.layout)
    assert (provenance.run("pretrain", "mlip").status, provenance.run("pretrain", "mlip").milliseconds) == (
        "RUNNING", None
    )  # fmt: skip
    assert provenance.run("dicom_to_arrow", "rsna/shards").status == "FAILED"


def test_synthetic_data_sets_are_told_by_the_content_of_their_index(tree):
    assert read_provenance(tree.layout).synthetic == ["mimic_cxr", "rsna", "siim"]
    tree.edit("index_inputs/siim/journal.json", inputs={"train-rle.csv": "00" * 32})
    assert read_provenance(tree.layout).synthetic == ["mimic_cxr", "rsna"]
    shutil.rmtree(tree.workspace / "phantom")
    provenance = read_provenance(tree.layout)
    assert provenance.synthetic == []
    assert provenance.runs[0].stage == "index_inputs"


def test_what_distinguishes_the_variants(built, read):
    found = differences(read, read_provenance(built.layout))
    assert [(each.variant, each.key, each.value, each.instead_of) for each in found] == [
        ("random", "optimisation.epochs", "0", "51")
    ]


def test_a_param_that_a_journal_lacks_is_named(tree):
    tree.edit("pretrain/mlip/journal.json", params={})
    read = read_inputs(tree.layout)
    with pytest.raises(InputError, match=r"pretrain/mlip/journal\.json: params lacks"):
        methods(read, read_provenance(tree.layout))


def imported(path):
    """The top-level packages that a file imports anywhere in it; a docstring that says "import torch" is none."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name.partition(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            yield node.module.partition(".")[0]


def test_the_report_image_needs_no_torch():
    found = {name for path in import_closure("stages.summarize.__main__").values() for name in imported(path)}
    assert {"matplotlib", "polars"} <= found
    assert not found & {"torch", "torchvision", "timm", "cv2", "mlflow", "transformers"}


def test_several_grounded_findings_are_read_and_must_be_those_of_all_variants(tree):
    """They share a run, and differ in what they were measured on."""
    for variant in ("mlip", "random"):
        place = f"phrase_grounding/{variant}/rsna/result.json"
        other = tree.only(place) | {"finding": "nodule", "resampled_by": "image"}
        tree.edit(place, findings=[tree.only(place), other])
    found = [each.result.finding for each in read_inputs(tree.layout).grounding if each.dataset == "rsna"]
    assert found == ["lung_opacity", "nodule"] * 2
    tree.edit(place, findings=[other])
    with pytest.raises(InputError, match=r"random/rsna/result\.json: measured on other images or prompts"):
        read_inputs(tree.layout)


def test_a_small_subset_may_teach_fewer_findings_but_not_test_on_other_images(read):
    """At 1 % a finding has no positives: the job leaves it out, and the others are as at 100 %."""

    def with_edema(cell, most):
        if cell.job.dataset != "rsna" or cell.job.fraction < most:
            return cell
        other = next(iter(cell.result.findings.values()))
        return dataclasses.replace(
            cell, result=cell.result.model_copy(update={"findings": cell.result.findings | {"edema": other}})
        )

    most = max(cell.job.fraction for cell in read.few_shot if cell.job.dataset == "rsna")
    several = dataclasses.replace(read, few_shot=[with_edema(cell, most) for cell in read.few_shot])
    refuse_different_images(several)
    cell = next(cell for cell in several.few_shot if cell.job.dataset == "rsna" and cell.job.fraction < most)
    finding, result = next(iter(cell.result.findings.items()))
    size = result.images["test"]
    smaller = result.model_copy(
        update={"images": result.images | {"test": size.model_copy(update={"images": size.images - 1})}}
    )
    changed = dataclasses.replace(cell, result=cell.result.model_copy(update={"findings": {finding: smaller}}))
    with pytest.raises(InputError, match="measured on other images"):
        refuse_different_images(
            dataclasses.replace(several, few_shot=[changed if each is cell else each for each in several.few_shot])
        )
