"""Names of sections in radiology reports, by language, and the words of which an examination's name consists.

English: MIMIC-CXR's headers and their usual variants. Names are compared in capitals, without accents.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from string import ascii_uppercase
from typing import Literal, NamedTuple, get_args

Language = Literal["english", "spanish", "french", "german", "italian", "portuguese", "dutch"]
SECTIONS = (
    *("examination", "indication", "history", "technique", "comparison", "findings", "impression"),
    *("recommendation", "notification", "wet_read", "addendum", "final_report"),
)
COMPOSED = ("FINDINGS", "IMPRESSION")  # headers of columns that index_inputs joins to a report, in every language
LONGEST_NAME = 80  # characters of a header, blanks and markup included


class _Lists(NamedTuple):
    """Names of one language, by section; `distinctive` names are also found behind words, or with a typing error."""

    names: dict[str, str]
    distinctive: str
    link: str  # "and"
    examination: str  # an examination's name has one of these words ...
    projection: str  # ... or these, and otherwise words of `around`
    around: str
    anatomy: str = ""  # labels within findings ("LUNGS:")
    qualifiers: str = ""  # words beside a name that say which one it is ("PRELIMINARY IMPRESSION:")


_ENGLISH = _Lists(
    {
        "examination": "EXAMINATION, EXAMINATIONS, EXAM, EXAMS, STUDY, STUDIES, PROCEDURE, TYPE OF EXAMINATION, "
                       "TYPE OF EXAM",
        "indication": "INDICATION, INDICATIONS, CLINICAL INDICATION, CLINICAL INDICATIONS, REASON, REASON FOR EXAM, "
                      "REASON FOR STUDY, REASON FOR EXAMINATION, REASON FOR THE EXAM, REASON FOR THIS EXAMINATION, "
                      "CLINICAL QUESTION",
        "history": "HISTORY, CLINICAL HISTORY, PATIENT HISTORY, CLINICAL INFORMATION, CLINICAL DATA, "
                   "CLINICAL STATEMENT, MEDICAL CONDITION, HISTORY OF PRESENT ILLNESS",
        "technique": "TECHNIQUE, TECHNIQUES, PROCEDURE COMMENTS, VIEWS, NUMBER OF VIEWS",
        "comparison": "COMPARISON, COMPARISONS, COMPARISON STUDY, COMPARISON STUDIES, COMPARISON EXAM, "
                      "COMPARISON FILMS, PRIOR STUDIES, PRIORS",
        "findings": "FINDINGS, FINDING, CHEST FINDINGS, OTHER FINDINGS, ADDITIONAL FINDINGS, OBSERVATIONS, RESULT, "
                    "RESULTS, DESCRIPTION, NARRATIVE, DISCUSSION, COMMENT, COMMENTS, BODY, REPORT BODY, "
                    "BODY OF REPORT",
        "impression": "IMPRESSION, IMPRESSIONS, CONCLUSION, CONCLUSIONS, OPINION, FINAL IMPRESSION, "
                      "OVERALL IMPRESSION, SUMMARY, ASSESSMENT, DIAGNOSIS, INTERPRETATION",
        "recommendation": "RECOMMENDATION, RECOMMENDATIONS, PLAN",
        "notification": "NOTIFICATION, NOTIFICATIONS, NOTIFICATION OF CRITICAL RESULT, CRITICAL RESULTS",
        "wet_read": "WET READ, WET READING, WET READ VERSION, PRELIMINARY REPORT, PRELIMINARY READ, "
                    "PROVISIONAL FINDINGS IMPRESSION",
        "addendum": "ADDENDUM, ADDENDA, FINAL ADDENDUM, ADDENDUM BEGINS, ADDENDUM REPORT",
        "final_report": "FINAL REPORT, RADIOLOGY REPORT, FINAL RADIOLOGY REPORT, ORIGINAL REPORT, REPORT, "
                        "X-RAY REPORT, RADIOLOGIST REPORT, RADIOLOGIST'S REPORT",
    },
    distinctive="FINDINGS FINDING IMPRESSION IMPRESSIONS CONCLUSION CONCLUSIONS INDICATION COMPARISON TECHNIQUE "
                "RECOMMENDATION ADDENDUM HISTORY",
    link="AND",
    examination="CHEST CXR RADIOGRAPH RADIOGRAPHS VIEW VIEWS",
    projection="PORTABLE RIB RIBS FRONTAL LATERAL LAT WINDOW WINDOWS AP PA UPRIGHT SUPINE ERECT DECUBITUS LORDOTIC "
               "FILM FILMS XRAY",
    around="A AM AND AP APICAL AT BEDSIDE BILATERAL BONE DECUBITUS ERECT EXAM EXAMINATION FILM FILMS FIVE FOUR "
           "FRONTAL HOUR HOURS HRS IMAGE IMAGES LAT LATERAL LEFT LORDOTIC M OBLIQUE OBLIQUES OF ONE P PA PM "
           "PORTABLE PROJECTION PROJECTIONS RAY RIB RIBS RIGHT SEMI SEMIERECT SEMIUPRIGHT SINGLE SIX STUDY SUPINE "
           "THE THREE TWO UPRIGHT WINDOW WINDOWS WITH X XRAY",
    anatomy="APPARATUS CATHETERS DEVICE HARDWARE NOTE OTHER PARENCHYMA VESSELS "
            "ABDOMEN AIRWAY AIRWAYS AORTA BONE BONES BONY CARDIAC CARDIOMEDIASTINAL CHEST CONTOUR CONTOURS DEVICES "
            "DIAPHRAGM FIELDS HEART HILA HILAR HILUM LINES LUNG LUNGS MEDIASTINAL MEDIASTINUM OSSEOUS PLEURA PLEURAL "
            "PULMONARY SILHOUETTE SIZE SKELETON SOFT SPACE SPACES SPINE STRUCTURES SUPPORT THE TISSUE TISSUES "
            "TRACHEA TUBES UPPER VASCULAR VASCULATURE WALL AND",
    qualifiers="PRELIMINARY PRELIM PROVISIONAL FINAL WET READ OVERALL INITIAL UPDATED REVISED CORRECTED AMENDED "
               "OFFICIAL ATTENDING RESIDENT RADIOLOGIC RADIOLOGICAL RADIOGRAPHIC RADIOLOGIST RADIOLOGISTS DIAGNOSTIC "
               "GENERAL MAIN KEY OTHER ADDITIONAL PERTINENT INCIDENTAL BRIEF ABDOMINAL THORACIC NECK PELVIS CT MR MRI",
)  # fmt: skip

_LISTS: dict[str, _Lists] = {
    "english": _ENGLISH,
    "spanish": _Lists(
        {
            "examination": "EXAMEN, ESTUDIO, EXPLORACIÓN, PROCEDIMIENTO, TIPO DE EXAMEN, TIPO DE ESTUDIO",
            "indication": "INDICACIÓN, INDICACIONES, INDICACIÓN CLÍNICA, MOTIVO, MOTIVO DE CONSULTA, "
                          "MOTIVO DEL ESTUDIO, MOTIVO DEL EXAMEN, JUSTIFICACIÓN",
            "history": "ANTECEDENTES, HISTORIA, HISTORIA CLÍNICA, INFORMACIÓN CLÍNICA, DATOS CLÍNICOS",
            "technique": "TÉCNICA, PROYECCIONES",
            "comparison": "COMPARACIÓN, ESTUDIO PREVIO, ESTUDIOS PREVIOS, ESTUDIO COMPARATIVO",
            "findings": "HALLAZGOS, HALLAZGO, OTROS HALLAZGOS, DESCRIPCIÓN, OBSERVACIONES, RESULTADO, RESULTADOS",
            "impression": "IMPRESIÓN, IMPRESIÓN DIAGNÓSTICA, CONCLUSIÓN, CONCLUSIONES, DIAGNÓSTICO, "
                          "JUICIO DIAGNÓSTICO, OPINIÓN, RESUMEN",
            "recommendation": "RECOMENDACIÓN, RECOMENDACIONES, PLAN",
            "addendum": "ADENDA, ADENDO, ADDENDUM, ANEXO",
            "final_report": "INFORME, INFORME RADIOLÓGICO, INFORME FINAL",
        },
        distinctive="HALLAZGOS IMPRESIÓN CONCLUSIÓN CONCLUSIONES INDICACIÓN COMPARACIÓN RECOMENDACIÓN ANTECEDENTES",
        link="Y",
        examination="TÓRAX RADIOGRAFÍA RADIOGRAFÍAS RX",
        projection="PORTÁTIL PARRILLA",
        around="AP COSTAL DE DEL DOS EN FRENTE LA LATERAL PA PERFIL PIE POSTEROANTERIOR PROYECCIONES SIMPLE Y",
        anatomy="BLANDAS BLANDOS CAMPO CAMPOS CARDÍACA CARDIOMEDIASTÍNICA CORAZÓN DE DIAFRAGMA ESTRUCTURAS "
                "HILIOS HUESOS MEDIASTINO ÓSEAS PARTES PLEURA PLEURAL PULMÓN PULMONAR PULMONARES PULMONES "
                "SILUETA TEJIDOS TUBOS Y",
        qualifiers="PRELIMINAR PROVISIONAL FINAL DEFINITIVA GENERAL RADIOLÓGICA RADIOLÓGICOS DIAGNÓSTICA",
    ),
    "french": _Lists(
        {
            "examination": "EXAMEN, TYPE D'EXAMEN, NATURE DE L'EXAMEN",
            "indication": "INDICATION, INDICATIONS, MOTIF, MOTIF DE L'EXAMEN",
            "history": "ANTÉCÉDENTS, RENSEIGNEMENTS CLINIQUES, HISTOIRE CLINIQUE, CONTEXTE CLINIQUE",
            "technique": "TECHNIQUE, INCIDENCES",
            "comparison": "COMPARAISON, EXAMEN COMPARATIF, EXAMEN ANTÉRIEUR, EXAMENS ANTÉRIEURS",
            "findings": "RÉSULTAT, RÉSULTATS, CONSTATATIONS, DESCRIPTION, OBSERVATIONS",
            "impression": "CONCLUSION, CONCLUSIONS, EN CONCLUSION, IMPRESSION, IMPRESSION DIAGNOSTIQUE, SYNTHÈSE, "
                          "AU TOTAL, INTERPRÉTATION, DIAGNOSTIC",
            "recommendation": "RECOMMANDATION, RECOMMANDATIONS, CONDUITE À TENIR",
            "addendum": "ADDENDUM",
            "final_report": "COMPTE RENDU, COMPTE-RENDU, RAPPORT, RAPPORT RADIOLOGIQUE",
        },
        distinctive="RÉSULTATS CONSTATATIONS CONCLUSION CONCLUSIONS IMPRESSION INDICATION COMPARAISON TECHNIQUE",
        link="ET",
        examination="THORAX THORACIQUE RADIOGRAPHIE RADIOGRAPHIES RADIO CLICHÉ",
        projection="GRIL",
        around="AU COSTAL DE DEUX DU FACE ET INCIDENCES LE LIT PROFIL PULMONAIRE STANDARD",
        anatomy="CADRE CARDIAQUE COEUR COUPOLES ET HILES MÉDIASTIN MOUS OS OSSEUX PARENCHYME PLÈVRE PLÈVRES "
                "POUMON POUMONS PULMONAIRE PULMONAIRES SILHOUETTE TISSUS",
        qualifiers="PRÉLIMINAIRE PROVISOIRE FINALE DÉFINITIVE GÉNÉRALE RADIOLOGIQUE RADIOLOGIQUES",
    ),
    "german": _Lists(
        {
            "examination": "UNTERSUCHUNG, UNTERSUCHUNGEN, UNTERSUCHUNGSART",
            "indication": "INDIKATION, RECHTFERTIGENDE INDIKATION, FRAGESTELLUNG, KLINISCHE FRAGESTELLUNG",
            "history": "ANAMNESE, KLINISCHE ANGABEN, KLINISCHE INFORMATION, KLINIK, VORGESCHICHTE",
            "technique": "TECHNIK, METHODE, METHODIK",
            "comparison": "VERGLEICH, VORAUFNAHME, VORAUFNAHMEN, VORUNTERSUCHUNG, VORUNTERSUCHUNGEN, "
                          "VERGLEICHSAUFNAHME",
            "findings": "BEFUND, BEFUNDE, WEITERE BEFUNDE",
            "impression": "BEURTEILUNG, ZUSAMMENFASSUNG, EINSCHÄTZUNG, DIAGNOSE, FAZIT, SCHLUSSFOLGERUNG",
            "recommendation": "EMPFEHLUNG, EMPFEHLUNGEN, PROCEDERE",
            "addendum": "NACHTRAG, ADDENDUM",
            "final_report": "BEFUNDBERICHT, RADIOLOGISCHER BEFUND, ENDBEFUND",
        },
        distinctive="BEFUND BEFUNDE BEURTEILUNG ZUSAMMENFASSUNG INDIKATION FRAGESTELLUNG EMPFEHLUNG",
        link="UND",
        examination="THORAX RÖNTGEN RÖNTGENTHORAX RÖNTGENAUFNAHME THORAXAUFNAHME",
        projection="BETTAUFNAHME",
        around="AP DES EBENEN IM IN LIEGEN LIEGEND PA SEITLICH STEHEN UND VOM ZWEI",
        anatomy="HERZ HILI HILUS KNOCHEN LUNGE LUNGEN MEDIASTINUM PLEURA SKELETT UND WEICHTEILE ZWERCHFELL",
        qualifiers="VORLÄUFIGE VORLÄUFIGER ENDGÜLTIGE ENDGÜLTIGER ABSCHLIESSENDE ABSCHLIESSENDER RADIOLOGISCHE "
                   "RADIOLOGISCHER ABDOMEN",
    ),
    "italian": _Lists(
        {
            "examination": "ESAME, TIPO DI ESAME, PRESTAZIONE",
            "indication": "INDICAZIONE, INDICAZIONI, QUESITO, QUESITO CLINICO, QUESITO DIAGNOSTICO, "
                          "MOTIVO DELL'ESAME",
            "history": "ANAMNESI, STORIA CLINICA, NOTIZIE CLINICHE, DATI CLINICI",
            "technique": "TECNICA, PROIEZIONI",
            "comparison": "CONFRONTO, ESAME PRECEDENTE, ESAMI PRECEDENTI",
            "findings": "REPERTI, REPERTO, DESCRIZIONE, OSSERVAZIONI, RISULTATO, RISULTATI",
            "impression": "CONCLUSIONE, CONCLUSIONI, IMPRESSIONE, IMPRESSIONE DIAGNOSTICA, GIUDIZIO DIAGNOSTICO, "
                          "DIAGNOSI, SINTESI",
            "recommendation": "RACCOMANDAZIONE, RACCOMANDAZIONI",
            "addendum": "ADDENDUM",
            "final_report": "REFERTO, REFERTO RADIOLOGICO",
        },
        distinctive="REPERTI CONCLUSIONE CONCLUSIONI IMPRESSIONE INDICAZIONE CONFRONTO RACCOMANDAZIONI",
        link="E",
        examination="TORACE RADIOGRAFIA RX",
        projection="COSTATO",
        around="AL AP DEL DI DUE E IN LATERALE LETTO PA PROIEZIONI STANDARD",
        anatomy="CARDIACA CUORE DIAFRAMMA E ILI MEDIASTINO MOLLI OSSA PARENCHIMA PLEURA POLMONARE POLMONE "
                "POLMONI SILHOUETTE TESSUTI",
        qualifiers="PRELIMINARE PRELIMINARI PROVVISORIA FINALE FINALI DEFINITIVA RADIOLOGICA RADIOLOGICI",
    ),
    "portuguese": _Lists(
        {
            "examination": "EXAME, ESTUDO, PROCEDIMENTO, TIPO DE EXAME",
            "indication": "INDICAÇÃO, INDICAÇÕES, INDICAÇÃO CLÍNICA, MOTIVO, MOTIVO DO EXAME",
            "history": "HISTÓRIA, HISTÓRIA CLÍNICA, HISTÓRICO, DADOS CLÍNICOS, INFORMAÇÃO CLÍNICA, "
                       "INFORMAÇÕES CLÍNICAS, ANTECEDENTES",
            "technique": "TÉCNICA, METODOLOGIA, INCIDÊNCIAS",
            "comparison": "COMPARAÇÃO, EXAME ANTERIOR, EXAMES ANTERIORES, ESTUDO COMPARATIVO",
            "findings": "ACHADOS, ACHADO, OUTROS ACHADOS, ANÁLISE, DESCRIÇÃO, OBSERVAÇÕES, RESULTADO, RESULTADOS",
            "impression": "IMPRESSÃO, IMPRESSÃO DIAGNÓSTICA, CONCLUSÃO, CONCLUSÕES, OPINIÃO, DIAGNÓSTICO, RESUMO, "
                          "HIPÓTESE DIAGNÓSTICA",
            "recommendation": "RECOMENDAÇÃO, RECOMENDAÇÕES",
            "addendum": "ADENDO, ADENDA, ADDENDUM",
            "final_report": "LAUDO, LAUDO MÉDICO, RELATÓRIO, RELATÓRIO MÉDICO, RELATÓRIO RADIOLÓGICO",
        },
        distinctive="ACHADOS IMPRESSÃO CONCLUSÃO CONCLUSÕES INDICAÇÃO COMPARAÇÃO RECOMENDAÇÃO",
        link="E",
        examination="TÓRAX RADIOGRAFIA RADIOGRAFIAS RX RAIO",
        projection="PORTÁTIL",
        around="AP DE DO DUAS E EM INCIDÊNCIAS LEITO NO PA PERFIL SIMPLES X",
        anatomy="CAMPOS CARDÍACA CORAÇÃO DIAFRAGMA E HILOS MEDIASTINO MOLES OSSOS PARTES PLEURA PULMÃO PULMÕES "
                "PULMONARES SILHUETA",
        qualifiers="PRELIMINAR PROVISÓRIA FINAL DEFINITIVA GERAL RADIOLÓGICA RADIOLÓGICOS",
    ),
    "dutch": _Lists(
        {
            "examination": "ONDERZOEK, TYPE ONDERZOEK, VERRICHTING",
            "indication": "INDICATIE, VRAAGSTELLING, KLINISCHE VRAAGSTELLING, REDEN VAN ONDERZOEK",
            "history": "ANAMNESE, VOORGESCHIEDENIS, KLINISCHE GEGEVENS, KLINISCHE INFORMATIE",
            "technique": "TECHNIEK, METHODE",
            "comparison": "VERGELIJKING, EERDER ONDERZOEK, VOORGAAND ONDERZOEK",
            "findings": "BEVINDINGEN, BEVINDING, BESCHRIJVING, RESULTAAT, RESULTATEN",
            "impression": "CONCLUSIE, CONCLUSIES, IMPRESSIE, SAMENVATTING, BEOORDELING, DIAGNOSE",
            "recommendation": "ADVIES, AANBEVELING, AANBEVELINGEN, BELEID",
            "addendum": "ADDENDUM, AANVULLING",
            "final_report": "VERSLAG, RADIOLOGISCH VERSLAG, RADIOLOGIEVERSLAG",
        },
        distinctive="BEVINDINGEN CONCLUSIE CONCLUSIES IMPRESSIE INDICATIE VERGELIJKING AANBEVELING",
        link="EN",
        examination="THORAX THORAXFOTO RÖNTGENFOTO",
        projection="BEDFOTO",
        around="AP EN IN LATERAAL LIGGEND PA RICHTINGEN STAAND TWEE VAN X",
        anatomy="BOT DELEN DIAFRAGMA EN HART HILI LONG LONGEN MEDIASTINUM PLEURA SKELET WEKE",
        qualifiers="VOORLOPIGE VOORLOPIG DEFINITIEVE EIND RADIOLOGISCHE ABDOMEN",
    ),
}  # fmt: skip
assert set(_LISTS) == set(get_args(Language))

_TAIL = re.compile(r"(?:[ \t*_=]|\([^()]*\)|#?\d{1,2}\b|\bVERSION\b)*\Z")  # "(S)", "(PRELIMINARY)", "#1", "**"


def normal_name(label: str) -> str:
    """Return a label in the form in which names are compared: capitals without accents, signs for "and" spelled."""
    name = plain_capitals(label)
    name = name[: _tail(name)]
    return " ".join(name.replace("(S)", "S").replace("/", " AND ").replace("&", " AND ").replace("+", " AND ").split())


def plain_capitals(text: str) -> str:
    """Return `text` in capitals, without accents."""
    if text.isascii():
        return text.upper()
    parts = unicodedata.normalize("NFKD", text.upper().replace("\u2019", "'"))
    return "".join(part for part in parts if not unicodedata.combining(part))


def _tail(name: str) -> int:
    tail = _TAIL.search(name, max(0, len(name) - 24))
    return tail.start() if tail else len(name)


@dataclass(frozen=True, eq=False)  # compared and hashed by identity, so that it can key a cache
class HeaderNames:
    """Known headers of a data set; every name is in the form of `normal_name`."""

    sections: dict[str, tuple[str, ...]]  # name -> its sections: two for a merged header
    slips: dict[str, tuple[str, ...]]  # the same for names with one typing error
    distinctive: dict[str, str]  # name -> section
    link: str
    examination: frozenset[str]
    projection: frozenset[str]
    around: frozenset[str]
    anatomy: frozenset[str]
    states: frozenset[str]  # words before or behind a name that are part of its header
    qualifiers: frozenset[str]  # these, and words before a name that say of what it is: "ABDOMEN FINDINGS:"
    titles: tuple[str, ...]  # names that are a header alone on a line in other letters than capitals
    opening: tuple[str, ...]  # names that are a header, in capitals, in front of a sentence


def header_names(
    language: Language = "english", headers: Mapping[str, str] | None = None, composed: bool = True
) -> HeaderNames:
    """Return the names of `language`, with `headers` (name -> section) added or changed.

    Those of `COMPOSED` are among them, unless `composed` is false.
    """
    return _header_names(language, tuple((headers or {}).items()), composed)


@lru_cache(16)
def _header_names(language: Language, headers: tuple[tuple[str, str], ...], composed: bool) -> HeaderNames:
    lists = _LISTS[language]
    single = {normal_name(name): (section,) for section, names in lists.names.items() for name in names.split(", ")} | {
        normal_name(name): (section,) for name, section in headers
    }
    words = [name for name in single if " " not in name]
    merged: dict[str, tuple[str, ...]] = {
        f"{first}{link}{second}": single[first] + single[second]
        for first, second in permutations(words, 2)
        if single[first] != single[second]
        for link in dict.fromkeys((" AND ", f" {lists.link} ", " "))
    }
    distinctive = {name: single[name][0] for name in plain_capitals(lists.distinctive).split()}
    # A slip in a short name makes another word.
    misspelled = [name for name in (*distinctive, "EXAMINATION") if len(name) >= 8 and name in single]
    told = [name for name, section in distinctive.items() if section in ("findings", "impression")]
    spelled = [name for name in lists.distinctive.split() if plain_capitals(name) in told]
    return HeaderNames(
        sections={name: (name.lower(),) for name in COMPOSED if composed} | merged | single,
        slips={slip: single[name] for name in misspelled for slip in _slips(name)},
        distinctive=distinctive,
        link=lists.link,
        examination=_set(lists.examination),
        projection=_set(lists.projection),
        around=_set(lists.around) | _set(lists.examination),
        anatomy=_set(lists.anatomy),
        states=_set(lists.qualifiers),
        qualifiers=_set(f"{lists.qualifiers} {lists.examination} {lists.projection} {lists.anatomy}"),
        titles=(*dict.fromkeys(form.capitalize() for name in spelled for form in (name, plain_capitals(name))),
                *(name for name, _ in headers)),
        opening=tuple(dict.fromkeys(form for name in (*spelled, lists.names["addendum"].split(", ")[0])
                                    for form in (name, plain_capitals(name)))),
    )  # fmt: skip


def _set(words: str) -> frozenset[str]:
    return frozenset(plain_capitals(words).split())


def _slips(name: str) -> Iterator[str]:
    """Yield `name` with one letter missing, doubled, wrong or swapped with its neighbour; the first letter is right."""
    for place in range(1, len(name)):
        before, behind = name[:place], name[place + 1 :]
        yield before + behind
        yield before + behind[:1] + name[place] + behind[1:]
        for letter in ascii_uppercase:
            yield before + letter + behind
            yield before + letter + name[place:]
    yield from (name + letter for letter in ascii_uppercase)
