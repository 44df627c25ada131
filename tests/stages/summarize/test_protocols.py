"""Figures of a changed protocol do not bear the published name alone: page, text, every form of the tables."""

import csv
import html
import io
import json
import re

import pytest

from stages.common.errors import InputError
from stages.common.files.atomic_files import write_checked_json
from stages.few_shot_classification import contract as classification
from stages.few_shot_segmentation import contract as segmentation
from stages.summarize.inputs import Inputs, read_inputs
from stages.summarize.naming import pooling_note
from stages.summarize.provenance import read_provenance
from stages.summarize.sections.methods import methods
from stages.summarize.tables.all_tables import paper_tables, text_summary
from stages.summarize.tables.comparisons import Comparisons
from stages.summarize.tables.writers import as_csv, as_latex, as_markdown, as_page

EPOCHS = "This is not the published protocol linear: epochs 5 instead of 50."
SIZE = "This is not the published protocol linear: input size 32 instead of 224."


def test_every_form_of_a_table_says_it_and_a_published_one_does_not(read: Inputs) -> None:
    tables = {table.name: table for table in paper_tables(read, Comparisons(20, 0), [], ())}
    for name, note in (("table2_siim_linear", EPOCHS), ("table3_rsna_linear", SIZE), ("table3_siim_linear", SIZE)):
        for form in (as_markdown, as_latex, as_page):
            text = form(tables[name])
            assert "protocol linear (changed)" in text
            assert note in text
        rows = list(csv.DictReader(io.StringIO(as_csv(tables[name]))))
        assert {row["protocol"] for row in rows} == {note}
    for form in (as_csv, as_markdown, as_latex, as_page):
        assert "changed" not in form(tables["table2_rsna_linear"])
        assert "not the published" not in form(tables["table2_rsna_linear"])


def test_the_page_and_its_csv_files_say_it(output) -> None:
    page = " ".join((output / "report.html").read_text(encoding="utf-8").split())
    assert "classification of pneumothorax in siim, protocol linear (changed): " in page
    assert "classification of lung opacity in rsna, protocol linear: " in page
    assert "segmentation of lung opacity in rsna, protocol linear (changed), images of " in page
    assert (page.count(EPOCHS), page.count(SIZE)) == (1, 2)
    for name, expected in (
        ("table2_few_shot", {"rsna": "", "siim": "epochs 5 instead of 50"}),
        ("table3_segmentation", dict.fromkeys(("rsna", "siim"), "input size 32 instead of 224")),
    ):
        rows = csv.DictReader((output / "tables" / f"{name}.csv").read_text(encoding="utf-8").splitlines())
        assert {row["dataset"]: row["not_as_published"] for row in rows} == expected


def test_the_text_says_it(read: Inputs, tmp_path) -> None:
    text = text_summary("MLIP", read, paper_tables(read, Comparisons(20, 0), [], ()), [], tmp_path)
    assert re.search(rf"Table 2\..* in siim, protocol linear \(changed\): .*\n  {re.escape(EPOCHS)}\n", text)
    assert re.search(r"Table 2\..* in rsna, protocol linear: .*\n  variant ", text)
    assert re.search(rf"Table 3\..* in rsna, protocol linear \(changed\), .*\n  {re.escape(SIZE)}\n", text)


def always(stage, protocol: str) -> str:
    return f"Always different here: {'; '.join(stage.ALWAYS_DIFFERENT[protocol])}."


def test_what_is_always_different_stands_below_the_tables(read: Inputs, output) -> None:
    expected = {"table2": always(classification, "linear"), "table3": always(segmentation, "linear")}
    tables = [each for each in paper_tables(read, Comparisons(20, 0), [], ()) if each.name[:6] in expected]
    assert {table.name for table in tables} >= {"table2_rsna_linear", "table3_rsna_linear"}
    for table in tables:
        assert expected[table.name[:6]] in table.legend
        assert expected[table.name[:6]].split("'")[0] in as_markdown(table)
    page = html.unescape((output / "report.html").read_text(encoding="utf-8"))
    for note in expected.values():
        # once below the tables of its section, and once each in the methods and in their LaTeX
        assert page.count(f"<p>{note}</p>") == 1
        assert page.count(note) == 1 + 2


def test_the_methods_are_after_earlier_work_and_say_where_not(read: Inputs, built) -> None:
    text = " ".join(methods(read, read_provenance(built.layout)))
    assert "as earlier work did" not in text
    assert (
        "frozen, pooled tokens, after [@huang2021gloria; @wang2022mgca], on rsna (1, 10 % of the labels) and siim"
        in text
    )
    assert "In siim this is not the published protocol linear: epochs 5 instead of 50." in text
    assert "In rsna this is not the published protocol linear: epochs" not in text
    assert "In rsna this is not the published protocol linear: input size 32 instead of 224." in text


def test_the_tables_say_what_of_the_tokens_is_classified(tree) -> None:
    def notes() -> tuple[str, ...]:
        found = read_inputs(tree.layout)
        tables = {table.name: table for table in paper_tables(found, Comparisons(20, 0), [], ())}
        text = " ".join(methods(found, read_provenance(tree.layout)))
        assert pooling_note(found.pooling) in text
        assert not any("patch tokens" in note for note in tables["table3_rsna_linear"].legend)
        return tables["table2_rsna_linear"].legend

    assert "Classified is the mean of the patch tokens." in notes()
    for variant, image in (("mlip", {"input_size": 64}), ("random", {"pooling": "cls"})):
        place = tree.layout.folder("select_checkpoint", variant) / "checkpoint" / "config.json"
        write_checked_json(place, {"model": {"image": image}, "vocabulary": 9, "text_configuration": {}})
    assert "Classified is the mean of the patch tokens; of random it is [CLS]." in notes()


def test_a_few_shot_result_of_an_older_version_is_one_line(tree) -> None:
    place = next(tree.results.glob("few_shot_classification/*/*/*/*/result.json"))
    record = json.loads(place.read_text())
    del record["always_different"]
    write_checked_json(place, record)
    with pytest.raises(InputError, match=r"always_different: missing key.*run its stage again"):
        read_inputs(tree.layout)


def test_variants_of_different_protocols_are_not_compared(tree) -> None:
    tree.edit("few_shot_classification/random/rsna/linear/10/result.json", departures={"epochs": [2, 50]})
    with pytest.raises(InputError, match=r"random/rsna/linear/10/result\.json: measured .* with other settings"):
        read_inputs(tree.layout)
