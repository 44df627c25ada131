"""A mistake in the configuration is one line: the file that it stands in, the key, the nearest right name."""

import re
from functools import reduce
from pathlib import Path

import pytest
import yaml

from stages.common.errors import InputError, InputErrors
from stages.common.yaml_files import parse_yaml, read_mapping
from stages.config import check
from stages.config_layers import Layer, merged
from stages.configuration import Config
from stages.pretrain.contract import PretrainSettings

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.mark.parametrize(
    ("block", "line"),
    [
        (
            {"pretrain": {"optimisation": {"epoch": 3}}},
            "other.yaml: pretrain: optimisation.epoch: unknown key; remove it or correct its spelling "
            "(did you mean `epochs`?)",
        ),
        ({"pretrian": {}}, "other.yaml: pretrian: unknown key; remove it or correct its spelling "
                           "(did you mean `pretrain`?)"),
        ({"variants": {"clip": {"local": {"wieght": 1}}}},
         "other.yaml: variants.clip (over pretrain): local.wieght: unknown key; remove it or correct its spelling "
         "(did you mean `weight`?)"),
        ({"label_images": {"größe": 1}}, "other.yaml: label_images: größe: unknown key; remove it or correct its "
                                         "spelling"),
        ({"compare": ["mlip", "clipp"]}, "other.yaml: compare: 'clipp' is not a key of `variants`; add it there or "
                                         "correct the name (did you mean `clip`?)"),
    ],
)  # fmt: skip
def test_a_wrong_key_names_its_file_once_and_the_nearest_right_name(block: dict, line: str) -> None:
    with pytest.raises(InputErrors) as caught:
        check(merged(SHIPPED, block), [Layer("config.yaml", SHIPPED), Layer("other.yaml", block)])
    assert str(caught.value).splitlines() == [line]


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ({"compare": ["mlip", "clip", "mlip"]}, "compare: 'mlip' stands there twice: remove one"),
        ({"evaluate_on": ["rsna", "rsna"]}, "evaluate_on: 'rsna' stands there twice: remove one"),
        ({"few_shot_classification": {"fractions": [1, 10, 1]}},
         "few_shot_classification: fractions: 1 stands there twice: remove one"),
        ({"few_shot_segmentation": {"protocols": ["linear", "linear"]}},
         "few_shot_segmentation: protocols: 'linear' stands there twice: remove one"),
        ({"retrieval": {"recall_at": [5, 5]}}, "retrieval: recall_at: 5 stands there twice: remove one"),
        ({"workspace": "runs/it's"}, 'workspace: a path with "\'" cannot be used here'),
        ({"workspace": "~/runs"}, "workspace: a path with '~' cannot be used here"),
        ({"workspace": "/tmp/w{x}"}, "workspace: a path with '{' cannot be used here"),
        ({"workspace": "runs/$HOME;ls"}, "workspace: a path with '$' cannot be used here"),
        ({"workspace": "runs/a,b"}, "workspace: a path with ',' cannot be used here"),
        ({"workspace": "runs/a\nb"}, "workspace: a path with '\\n' cannot be used here"),
    ],
)  # fmt: skip
def test_sets_have_no_repeats_and_a_workspace_no_mark_that_a_shell_reads(block: dict, line: str) -> None:
    with pytest.raises(InputErrors) as caught:
        check(merged(SHIPPED, block), [Layer("config.yaml", SHIPPED), Layer("other.yaml", block)])
    assert [
        each.partition(" (given")[0].startswith(f"other.yaml: {line}") for each in str(caught.value).splitlines()
    ] == [True]


@pytest.mark.parametrize("name", ["a(b", "{x}", "", "..", "a/b", "a b", "a;b", "-a", "größe", "a\nb"])
@pytest.mark.parametrize("key", ["variants", "datasets"])
def test_a_name_becomes_a_folder_and_a_word_of_a_command_and_nothing_else(key: str, name: str) -> None:
    block = {key: {name: next(iter(SHIPPED[key].values()))}}
    with pytest.raises(InputErrors, match=rf"^other.yaml: {key}\..*: '.*' is no name: use A-Z") as caught:
        check(merged(SHIPPED, block), [Layer("config.yaml", SHIPPED), Layer("other.yaml", block)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "root", ["/data/{site}", "{}", "{0}", "/data/{x", "x}", "{workspace!z}", "{workspace.x}", "{{a}}"]
)
def test_a_root_knows_two_slots(root: str) -> None:
    block = {"datasets": {"rsna": {"root": root}}}
    with pytest.raises(
        InputErrors, match=r"^other.yaml: datasets.rsna.root: .* is no slot \(there are: {workspace}, {sam"
    ):
        check(merged(SHIPPED, block), [Layer("config.yaml", SHIPPED), Layer("other.yaml", block)])


OURS = {
    "root": "our_data",
    "index_inputs": {"layout": "folder", "table": "t.csv", "columns": {"image": "file", "patient": "p", "report": "r"}},
    "label_images": {"layout": "folder", "finding": "lung_opacity", "table": "l.csv",
                     "columns": {"image": "file", "target": "opacity"}},
    "zero_shot_classification": {"prompts": "stages/zero_shot_classification/prompts/rsna.yaml"},
    "phrase_grounding": {"prompts": "stages/phrase_grounding/prompts/rsna.yaml"},
}  # fmt: skip
BOTH = {"datasets": {"ours": OURS}, "pretrain_on": "ours", "evaluate_on": ["ours", "rsna"],
        "patient_split": {"test": 0.2}}  # fmt: skip
SHARES = {"train": 0.4, "validation": 0.3, "test": 0.3}


def checked(*blocks: dict) -> Config:
    layers = [Layer("config.yaml", SHIPPED), *(Layer(f"{number}.yaml", each) for number, each in enumerate(blocks))]
    return check(reduce(merged, (layer.values for layer in layers)), layers)


def labels_of_ours(block: dict) -> dict:
    return {"datasets": {"ours": {"label_images": block}}}


def test_labels_of_the_data_set_that_pre_training_reads_follow_its_split() -> None:
    config = checked(BOTH)
    labels, pairs = config.settings("label_images", "ours"), config.settings("pair_images_reports", "ours")
    assert labels.patient_split == pairs.patient_split
    assert labels.patient_split.test == 0.2
    assert config.settings("label_images", "rsna").patient_split is None
    assert checked(BOTH, {"pretrain_on": "mimic_cxr"}).settings("label_images", "ours").patient_split is None
    by_lists = checked(BOTH, labels_of_ours({"split_lists": {"table": "lists.csv"}}))
    assert by_lists.settings("label_images", "ours").patient_split is None
    of_pairs = checked(BOTH, {"pair_images_reports": {"patient_split": {"seed": 5}}})
    assert of_pairs.settings("label_images", "ours").patient_split.seed == 5


def test_another_data_set_follows_it_where_its_patients_are_the_same() -> None:
    config = checked(BOTH, {"datasets": {"rsna": {"label_images": {"patient_split": {}}}}})
    assert config.settings("label_images", "rsna").patient_split.test == 0.2


@pytest.mark.parametrize(
    ("block", "line"),
    [
        (labels_of_ours({"split": SHARES}), "1.yaml: datasets.ours.label_images.split: has no effect: "
         "pre-training reads ours, too, .*; remove it, and set the shares at the top level: `patient_split: "),
        ({"label_images": {"split": SHARES}, "evaluate_on": ["ours"]}, "1.yaml: label_images.split: has no effect"),
        (labels_of_ours({"patient_split": None}), "1.yaml: datasets.ours.label_images.patient_split: differs from the "
         "split of the pairs, .*; remove it, or set datasets.ours.audit_splits.allow_overlap: true"),
        (labels_of_ours({"patient_split": {"seed": 7}}), "1.yaml: datasets.ours.label_images.patient_split: differs"),
    ],
)  # fmt: skip
def test_two_splits_of_the_same_patients_are_refused_at_once(block: dict, line: str) -> None:
    with pytest.raises(InputErrors, match=f"^{line}") as caught:
        checked(BOTH, block)
    assert "\n" not in str(caught.value)


def test_a_split_of_its_own_is_followed_where_overlap_is_allowed() -> None:
    allowed = {"datasets": {"ours": {"audit_splits": {"allow_overlap": True}}}}
    config = checked(BOTH, labels_of_ours({"patient_split": None, "split": SHARES}), allowed)
    assert config.settings("label_images", "ours").patient_split is None
    assert config.settings("label_images", "ours").split.train == 0.4


@pytest.mark.parametrize("workspace", ["runs/a b", "/größe/ü", "runs/x=1+y@2-.d"])
def test_blanks_and_accents_are_no_mistake(workspace: str) -> None:
    config = check(merged(SHIPPED, {"workspace": workspace}))
    assert config.workspace == workspace


def test_settings_are_validated_once_and_have_the_stages_own_type() -> None:
    config = check(SHIPPED)
    settings = config.settings(PretrainSettings, variant="mlip")
    assert settings is config.settings("pretrain", variant="mlip")
    assert isinstance(settings, PretrainSettings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n\tb: 1\n", r"x\.yaml: not valid YAML: line 2, column 1: .*; indent with spaces, not tabs"),
        ("a: 1\nb: 2\na: 3\n", r"x\.yaml: not valid YAML: line 3, column 1: key 'a' twice; correct it"),
        ("a: [1\n", r"x\.yaml: not valid YAML: line 2"),
        ("a: 2024-13-01\n", r"x\.yaml: not valid YAML: line 1, column 4: '2024-13-01' is no timestamp \(month must be"),
        ("a: 1\nb: !!bool foo\n", r"line 2, column 4: 'foo' is no bool"),
        ("a: 1\nb: !!int ''\n", r"line 2, column 4: '' is no int"),
        ("a: 1\nb: \x00\n", r"line 2: the character '\\x00'; remove it"),
        ("no: 1\noff: 2\n", r"line 2, column 1: key 'off' twice, first as 'no'; quote it if it is a word"),
        ("1: a\n1.0: b\n", r"line 2, column 1: key '1.0' twice, first as '1'"),
        ("[" * 5000 + "]" * 5000, r"nested too deep"),
    ],
)
def test_yaml_that_cannot_be_read_names_file_and_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_yaml(text, "x.yaml")
    assert "\n" not in str(caught.value)


OWN_TABLE = {"layout": "folder", "table": "t.csv", "columns": {"image": "file", "view": ["view", "view"]}}


@pytest.mark.parametrize(
    ("block", "line"),
    [
        (
            {"datasets": {"rsna": {"evaluations": "Auto"}}},
            "datasets.rsna.evaluations: Input should be 'auto' or a valid list (given: 'Auto')",
        ),
        (
            {"datasets": {"rsna": {"evaluations": [1]}}},
            "datasets.rsna.evaluations.0: Input should be a valid string (given: 1)",
        ),
        (
            {"datasets": {"rsna": {"index_inputs": OWN_TABLE}}},
            "datasets.rsna.index_inputs: columns.view: 'view' stands there twice: remove one",
        ),
        (
            {"split_reports": {"headers": {False: "findings"}}},
            "split_reports: headers.False: Input should be a valid string (given: False); quote it",
        ),
        (
            {"datasets": {"mimic_cxr": {"split_reports": {"headers": {False: "findings"}}}}},
            "datasets.mimic_cxr.split_reports: headers.False: Input should be a valid string (given: False); quote it",
        ),
    ],
)
def test_the_file_that_writes_a_value_of_several_kinds_or_a_key_that_is_no_text_is_named(
    block: dict, line: str
) -> None:
    with pytest.raises(InputErrors) as caught:
        check(merged(SHIPPED, block), [Layer("config.yaml", SHIPPED), Layer("other.yaml", block)])
    lines = str(caught.value).splitlines()
    assert all(each.startswith("other.yaml: ") and "[" not in each.partition(" (given")[0] for each in lines)
    assert [each for each in lines if each.startswith(f"other.yaml: {line}")]


@pytest.mark.parametrize(
    ("text", "value"),
    [*((text, text) for text in ("0512", "2:08", "1:30:00", "-010", "00.5", "1:30.5", "1e-3")),
     ("0", 0), ("-0", 0), ("0.5", 0.5), ("10", 10), ("0x1f", 31), ("1_000", 1000), ("2.5e-4", 0.00025),
     ("2.5e+4", 25000.0), ("'0512'", "0512"), (".5", 0.5)],
)  # fmt: skip
def test_numbers_of_yaml_are_those_that_people_write(text: str, value: object) -> None:
    read = parse_yaml(f"a: {text}", "x.yaml")["a"]
    assert (type(read), read) == (type(value), value)


def test_a_number_that_snakemake_reads_otherwise_is_refused_as_it_is_written() -> None:
    text = "{dicom_to_arrow: {size: 0512}}"
    by_snakemake = merged(SHIPPED, yaml.safe_load(text))
    assert by_snakemake["dicom_to_arrow"]["size"] == 330
    with pytest.raises(InputErrors) as caught:
        check(by_snakemake, [Layer("config.yaml", SHIPPED), Layer("other.yaml", parse_yaml(text, "other.yaml"))])
    assert str(caught.value) == "other.yaml: dicom_to_arrow: size: '0512': write the number without leading zeros"


@pytest.mark.parametrize("content", [b"", b"- 1\n", b"text\n", b"\xff\xfe", None])
def test_what_is_no_mapping_is_refused_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "config.yaml"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(str(path))) as caught:
        read_mapping(path, "correct it")
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_nobody_cuts_the_text_of_an_error() -> None:
    cuts = re.compile(r"""\b(r?partition|r?split)\(["'];\s?["']\)|remedy=f?["'];""")
    holders = [ROOT / "stages", ROOT / "workflow"]
    cut = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for holder in holders
        for path in holder.rglob("*.py")
        for line in path.read_text().splitlines()
        if cuts.search(line) and "error" in line
    ]
    assert cut == []


def test_no_error_holds_its_remedy_in_its_text() -> None:
    inline = re.compile(r'InputError\(\s*f?"[^"]*[\w)`]; [^"]*"\s*\)')
    found = [
        str(path.relative_to(ROOT))
        for holder in ("stages", "workflow")
        for path in (ROOT / holder).rglob("*.py")
        if inline.search(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("blocks", "sources"),
    [  # pot and epsilon contradict each other, wherever each of them stands
        ([{"pretrain": {"local": {"solver": "pot", "rho": 1.0}}}, {"pretrain": {"local": {"epsilon": 0.001}}}],
         "0.yaml, 1.yaml"),
        ([{"pretrain": {"local": {"solver": "pot", "rho": 1.0, "epsilon": 0.001}}}, {"pretrain": {"mask_ratio": 0.5}}],
         "0.yaml"),
        ([{"variants": {"mlip": {"local": {"solver": "pot", "rho": 1.0}}}}, {"pretrain": {"local": {"epsilon": 0.001}}},
          {"pretrain": {"local": {"weight": 0.5}}}], "0.yaml, 1.yaml"),
    ],
)  # fmt: skip
def test_values_that_contradict_each_other_name_the_files_of_these_keys(blocks: list[dict], sources: str) -> None:
    with pytest.raises(InputErrors, match="solver: pot underflows for epsilon") as caught:
        checked(*blocks)
    [line] = dict.fromkeys(str(caught.value).splitlines())
    assert line.startswith(f"{sources}: ")
