"""Citations: every mark has its entry, every entry is cited, and the BibTeX is BibTeX."""

import re

import pytest

from stages.common.files.code_digest import ROOT
from stages.summarize.provenance import read_provenance
from stages.summarize.references import SOFTWARE, as_latex, as_prose, cited, software
from stages.summarize.sections.methods import methods
from stages.summarize.works import METHODS, REFERENCES

KNOWN = REFERENCES | {SOFTWARE: software("0123456", 2025)}
COMMON = {"author", "title", "year"}
REQUIRED = {"article": COMMON | {"journal"}, "inproceedings": COMMON | {"booktitle"}, "misc": COMMON}


def parsed(text):
    """Entries of BibTeX by key: (kind, fields), by its grammar, values in braces alone; what is none fails."""
    entries, place = {}, 0
    while text[place:].strip():
        head = re.compile(r"\s*@(\w+)\{([^\s,{}]+),").match(text, place)
        assert head, text[place : place + 80]
        place, fields = head.end(), {}
        while not (end := re.compile(r"\s*\}").match(text, place)):
            name = re.compile(r"\s*(\w+)\s*=\s*\{").match(text, place)
            assert name, text[place : place + 80]
            start = place = name.end()
            depth = 1
            while depth:
                depth += {"{": 1, "}": -1}.get(text[place], 0)
                place += 1
            assert name.group(1) not in fields
            fields[name.group(1)] = text[start : place - 1]
            if text[place] == ",":
                place += 1
        assert head.group(2) not in entries
        entries[head.group(2)] = (head.group(1), fields)
        place = end.end()
    return entries


@pytest.fixture
def paragraphs(built, read):
    return methods(read, read_provenance(built.layout))


def test_every_entry_is_whole_bibtex_in_ascii():
    text = "\n".join(each.bibtex() for each in KNOWN.values())
    entries = parsed(text)
    assert entries.keys() == KNOWN.keys()
    assert text.isascii()
    for kind, fields in entries.values():
        assert REQUIRED[kind] <= fields.keys()
        assert all(fields.values())
        assert re.fullmatch(r"(19|20)\d\d", fields["year"])
        assert all("," in author or author == "others" or author.startswith("{") for author in
                   fields["author"].split(" and "))  # fmt: skip


def test_what_the_methods_cite_is_what_the_bibtex_holds(paragraphs):
    works = cited(paragraphs, KNOWN)
    assert {"liu2024mlip", "boecking2022biovil", SOFTWARE, "cuturi2013sinkhorn", "he2022mae", "holm1979"} <= {
        each.key for each in works
    }
    assert not re.search(r"\[@|@\w", " ".join(as_prose(each, KNOWN) for each in paragraphs)), "a mark is left"
    latex = "\n".join(as_latex(each, KNOWN) for each in paragraphs)
    keys = {key for mark in re.findall(r"\\cite\{([^}]+)\}", latex) for key in mark.split(",")}
    assert keys == {each.key for each in works} == parsed("\n".join(each.bibtex() for each in works)).keys()


def test_a_work_is_cited_where_its_part_of_the_method_ran(tree):
    from stages.summarize.inputs import read_inputs

    def keys():
        return {each.key for each in cited(methods(read_inputs(tree.layout), read_provenance(tree.layout)), KNOWN)}

    place = "pretrain/mlip/journal.json"
    params = read_provenance(tree.layout).run("pretrain", "mlip").params
    assert "he2022mae" in keys()
    assert "chizat2018unbalanced" not in keys()
    tree.edit(place, params=params | {"reconstruction.weight": "0.0", "local.rho": "0.1"})
    assert "he2022mae" not in keys()
    assert "chizat2018unbalanced" in keys()
    assert "johnson2019mimiccxr" not in keys()  # drawn by make_phantom: no data set of anybody
    tree.edit("index_inputs/mimic_cxr/journal.json", inputs={}, params={"layout": "mimic_cxr"})
    assert {"johnson2019mimiccxr", "goldberger2000physionet"} <= keys()
    assert "wang2017chestxray" not in keys()
    tree.edit("index_inputs/siim/journal.json", inputs={}, params={"layout": "siim"})
    assert {"zawacki2019siim", "wang2017chestxray"} <= keys()


def test_no_entry_stands_idle():
    """Every one is cited by some run: its key stands in a text that the methods are made of."""
    texts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "stages/summarize").rglob("*.py")
                    if path.name != "references.py")  # fmt: skip
    quoted = (ROOT / "stages/summarize/tables/quoted.yaml").read_text(encoding="utf-8")
    assert {key for key in REFERENCES if key not in texts + quoted and key not in METHODS.values()} == set()


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("huang2024maco", "volume = {15},\n  pages = {7620}"),
        ("chizat2018unbalanced", "volume = {87},\n  number = {314},\n  pages = {2563--2609}"),
        ("zhang2018excitation", "volume = {126},\n  number = {10},\n  pages = {1084--1102}"),
    ],
)
def test_a_journals_pages_are_told(key, place):
    assert place in REFERENCES[key].bibtex()


def test_the_page_holds_both_ready_to_paste(output, paragraphs):
    html = (output / "report.html").read_text(encoding="utf-8")
    found = re.search(r'aria-label="Citations in BibTeX">(.*?)</pre>', html, re.DOTALL)
    assert parsed(found.group(1)).keys() == {each.key for each in cited(paragraphs, KNOWN)}
    assert r"\cite{cuturi2013sinkhorn}" in html
    assert "(Cuturi, 2013)" in html


def test_labels_and_marks_by_hand():
    assert [KNOWN[key].label for key in ("cuturi2013sinkhorn", "loshchilov2019adamw", "molder2021snakemake")] == [
        "Cuturi, 2013", "Loshchilov and Hutter, 2019", "M\u00f6lder et al., 2021"
    ]  # fmt: skip
    text = "50 % of a_b [@holm1979; @he2022mae]."
    assert as_prose(text, KNOWN) == "50 % of a_b (Holm, 1979; He et al., 2022)."
    assert as_latex(text, KNOWN) == r"50 \% of a\_b \cite{holm1979,he2022mae}."
    assert as_prose("[@unknown]", KNOWN) == "[@unknown]"
    assert as_latex("[@unknown]", KNOWN) == "[@unknown]"
    assert r"Doll{\'a}r" in KNOWN["he2022mae"].bibtex()
