"""Quoted figures carry their source, are scaled once, and a wrong file is one line."""

import dataclasses
from pathlib import Path

import pytest

from stages.common.errors import InputError
from stages.common.files.code_digest import ROOT
from stages.summarize.provenance import read_provenance
from stages.summarize.results_tree import FewShotJob
from stages.summarize.sections.methods import methods
from stages.summarize.tables.quoted import quoted_blocks, read_quotations, shown
from stages.summarize.works import METHODS, REFERENCES

SHIPPED = ROOT / "stages/summarize/tables/quoted.yaml"


def test_the_shipped_file_is_whole() -> None:
    quotations = read_quotations(SHIPPED)
    assert {each.data_set for each in quotations} == {"rsna", "siim"}
    for each in quotations:
        for figures in each.rows.values():
            assert set(figures) <= {1, 10, 100}
            assert all(0.5 < value / each.scale < 1 for value in figures.values())


def test_blocks_are_those_of_the_table_asked_for() -> None:
    blocks = quoted_blocks(read_quotations(SHIPPED), "few_shot_classification", "rsna", "finetune")
    assert [block.kind for block in blocks] == ["quoted"]
    maco = blocks[0].rows[0]
    assert (maco.label, maco.cells["auc_1"].value, maco.cells["auc_1"].bold) == ("MaCo", 0.915, False)
    assert "MaCo" in blocks[0].source
    (benchx,) = quoted_blocks(read_quotations(SHIPPED), "few_shot_classification", "rsna", "benchx")
    assert set(benchx.rows[0].cells) == {"f1_1", "f1_10", "f1_100"}
    assert quoted_blocks(read_quotations(SHIPPED), "few_shot_classification", "rsna", "linear") == ()
    assert quoted_blocks(read_quotations(SHIPPED), "few_shot_classification", "ours", "finetune") == ()


def test_every_quoted_name_and_source_has_its_work() -> None:
    quotations = read_quotations(SHIPPED)
    assert {each.cite for each in quotations} <= set(REFERENCES)
    assert {name for each in quotations for name in each.rows} == set(METHODS)
    assert set(METHODS.values()) <= set(REFERENCES)


def test_the_methods_cite_what_the_tables_of_this_run_quote(read, built) -> None:
    def cites(*jobs: FewShotJob, synthetic: tuple[str, ...] = ()) -> str:
        tree = dataclasses.replace(built.layout, few_shot_jobs=jobs, segmentation_jobs=())
        quoted = shown(read_quotations(SHIPPED), tree, synthetic)
        return methods(read, read_provenance(built.layout), quoted)[-1].partition("The tables quote")[2]

    both = cites(FewShotJob("rsna", "finetune", 10), FewShotJob("rsna", "benchx", 10))
    assert "ConVIRT [@zhang2022convirt]" in both
    assert "as [@huang2024maco; @zhou2024benchx] print them; they were not measured here." in both
    assert "as [@zhou2024benchx] print them" in cites(FewShotJob("siim", "benchx", 100))
    assert "ConVIRT" not in cites(FewShotJob("siim", "benchx", 100))
    assert not cites(FewShotJob("siim", "finetune", 100))
    assert not cites(FewShotJob("rsna", "linear", 10), FewShotJob("rsna", "finetune", 50))
    assert not cites(FewShotJob("rsna", "finetune", 10), synthetic=("rsna",))


@pytest.mark.parametrize(("text", "message"), [("- {table: x}", "0.table"), ("[", "not valid YAML"), ("{}", "list")])
def test_a_wrong_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "quoted.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_quotations(path)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="cannot be read"):
        read_quotations(tmp_path / "absent.yaml")
