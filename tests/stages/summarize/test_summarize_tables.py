"""The tables say what the inputs say, digit by digit."""

import csv
import io
import json

from stages.common.files.atomic_files import write_json, write_sidecar
from stages.common.records import Estimate
from stages.summarize.inputs import read_inputs
from stages.summarize.ledger import read_ledger
from stages.summarize.numbers import interval
from stages.summarize.tables.all_tables import paper_tables, text_summary
from stages.summarize.tables.comparisons import Comparisons
from stages.summarize.tables.flat_rows import retrieval_rows, rows_as_csv
from stages.summarize.tables.writers import aligned


def text_of(inputs, synthetic, report):
    return text_summary("MLIP", inputs, paper_tables(inputs, Comparisons(20, 0), [], synthetic), synthetic, report)


def rows_of(output, name):
    return list(csv.DictReader((output / "tables" / name).read_text(encoding="utf-8").splitlines()))


def test_table_1_has_the_values_of_every_result(built, output):
    rows = rows_of(output, "table1_zero_shot.csv")
    assert [(row["dataset"], row["variant"]) for row in rows] == [
        ("rsna", "mlip"), ("rsna", "random"), ("siim", "mlip"), ("siim", "random")
    ]  # fmt: skip
    for row in rows:
        place = built.results / "zero_shot_classification" / row["variant"] / row["dataset"] / "result.json"
        result = json.loads(place.read_text())
        for name, estimate in result["metrics"].items():
            found = [float(row[name]), float(row[f"{name}_low"]), float(row[f"{name}_high"])]
            assert found == [estimate["value"], estimate["low"], estimate["high"]]
        [(finding, result)] = result["findings"].items()
        assert (row["finding"], row["resampled_by"]) == (finding, "patient")
        assert row["prompt_set"] == result["prompt_set"]
        assert int(row["test_images"]) == result["test_images"]
        assert int(row["test_positives"]) == result["test_positives"]
        assert float(row["threshold"]) == result["threshold"]
        assert float(row["validation_auc"]) == result["validation_auc"][result["prompt_set"]]


def test_table_2_has_the_values_of_every_result(built, output):
    rows = rows_of(output, "table2_few_shot.csv")
    assert [(row["dataset"], row["fraction"], row["variant"]) for row in rows] == [
        (dataset, fraction, variant)
        for dataset in ("rsna", "siim") for fraction in ("1", "10") for variant in ("mlip", "random")
    ]  # fmt: skip
    for row in rows:
        place = f"{row['variant']}/{row['dataset']}/{row['protocol']}/{row['fraction']}"
        result = json.loads((built.results / "few_shot_classification" / place / "result.json").read_text())
        for name in ("auc", "average_precision", "f1", "accuracy"):
            found = {end: row[f"{name}{end}"] for end in ("", "_low", "_high", "_spread")}
            if result["skipped"]:
                assert set(found.values()) == {""}
            else:
                names = {"": "value", "_low": "low", "_high": "high", "_spread": "spread"}
                assert {end: float(cell) for end, cell in found.items()} == {
                    end: result["metrics"][name][key] for end, key in names.items()
                }
        assert row["skipped"] == (result["skipped"] or "")
        assert int(row["seeds"]) == len(result["seeds"])
        assert {kind: int(row[kind]) for kind in result["overlap"]} == result["overlap"]
        for part in ("train", "test"):
            assert {key: int(row[f"{part}_{key}"]) for key in ("images", "positives")} == result["images"][part]
    assert [row["skipped"] != "" for row in rows] == [False] * 4 + [True] * 2 + [False] * 2


def test_retrieval_has_the_values_of_every_result(built, output):
    rows = rows_of(output, "retrieval.csv")
    assert [(row["variant"], row["direction"]) for row in rows] == [
        (variant, direction) for variant in ("mlip", "random") for direction in ("image_to_report", "report_to_image")
    ]
    for row in rows:
        result = json.loads((built.results / "retrieval" / row["variant"] / "result.json").read_text())["figures"]
        direction = result[row["direction"]]
        measured = {f"recall_at_{k}": figure for k, figure in direction["recall"].items()}
        for name, figure in (measured | {"median_rank": direction["median_rank"]}).items():
            assert float(row[name]) == figure["value"]
            for end in ("low", "high", "chance"):
                assert float(row[f"{name}_{end}"]) == figure[end]
        for name in ("queries", "candidates"):
            assert int(row[name]) == direction[name]
        for name in ("images", "reports", "patients", "distinct_texts"):
            assert int(row[name]) == result[name]


def test_retrieval_that_was_skipped_says_why(tree, tmp_path):
    for variant in tree.variants:
        path = tree.layout.folder("retrieval", variant) / "result.json"
        write_json(path, {"split": "test", "skipped": "no pair", "figures": None})
        write_sidecar(path)
    read = read_inputs(tree.layout)
    assert retrieval_rows(read) == [
        {"variant": variant, "split": "test", "skipped": "no pair"} for variant in tree.variants
    ]
    assert "random (untrained): not measured, no pair" in text_of(read, [], tmp_path)


def test_the_text_shows_skipped_cells_overlap_and_a_single_seed(tree, tmp_path):
    place = "few_shot_classification/mlip/rsna/linear/10/result.json"
    result = json.loads((tree.results / place).read_text())
    figure = result["metrics"]["auc"] | {"spread": None}
    overlap = result["overlap"] | {"copies_in_several_parts": 3}
    for variant in tree.variants:
        tree.edit(place.replace("mlip", variant), metrics=result["metrics"] | {"auc": figure}, overlap=overlap)
    text = text_of(read_inputs(tree.layout), [], tmp_path)
    value = interval(Estimate.model_validate(figure))
    assert text.count(f"{value}; copies in several parts: 3") == 2
    assert text.count("- the subset has 2 images, all with target 0: a classifier needs both") == 2
    assert "10 %, 20 images (" in text


def test_pointing_has_the_values_of_every_result(built, output):
    rows = rows_of(output, "pointing.csv")
    assert len(rows) == 4
    for row in rows:
        place = f"phrase_grounding/{row['variant']}/{row['dataset']}/result.json"
        game = built.only(place)["pointing"][row["prompt_set"]]
        assert set(game) == {"heatmap", "heatmap_in_lung", "random_in_lung", "random_in_content",
                             "fixed_peak_of_training", "word_prior", "brightness", "random_encoders",
                             "supervised_probe", "brightness_in_lung", "random_encoders_in_lung"}  # fmt: skip
        assert (game.pop("word_prior"), row["word_prior"]) == (None, "")  # the prompts name no place
        assert (game.pop("random_in_content"), row["random_in_content"]) == (None, "")  # the lungs are known
        for name, estimate in game.items():
            found = [float(row[name]), float(row[f"{name}_low"]), float(row[f"{name}_high"])]
            assert found == [estimate["value"], estimate["low"], estimate["high"]]


def test_integrity_selection_and_rejects(built, output):
    phi = built.only("phrase_grounding/mlip/rsna/result.json")["integrity_map"]
    row = rows_of(output, "integrity_map.csv")[0]
    assert {key: float(row[key]) for key in ("lung_auc", "smallest", "largest", "standard_deviation")} == {
        key: phi[key] for key in ("lung_auc", "smallest", "largest", "standard_deviation")
    }
    selection = rows_of(output, "selection.csv")
    assert [(row["variant"], row["step"], row["score"]) for row in selection if row["chosen"] == "1"] == [
        ("mlip", "675", "0.27"), ("random", "0", "0.034")
    ]  # fmt: skip
    assert [tuple(row.values()) for row in rows_of(output, "rejects.csv")] == [
        ("dicom_to_arrow", "mimic_cxr", "file_missing", "2"),
        ("dicom_to_arrow", "mimic_cxr", "not_dicom", "1"),
        ("split_reports", "mimic_cxr", "no_sentence", "2"),
        ("pair_images_reports", "mimic_cxr", "image_without_report", "3"),
        ("pair_images_reports", "mimic_cxr", "report_without_image", "1"),
        ("label_images", "rsna", "image_without_label", "1"),
        ("label_images", "siim", "image_without_label", "1"),
    ]


def test_what_is_null_is_an_empty_cell_and_a_table_without_rows_has_its_header():
    assert rows_as_csv([{"a": None, "b": 0.1}]) == "a,b\n,0.1\n"
    assert rows_as_csv([], ["a", "b"]) == "a,b\n"


def test_the_ledger_reconciles(read):
    ledger = read_ledger(read)
    for each in ledger.images:
        assert each.indexed == each.images + sum(reject.count for reject in each.rejects)
    reports, audit = read.reports, read.pairs.audit
    assert reports.indexed == audit.reports + sum(reject.count for reject in reports.rejects) == 1502
    assert reports.sentences == 4500


def test_the_text_names_all_four_pointers_and_the_report(read, tmp_path):
    text = text_of(read, ["rsna"], tmp_path / "report.html")
    auc = read.zero_shot[0].result.metrics["auc"].value
    for words in ("heatmap of mlip", "heatmap of random (untrained)", "random point in the lungs",
                  "fixed peak of the training masks", f"{auc:.3f}"[1:], ".871", "Synthetic patients in rsna",
                  str(tmp_path / "report.html")):  # fmt: skip
        assert words in text
    assert text.isascii()
    assert "Synthetic" not in text_of(read, [], tmp_path)


def test_columns_are_aligned():
    lines = aligned([("a", "bb", "c"), ("aaa", "b", "cc")])
    assert lines == ["  a    bb  c", "  aaa  b   cc"]
    assert list(csv.reader(io.StringIO(rows_as_csv([{"a": 'x,"y"'}]))))[1] == ['x,"y"']
