"""Sentences of other languages: abbreviations and ordinals part none, real ends do."""

import pytest

from stages.split_reports.sentences import fold, split_sentences

CASES = {
    "german": [
        ["Z.n. TAVI.", "V.a. Pneumonie rechts.", "Kein Erguss."],
        ["Erguss bds. basal betont.", "Erguss bds.", "Keine Stauung."],
        ["Ggf. Verlaufskontrolle, evtl. CT bzw. Sonographie.", "Herz o.B.", "Lunge frei."],
        ["Infiltrat re.", "Kein Erguss."],
        ["Rundherd von ca. 5 mm, z.B. Granulom.", "Mediastinum mittig."],
        ["Fraktur der 12. Rippe rechts.", "Kein Pneumothorax."],
    ],
    "spanish": [["Nódulo de aprox. 5 mm en la base dcha. posterior.", "Derrame izq.", "Sin neumotórax."]],
    "italian": [["Versamento dx. basale.", "Opacità a sn.", "Cuore nei limiti."]],
    "french": [["Nodule de env. 5 mm, cf. Scanner du jour.", "Pas d'épanchement."]],
    "portuguese": [["Nódulo de aprox. 5 mm à esq. na base.", "Sem derrame."]],
    "dutch": [["Controle i.v.m. Pneumonie, o.a. Rechts.", "Evt. CT.", "Geen vocht."]],
}


@pytest.mark.parametrize(("language", "sentences"), [(name, each) for name, texts in CASES.items() for each in texts])
@pytest.mark.parametrize("blank", [" ", "\n"])
def test_sentences_of_a_language(language: str, sentences: list[str], blank: str) -> None:
    text = blank.join(sentences)
    found = split_sentences(text, language=language)
    assert [fold(text[start:end]) for start, end in found] == sentences
    assert all(split_sentences(each, language=language) == [(0, len(each))] for each in sentences)


def test_a_paragraph_ends_a_sentence_and_english_is_as_before() -> None:
    assert len(split_sentences("Rippen bzw.\n\nKein Erguss.", language="german")) == 2
    assert len(split_sentences("Erguss evtl. Infiltrat.")) == 2
