"""Prompt files: slots are filled in every way, errors are one line."""

from collections import Counter
from pathlib import Path

import pytest

from stages.common.data.prompts import fill, read_prompts
from stages.common.errors import InputError
from stages.common.files.code_digest import ROOT


def test_slots_are_filled_in_every_way() -> None:
    slots = {"side": ["right", "left"], "zone": ["upper", "lower"], "unused": ["x"]}
    assert fill("{side} {zone}", slots) == ["right upper", "right lower", "left upper", "left lower"]
    assert fill("{side} or {side}", slots) == ["right or right", "left or left"]
    assert fill("plain", slots) == ["plain"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("finding: x\nsets: {a: {positive: ['{place}']}}", "{place} is no slot (there are: none)"),
        *(
            (f"finding: x\nslots: {{x: [a]}}\nsets: {{a: {{positive: ['{template}']}}}}", "is no slot (there are: {x})")
            for template in ("a {place", "a {}", "a }", "{x:d}", "{x!z}", "{0}", "{x.y}", "{{x}}")
        ),
        ("finding: x\nslots: {x: []}\nsets: {a: {positive: ['{x}']}}", "slots.x"),
        ("finding: x\nsets: {a: {positive: [yes]}}", "sets.a.positive.0"),
        ("finding: x\nsets: {}", "sets"),
        ("finding: x\nsets: {a: {positive: []}}", "positive"),
        ("finding: x\nsets: {a: {positives: [b]}}", "unknown key"),
        *(
            (f"finding: x\nsets: {{a: {{positive: [b], negative: [c, {text!r}]}}}}", "sets.a.negative.1: ")
            for text in ("", "  ", "...", "b", " B. ")
        ),
        ("finding: x\nsets: {a: {positive: ['']}}", "sets.a.positive.0: '' has no word: write one or remove it"),
        ("finding: x\nslots: {s: [a, ' ']}\nsets: {a: {positive: ['{s} b']}}", "slots.s.1: ' ' has no word"),
        (
            "finding: x\nslots: {s: [left, right]}\nsets: {a: {positive: ['On the {s}.'], negative: [on the right]}}",
            "sets.a.negative.0: 'on the right' is among `positive`, too: remove one",
        ),
        ("finding: [", "not valid YAML"),
        ("findings: {}", "findings"),
        ("findings: {a b: {sets: {a: {positive: [b]}}}}", "'a b' is no name"),
        ("findings: {x: {sets: {a: {positive: ['{side} b']}}}}", "findings.x: sets.a: "),
        ("findings: {x: {sets: {a: {positive: [b]}}}}\nfinding: y", "finding: unknown key"),
        ("slots: [a]\nfindings: {x: {sets: {a: {positive: [b]}}}}", "slots"),
        ("findings: [x]", "findings"),
        ("slots: {s: [y]}\nfindings: {a: {slots: [q], sets: {a: {positive: [b]}}}}", "findings.a.slots"),
        ("sets: {a: {positive: [b]}}", "finding: missing key"),
    ],
)
def test_a_wrong_file_is_one_line_with_its_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_prompts(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.yaml: cannot be read"):
        read_prompts(tmp_path / "absent.yaml")


def test_a_set_that_denies_nothing_is_refused_where_images_are_classified(tmp_path: Path) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text("{finding: x, sets: {a: {positive: [b], negative: [c]}, lone: {positive: [b]}}}")
    assert list(read_prompts(path)["x"].sets) == ["a", "lone"]  # of places alone one may ask
    with pytest.raises(InputError, match=r"prompts\.yaml: set lone has no `negative` prompts"):
        read_prompts(path, denying=True)


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("stages/*/prompts/*.yaml")), ids=lambda path: f"{path.parts[-3]}-{path.stem}"
)
def test_shipped_files_are_valid_and_the_claim_of_grounding_rests_on_prompts_that_favour_no_place(path: Path) -> None:
    for file in read_prompts(path, denying="zero_shot_classification" in path.parts).values():
        assert all(each.positive for each in file.expanded().values())
        if "phrase_grounding" not in path.parts:
            continue
        assert next(iter(file.sets)) in ("all_places", "no_place")  # the set that is shown
        for name, each in file.expanded().items():
            assert each.negative
            words = Counter(" ".join(each.positive).lower().replace(".", "").split())
            places = {"right", "left", "upper", "mid", "lower", "apical", "base", "basal"} & set(words)
            if name == "all_places":
                assert places <= {"right", "left", "upper", "mid", "lower"}
                assert words["right"] == words["left"] > 0
                assert words["upper"] == words["mid"] == words["lower"]
                places = set()
            assert bool(places) == bool(file.slots_of(name, ("side", "zone")))


def test_slots_can_be_fixed_to_one_word(tmp_path: Path) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text("{finding: x, slots: {side: [right, left], o: [a, b]}, sets: {s: {positive: ['{side} {o}']}}}")
    file = read_prompts(path)["x"]
    assert file.expanded(side="left")["s"].positive == ["left a", "left b"]
    assert file.slots_of("s", ("side", "zone")) == ("side",)
    assert file.slots_of("s", ("zone",)) == ()


def test_a_set_that_names_places_in_some_phrases_only_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text("{finding: x, slots: {side: [right]}, sets: {s: {positive: ['{side} a', 'a']}}}")
    with pytest.raises(InputError, match="set s: some affirming prompts fill side and others do not"):
        read_prompts(path)["x"].slots_of("s", ("side",))


def test_a_file_of_several_findings_shares_its_slots(tmp_path: Path) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text(
        "slots: {side: [right, left]}\nfindings:\n"
        "  edema: {sets: {s: {positive: ['{side} edema'], negative: [clear]}}}\n"
        "  effusion: {slots: {side: [both]}, sets: {s: {positive: ['{side} effusion']}}}\n"
    )
    prompts = read_prompts(path)
    assert list(prompts) == ["edema", "effusion"]
    assert prompts["edema"].expanded()["s"].positive == ["right edema", "left edema"]
    assert prompts["effusion"].expanded()["s"].positive == ["both effusion"]
    with pytest.raises(InputError, match="set s of effusion has no `negative` prompts"):
        read_prompts(path, denying=True)
