"""The language whose headers fit: of all seven, of languages that share headers, and of plain text."""

import pytest

from stages.split_reports.languages import LOOKED_AT, better_language

REPORTS = {
    "english": "INDICATION: Cough.\nFINDINGS: Clear.\nIMPRESSION: Normal.",
    "spanish": "DATOS CLÍNICOS: Tos.\nHALLAZGOS: Sin derrame.\nIMPRESIÓN: Normal.",
    "french": "INDICATION: Toux.\nRÉSULTATS: Pas d'épanchement.\nCONCLUSION: Normal.",
    "german": "Klinische Angaben: Husten.\nBefund: Kein Erguss.\nBeurteilung: Normal.",
    "italian": "QUESITO CLINICO: Tosse.\nREFERTO: Non versamento.\nCONCLUSIONI: Normale.",
    "portuguese": "INDICAÇÃO: Tosse.\nACHADOS: Sem derrame.\nIMPRESSÃO: Normal.",
    "dutch": "VRAAGSTELLING: Hoest.\nBEVINDINGEN: Geen vocht.\nCONCLUSIE: Normaal.",
}


@pytest.mark.parametrize("language", REPORTS)
@pytest.mark.parametrize("configured", REPORTS)
def test_the_language_of_the_reports_is_named_unless_it_is_configured(language: str, configured: str) -> None:
    fit = better_language([REPORTS[language]] * 5, configured)
    assert fit == (None if language == configured else (language, 5, 5))


def test_plain_text_and_no_text_have_no_language() -> None:
    assert better_language(["No effusion. The heart is normal."] * 5) is None
    assert better_language([]) is None


def test_a_few_reports_of_another_language_name_none() -> None:
    plain = ["No effusion."] * 95
    assert better_language([*plain, *[REPORTS["german"]] * 5]) is None
    assert better_language([*plain[:80], *[REPORTS["german"]] * 20]) == ("german", 20, 100)


def test_the_first_reports_are_looked_at() -> None:
    assert better_language([REPORTS["dutch"]] * (LOOKED_AT + 50)) == ("dutch", LOOKED_AT, LOOKED_AT)


def test_headers_of_the_data_set_count() -> None:
    named = {"BEFUND": "findings", "KLINISCHE ANGABEN": "history", "BEURTEILUNG": "impression"}
    assert better_language([REPORTS["german"]] * 5, "english", named) is None
