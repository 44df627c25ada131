"""What zero-shot gives with prompts that no label chose stands beside what the chosen ones give."""

import pytest

from stages.common.errors import InputError
from stages.common.files.atomic_files import read_json, write_checked_json
from stages.summarize.inputs import read_inputs
from stages.summarize.tables.all_tables import paper_tables
from stages.summarize.tables.comparisons import Comparisons


def test_prompts_that_nobody_chose_stand_beside_the_chosen_ones(read, output) -> None:
    table = next(each for each in paper_tables(read, Comparisons(20, 0), [], ()) if each.task == "zero_shot")
    columns = {column.key: column for column in table.columns}
    assert [key for key in columns if key.startswith("auc_of_")] == ["auc_of_there_is", "auc_of_phrasings_and_places"]
    assert (columns["auc_of_there_is"].shown, columns["auc_of_phrasings_and_places"].shown) == (True, False)
    for row, each in zip(table.blocks[0].rows, [one for one in read.zero_shot if one.dataset == "rsna"], strict=True):
        for name, figure in each.result.only.test_auc.items():
            shown = row.cells[f"auc_of_{name}"]
            assert (shown.value, shown.low, shown.high, shown.bold) == (figure.value, figure.low, figure.high, False)
        assert each.result.only.prompt_set == "phrasings_and_places"  # the other one is half as noisy in these records
    assert any("which no label chose" in note for note in table.legend)
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "every other set&#39;s AUC on it is told as not selected" in page
    start = page.index("AUC on the test part with each set of prompts</span>")
    assert page[start : page.index("</table>", start)].count('<span class="ci">chosen</span>') == 2


def test_variants_with_other_sets_of_prompts_are_not_compared(tree) -> None:
    place = "zero_shot_classification/random/rsna/result.json"
    auc = tree.only(place)["test_auc"]
    tree.edit_only(place, test_auc={name: auc[name] for name in ["phrasings_and_places"]})
    with pytest.raises(InputError, match=r"random/rsna/result\.json: measured on other images or prompts"):
        read_inputs(tree.layout)
    tree.edit_only(place, test_auc=auc | {"phrasings_and_places": auc["there_is"]})
    with pytest.raises(InputError, match=r"test_auc of the chosen set phrasings_and_places is not the AUC"):
        read_inputs(tree.layout)


def test_a_result_of_an_older_version_is_one_line_that_names_the_file_and_what_to_run_again(tree) -> None:
    path = tree.results / "zero_shot_classification/mlip/rsna/result.json"
    record = read_json(path)
    del record["findings"]
    write_checked_json(path, record)
    with pytest.raises(
        InputError, match=r"mlip/rsna/result\.json: findings: missing key.*run its stage again"
    ) as error:
        read_inputs(tree.layout)
    assert "\n" not in str(error.value)
