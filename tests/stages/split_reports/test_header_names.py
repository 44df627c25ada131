"""Header names as configuration: a list for every language, names of the user, other scripts."""

from typing import get_args

import pytest

from stages.split_reports.header_search import find_headers
from stages.split_reports.headers import SECTIONS, Language, header_names
from stages.split_reports.sections import read_sections
from stages.split_reports.sentences import fold, split_sentences

REPORTS = {
    "english": "INDICATION: Cough.\nFINDINGS: a.\nIMPRESSION: b.",
    "spanish": "ANTECEDENTES: tos.\nHALLAZGOS: a.\nImpresión diagnóstica: b.",
    "french": "Indication : toux.\n\nRésultats : a.\nConclusion : b.",
    "german": "Klinische Angaben: Husten.\nBefund: a.\nBeurteilung: b.",
    "italian": "Quesito clinico: tosse.\nReperti: a. CONCLUSIONI: b.",
    "portuguese": "Indicação: tosse.\nACHADOS: a.\nIMPRESSAO: b.",
    "dutch": "Vraagstelling: hoest.\nBevindingen: a. Conclusie: b.",
}


def content(text, names):
    kept = read_sections(text, ["findings", "impression"], "reject", names).kept
    return [(section.name, fold(text[section.start : section.end])) for section in kept]


@pytest.mark.parametrize("language", get_args(Language))
def test_every_language(language):
    assert content(REPORTS[language], header_names(language)) == [("findings", "a."), ("impression", "b.")]
    assert set().union(*header_names(language).sections.values()) <= set(SECTIONS)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("spanish", "HALLAZGOS: a.\nIMPRESIÓN PRELIMINAR: b."),
        ("french", "Résultats : a.\nConclusion provisoire : b."),
        ("german", "ABDOMEN BEFUND: a.\nVorläufige Beurteilung: b."),
        ("dutch", "Bevindingen: a.\nVoorlopige conclusie: b."),
    ],
)
def test_words_beside_a_name_that_are_part_of_it(language, text):
    assert content(text, header_names(language)) == [("findings", "a."), ("impression", "b.")]


def test_merged_headers_with_the_language_s_and():
    assert content("BEFUND UND BEURTEILUNG\na.", header_names("german")) == [("findings", "a.")]
    assert content("Hallazgos y conclusión: a.", header_names("spanish")) == [("findings", "a.")]


def test_an_examination_s_name_in_another_language():
    text = "RX DE TÓRAX PA Y LATERAL: a.\nCONCLUSIÓN: b."
    assert content(text, header_names("spanish")) == [("findings", "a."), ("impression", "b.")]


@pytest.mark.parametrize(
    "text",
    [
        "检查所见\uff1a双肺清晰。心脏正常\uff01印象\uff1a未见异常。",
        "检查所见\n双肺清晰。心脏正常\uff01\n印象\n未见异常。",
    ],
)
def test_names_of_the_user(text):
    names = header_names("english", {"检查所见": "findings", "印象": "impression"})
    assert content(text, names) == [("findings", "双肺清晰。心脏正常\uff01"), ("impression", "未见异常。")]
    sentences = [text[start:end] for start, end in split_sentences(text, find_headers(text, names)[0].end)]
    assert sentences[:2] == ["双肺清晰。", "心脏正常\uff01"]


def test_a_name_of_the_user_comes_before_the_list():
    assert content("REPORT: a.", header_names("english", {"Report": "findings"})) == [("findings", "a.")]
