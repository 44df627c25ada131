"""The chapter on data: grey values, reports, copies, doubtful images."""

import json

from report_page import Page, run

from stages.common.command_line import run_stage
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows
from stages.summarize.__main__ import WORK
from stages.summarize.numbers import count, decimal
from stages.summarize.readers.data import CopyCount, read_copies


def test_what_most_reports_say_is_one_line_where_it_is_not_published(built, page):
    found = json.loads((built.results / "pair_images_reports/mimic_cxr/fingerprint.json").read_text())["reports"]
    numbers = [each["reports"] for each in found["most_frequent"]]
    line = f"The most frequent sentence stands in {numbers[0]:,} reports ({100 * numbers[0] / found['reports']:.1f} %)"
    assert f"{line}, the {len(numbers)}th in {numbers[-1]:,} reports" in page.text
    assert "The most frequent sentences, folded" not in page.text


def test_numbers_of_the_data_are_on_the_page(built, page):
    folder = built.results / "pair_images_reports" / "mimic_cxr"
    found, audit = (json.loads((folder / name).read_text()) for name in ("fingerprint.json", "audit.json"))
    grey, reports = found["intensity"], found["reports"]
    for number in (grey["mean"], grey["standard_deviation"]):
        assert page.text.count(decimal(number, 4)) >= 2  # in the section and in the methods
    numbers = [reports["sentences"], reports["different_sentences"], grey["images"]]
    numbers += [reports["most_frequent"][place]["reports"] for place in (0, -1)]  # without text one line tells of them
    numbers += [n for counts in found["views"].values() for n in counts.values()]
    numbers += [counts[key] for counts in audit["splits"].values() for key in ("copies_of_pixels", "copies_of_text")]
    for number in numbers:
        assert count(number) in page.text
    assert "The sentences are not shown: publish_samples is false." in page.text
    assert "No picture stands under several patients." in page.text


def test_text_of_reports_is_shown_where_the_data_set_allows_it_and_escaped(tree, tmp_path):
    evil = "<script>alert(1)</script>"
    for place, key in (("pair_images_reports/mimic_cxr/fingerprint.json", "reports"),
                       ("split_reports/mimic_cxr/quality.json", "worst")):  # fmt: skip
        record = json.loads((tree.results / place).read_text())[key]
        for each in record["most_frequent"] if key == "reports" else record:
            each["text"] = f"{evil} {key}"
        tree.edit(place, **{key: record})
    html = run(tree, tmp_path / "output")
    assert "<script" not in html
    page = Page(html)
    assert page.text.count(f"{evil} reports") == 10
    assert page.text.count(f"{evil} worst") == 150
    assert "publish_samples is false." not in page.text


def test_a_picture_of_several_patients_is_called_a_wrong_id(tree, tmp_path):
    tree.edit("pair_images_reports/mimic_cxr/audit.json", pixels_of_several_patients=3)
    assert "3 pictures stand under several patients: an id is wrong." in Page(run(tree, tmp_path / "output")).text


def test_copies_across_data_sets_are_shown_and_a_leak_is_named(tree, output, tmp_path):
    copies = read_copies(tree.results / "dicom_to_arrow/duplicates.arrow")
    assert copies == [
        CopyCount("instance", ("mimic_cxr",), 1, 2), CopyCount("pixels", ("mimic_cxr", "rsna"), 1, 3),
        CopyCount("pixels", ("rsna",), 2, 4),
    ]  # fmt: skip
    text = Page((output / "report.html").read_text(encoding="utf-8")).text
    assert text.count("pre-training saw images of an evaluation") == 2  # in the ledger, and among the warnings
    write_rows(tree.results / "dicom_to_arrow/duplicates.arrow", schemas.DUPLICATES, [])
    assert "No image occurs twice" in Page(run(tree, tmp_path / "output")).text


def test_counts_of_doubtful_data_are_shown(tree, tmp_path) -> None:
    place = "dicom_to_arrow/rsna/manifest.json"
    tree.edit(place, without_view=12345, nearly_black=3)
    quality = json.loads((tree.results / "split_reports/mimic_cxr/quality.json").read_text())
    tree.edit("split_reports/mimic_cxr/quality.json", reports=quality["reports"] | {"losing_unheaded": 4321})
    run_stage(WORK, tree.arguments(tmp_path))
    text = Page((tmp_path / "report.html").read_text()).text
    assert "12,345" in text
    assert "4,321: it stands beside a section that is kept" in text
