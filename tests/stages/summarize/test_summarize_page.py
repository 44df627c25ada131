"""The page: whole, self-contained, escaped, and equal for equal inputs."""

import csv
import json
import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from report_page import Page, run

from stages import summarize
from stages.common.command_line import run_stage
from stages.common.records import Estimate
from stages.pretrain.learning_curve import write_curve
from stages.summarize.__main__ import WORK
from stages.summarize.numbers import count, decimal, figures, rank
from stages.summarize.tables.comparisons import Comparison, Comparisons
from stages.summarize.tables.table import Axis
from stages.summarize.tables.verdicts import Contest, Pointer, verdict

TEMPLATE = Path(summarize.__file__).parent / "templates" / "report.html.jinja"


# the page, CSV files, tables in four forms, the comparisons, the checklist, the headline
WRITTEN = 1 + 16 + 23 * 4 + 1 + 1 + 1


def test_nothing_is_loaded_from_elsewhere(page, output):
    html = (output / "report.html").read_text(encoding="utf-8")
    assert {tag for tag, _ in page.elements} & {"script", "link", "iframe", "object", "embed", "base", "form"} == set()
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    inline = ("data:image/svg+xml,", "data:image/jpeg;base64,")
    assert all(image["src"].startswith(inline) for image in page.all("img"))
    links = [link["href"] for link in page.all("a") if not link["href"].startswith("#")]
    files = [link for link in links if link.startswith("tables/")]
    assert len(files) > 60
    assert all((output / link).is_file() for link in files)
    outside = {link.partition("/#/")[0] for link in links if link not in files}
    assert outside == {"https://arxiv.org/abs/2401.01591", "https://mlflow.example"}  # followed by a person alone
    # a drawing refers to its own parts alone, a heatmap to the radiograph below it
    assert set(re.findall(r"url\((?!%23).{10}", html)) == {"url(data:image"}
    assert "@import" not in html


def test_every_picture_has_a_description_and_every_link_a_target(page):
    images = page.all("img")
    # 2 ROC, reliability, 2 of precision and recall, decision curve, 2 of each of 4 outcomes, label efficiency,
    # 4 outlined, 3 radiographs with 2 heatmaps each, 2 phi, loss, selection, 4 of the data, 2 of sentences, time
    assert len(images) == 2 + 1 + 2 + 1 + 8 + 1 + 4 + 9 + 2 + 1 + 1 + 4 + 2 + 1
    assert all(len(image["alt"]) > 20 for image in images)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in page.all("a") if link["href"].startswith("#")} <= set(ids)


def test_a_tick_without_script_hides_the_heatmaps_of_a_row_on_the_screen_alone(page, output):
    html = (output / "report.html").read_text(encoding="utf-8")
    assert [each["type"] for each in page.all("input")] == ["checkbox"] * 3  # one per radiograph
    assert html.count('<label><input type="checkbox"> hide the heatmaps</label>') == 3
    screen, paper = html.partition("</style>")[0].split("@media print { .panels {")
    assert ".panels:has(input:checked) .map img { visibility: hidden; }" in screen
    assert ".panels:has(input:checked) .map img { visibility: visible; }" in paper
    assert html.count('class="panels" style="--radiograph:url(data:image/jpeg;base64,') == 3


def test_every_number_of_the_tables_is_on_the_page(page, output):
    counts = {"test_images", "test_positives", "count", "studies", "step"}
    small = {"smallest", "largest", "standard_deviation"}
    for name in ("table1_zero_shot", "pointing", "integrity_map", "selection", "rejects"):
        for row in csv.DictReader((output / "tables" / f"{name}.csv").read_text(encoding="utf-8").splitlines()):
            for column, cell in row.items():
                if column == "chosen" or not re.fullmatch(r"-?[\d.e-]+", cell):
                    continue
                if column in counts:
                    shown = count(int(cell))
                else:
                    shown = figures(float(cell)) if column in small else decimal(float(cell))
                assert shown in page.text, (name, column, cell)


def test_the_figures_of_few_shot_and_retrieval_are_on_the_page(page, output):
    rows = list(csv.DictReader((output / "tables" / "table2_few_shot.csv").read_text(encoding="utf-8").splitlines()))
    for row in rows:
        positives = f"{row['train_positives']} positive{'' if row['train_positives'] == '1' else 's'}"
        images = f"{row['train_images']} images ({positives}), seeds: {row['seeds']}"
        assert images in page.text
        assert f": {row['test_images']} test images, {row['test_positives']} positive; training: " in page.text
        if not row["skipped"]:
            for metric in ("auc", "f1"):
                parts = (row[f"{metric}{end}"] for end in ("", "_low", "_high", "_spread"))
                value, low, high, spread = (decimal(float(part)) for part in parts)
                assert f"{value} [{low}, {high}] \u00b1 {spread}" in page.text
    assert page.text.count("\u2013 the subset has 2 images, all with target 0: a classifier needs both") == 2 * 2
    assert "resampled by patient. F1" in page.text
    for row in csv.DictReader((output / "tables" / "retrieval.csv").read_text(encoding="utf-8").splitlines()):
        for k in (1, 5, 10):
            value, low, high = (decimal(float(row[f"recall_at_{k}{end}"])) for end in ("", "_low", "_high"))
            assert f"{value} [{low}, {high}]" in page.text
        chance = "".join(figures(float(row[f"recall_at_{k}_chance"])) for k in (1, 5, 10))
        assert f"chance: random order{chance}{rank(float(row['median_rank_chance']))}" in page.text
        value, low, high = (rank(float(row[f"median_rank{end}"])) for end in ("", "_low", "_high"))
        assert f"{value} [{low}, {high}]" in page.text
    assert "24 images and 12 reports (11 different texts) of 6 patients" in page.text
    assert "in several parts:" not in page.text
    assert "in pretraining:" not in page.text


def test_overlap_stands_beside_every_number_it_touches(tree, tmp_path):
    for variant in tree.variants:
        place = f"few_shot_classification/{variant}/rsna/linear/10/result.json"
        overlap = json.loads((tree.results / place).read_text())["overlap"]
        tree.edit(place, overlap=overlap | {"test_patients_in_pretraining": 1234})
    text = Page(run(tree, tmp_path / "output")).text
    found = re.findall(r"\u00b1 \.\d{3}test patients in pretraining: 1,234", text)
    assert len(found) == len(tree.variants) * len(("auc", "f1"))
    rows = (tmp_path / "output/tables/table2_few_shot.csv").read_text(encoding="utf-8").splitlines()
    found = {(row["dataset"], row["fraction"], row["test_patients_in_pretraining"]) for row in csv.DictReader(rows)}
    assert found == {("rsna", "1", "0"), ("rsna", "10", "1234"), ("siim", "1", "0"), ("siim", "10", "0")}


def test_without_few_shot_jobs_its_section_is_absent(tree, tmp_path):
    arguments = tree.arguments(tmp_path)
    first, last = arguments.index("--few-shot"), arguments.index("--template")
    run_stage(WORK, arguments[: first + 1] + arguments[last:])
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    measured = html.partition('id="coverage"')[2].partition("</section>")[0]  # names every evaluation
    assert "few-shot" not in html.replace(measured, "").lower()
    assert Page(html).open == []


def test_every_part_of_a_whole_run_is_on_the_page_and_in_its_contents(page, output):
    sections = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    contents = (output / "report.html").read_text(encoding="utf-8").partition("<nav")[2].partition("</nav>")[0]
    assert list(dict.fromkeys(re.findall(r'href="#([^"]+)"', contents))) == sections
    assert {"dag", "provenance", "cards", "ledger", "training", "integrity-map", "heatmaps", "zero-shot", "few-shot",
            "segmentation", "retrieval", "pointing", "fingerprint", "quality", "methods"} <= set(sections)  # fmt: skip


def test_it_says_what_it_is(page):
    for words in ("These patients are synthetic.", "mimic_cxr, rsna, siim were drawn and written by make_phantom",
                  "(seed 7)",
                  "Heatmaps must beat all of the others to mean anything", "none is quoted from the literature",
                  "radiographs are not published: phrase_grounding.publish_samples is false",
                  "ISBI 2024", "arXiv:2401.01591",
                  "0123456789ab with uncommitted changes", "2025-10-09 08:53 UTC", "98 of the 196",
                  "heatmap of random (untrained)", "fixed peak of the training masks"):  # fmt: skip
        assert words in page.text, words
    assert "secret-id" not in page.text  # ids of rejected images stay in the card


def test_beside_synthetic_patients_figures_of_others_are_of_them(tree, tmp_path):
    tree.edit("index_inputs/siim/journal.json", inputs={"train-rle.csv": "00" * 32})
    text = Page(run(tree, tmp_path / "output")).text
    assert "Figures of siim are of the patients there, by encoders that learned from synthetic ones alone" in text
    assert "No figure below" not in text


def test_real_patients_are_not_called_synthetic(tree, tmp_path):
    shutil.rmtree(tree.workspace / "phantom")
    assert "synthetic" not in Page(run(tree, tmp_path / "output")).text.lower()


def test_every_table_says_which_cells_are_headers(page):
    assert all(header.get("scope") in ("col", "row", "rowgroup") for header in page.all("th"))


def test_headings_and_headers_say_something(page, output):
    html = (output / "report.html").read_text(encoding="utf-8")
    assert len(page.all("h1")) == 1
    for tag in ("th", "h1", "h2", "h3"):
        for inside in re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", html, re.DOTALL):
            assert re.sub("<[^>]+>", "", inside).strip(), tag
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_every_table_has_a_name_that_is_on_the_page(page):
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    tables = page.all("table")
    assert len(tables) > 20
    for table in tables:
        assert table.get("aria-label") or table["aria-labelledby"] in ids


def test_equal_inputs_give_equal_bytes_wherever_they_lie(tree, output, tmp_path):
    run(tree, tmp_path / "output")
    names = ["report.html", *(f"tables/{path.name}" for path in sorted((output / "tables").iterdir()))]
    assert len(names) == WRITTEN
    for name in names:
        assert (tmp_path / "output" / name).read_bytes() == (output / name).read_bytes(), name


def test_what_comes_from_outside_is_escaped(tree, tmp_path):
    evil = "<script>alert('x')</script>$^$"
    tree.edit("label_images/rsna/card.json", license=evil, how_to_get=evil, split_by=evil)
    for variant in tree.variants:
        for stage in ("zero_shot_classification", "phrase_grounding"):
            tree.edit(f"{stage}/{variant}/rsna/result.json", not_measured={"x": evil})
        for fraction in (1, 10):
            place = f"few_shot_classification/{variant}/rsna/linear/{fraction}/result.json"
            tree.edit(place, not_measured={"x": evil})
        tree.edit(f"few_shot_classification/{variant}/siim/linear/1/result.json", skipped=f"few-shot {evil}")
        tree.edit(f"retrieval/{variant}/result.json", skipped=f"retrieval {evil}", figures=None)
        tree.edit(f"select_checkpoint/{variant}/selection.json", criterion=evil)
    audit = json.loads((tree.results / "pair_images_reports/mimic_cxr/audit.json").read_text())
    assert audit["split_by"] == "patient"
    tree.edit("pair_images_reports/mimic_cxr/audit.json", split_by=evil)
    tree.edit("index_inputs/mimic_cxr/journal.json", tags={"licenses": evil, "git_commit": evil})
    settings = json.dumps({"title": evil, "note": evil})
    html = run(tree, tmp_path / "output", "--settings", settings)
    assert "<script" not in html
    page = Page(html)
    assert page.text.count(evil) > 10
    assert page.text.count(f"\u2013 few-shot {evil}") == len(tree.variants) * len(("auc", "f1"))
    assert page.text.count(f"Not measured: retrieval {evil}.") == 1
    assert {tag for tag, _ in page.elements} & {"script"} == set()


def test_the_journal_names_every_output(built, output):
    journal = json.loads((output / "journal.json").read_text())
    assert journal["status"] == "FINISHED"
    assert [each["path"] for each in journal["artifacts"]][:2] == ["pictures/label_efficiency_rsna_linear.svg",
                                                                   "report.html"]  # fmt: skip
    assert len(journal["artifacts"]) == 1 + WRITTEN
    assert len(journal["inputs"]) == 42 + 2 + 2 + 2 + 4 + 3 + 2 * 4 + 3 * 2 * 2 + 2 + 3 * 2 * 2 + 2 * 2 * 2 + 1 + len(
        list(TEMPLATE.parent.glob("*.jinja"))
    )
    metric = next(metric for metric in journal["metrics"] if metric["key"] == "rsna/mlip/auc")
    result = json.loads((built.results / "zero_shot_classification/mlip/rsna/result.json").read_text())
    assert metric["value"] == result["metrics"]["auc"]["value"]


def pointer(name, value):
    return Pointer(name, name.removeprefix("heatmap of "), Estimate(value=value, low=0, high=1))


@pytest.mark.parametrize(
    ("rival", "p", "words"),
    [
        (0.2, 0.01, "above all the others by the paired test"),
        (0.4, 0.21, "above all the others, but the paired test does not tell it from the fixed peak (p .210)"),
        (0.5, 1.0, "does not beat the fixed peak (.500)"),
        (0.7, 0.001, "does not beat the fixed peak (.700)"),
    ],
)
def test_the_verdict_follows_from_the_figures_and_the_paired_test(rival, p, words):
    comparisons = Comparisons(draws=10, seed=0)
    difference = Estimate(value=rival - 0.5, low=-1.0, high=1.0)
    comparisons.found["t", "pointing"] = [Comparison("fixed peak", "mlip", difference, p, p, 40)]
    contest = Contest(pointer("heatmap of mlip", 0.5), (pointer("fixed peak", rival),), "pointing")
    assert words in verdict(contest, comparisons, "t")


def test_a_heatmap_inside_the_lungs_has_rivals_of_its_own(page, read):
    """A trained heatmap has a sentence per column of hits; an untrained one is a rival in both."""
    for place in ("", ", inside the lungs"):
        assert page.text.count(f"The heatmap of mlip{place} (") == len(read.tree.evaluate_on)
    assert "The heatmap of random" not in page.text


def test_bars_lie_inside_their_axis():
    axis = Axis(0.4, 1.0, 0.5)
    assert [axis.place(value) for value in (0.4, 0.7, 1.0)] == [0, 50, 100]


def test_a_variant_without_text_is_one_of_the_variants(tree, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        run_stage(WORK, [*tree.arguments(tmp_path), "--image-only", "timmm"])
    assert capsys.readouterr().err == (
        "error: --image-only timmm: not among --variants; correct the name, or add the variant\n"
    )


def test_variants_without_text_alone_have_a_page(tree, tmp_path) -> None:
    run_stage(WORK, [*tree.arguments(tmp_path), "--image-only", *tree.variants])
    page = Page((tmp_path / "report.html").read_text())
    assert "Few-shot" in page.text


def test_captions_state_what_was_done(tree, tmp_path) -> None:
    """The rule and the labels that chose; no method where nothing was trained; a threshold where prompts were given."""
    rule = "the earliest candidate at most 0.1 worse than the best"
    for variant in tree.variants:
        write_curve(tree.results / f"pretrain/{variant}/learning_curve.csv", [])
        tree.edit(f"select_checkpoint/{variant}/selection.json", rule=rule, zero_shot_on="rsna", labelled_images=9,
                  criterion="zero-shot AUC on validation labels, mean over prompt sets")  # fmt: skip
    text = Page(run(tree, tmp_path / "out")).text
    assert f"Of the candidates of a variant {rule} on validation was kept" in text
    assert "Candidates on validation labels of rsna; the filled point" in text
    assert "Nothing was trained here. The paragraphs below" in text
    assert "The method is MLIP" not in text
    assert "Prompts and threshold come from validation alone." in text
