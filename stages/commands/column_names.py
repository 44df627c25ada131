"""Roles of a table's columns by their names, in English, German, French and Spanish, and roles that the user gives.

A name is read as words: `Pat-ID`, `PatID` and `pat_id` are all `pat id`.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence

import polars as pl

from ..common.data.table_files import ROW
from ..common.errors import InputError
from ..common.settings import did_you_mean

# Role -> how many columns it may have: at most so many.
ROLES = {"image": 1, "patient": 1, "study": 2, "view": 3, "report": 2, "split": 1, "inverted": 1, "boxes": 4, "mask": 1,
         "lung_mask": 1, "reader": 1, "sex": 1, "age": 1}  # fmt: skip

_NUMBER = r"id|no|nr|nro|num|number|nummer|numero|kennung|index|idx|uid|count"
_ID = rf" ?({_NUMBER})?"
_BEFORE = rf"(({_NUMBER}|n) )?(d[eu] )?"  # id_patient, numero de dossier
_PATIENT = r"patient|subject|person|participant|proband|pacient|sujeto?\b|\b(pat|subj|pid|mrn|ipp|nhc)\b"
_PATIENT += rf"|\b(pat|subj|pt) ?({_NUMBER})\b"  # PATID, patnr
_OF_ID = rf"\b(n|{_NUMBER}|key|code)\b|(id|nr|nummer|kennung|uid|key|code|schlussel)\b|"
_OF_ID += r"^(pid|mrn|ipp|nhc|pat|patient|subj|subject|proband|paciente|sujeto?)$"
_CASE = "case|fall|akten?|dossier|expediente|historia( clinica)?"
_STUDY = r"study|studie|exam|accession|akzession|encounter|untersuchung|\betude|estudio"
_VISIT = "examination|visit|session|series|scan|acquisition|time ?point"
_NO_ID = re.compile(
    r"\b(age|sex|gender|date|time|weight|position|desc\w*|type|reason|quality|status|edad|sexo?e?|peso|poids|fecha|"
    r"naissance|typ|groups?|groupes?|grupos?|wards?|birth\w*|dob|years?|count|referr\w*|doctor|physician|medecin|"
    r"medico|ano|annee|nacimiento|anzahl|nombre|inpatient|outpatient)\b|\b(no|n|num|number|numero) (of|de) \w+s$|"
    r"(alter|geschlecht|gewicht|datum|beschreibung|zeit|lage|gruppe|station|jahr|uberweiser|zuweiser)\b|geburt"
)

# What yes and no are about where a name, in words, is of something else than the lungs.
NO_FINDING = {
    "patients": rf"^{_BEFORE}(patient|subject|person|participant|pid|mrn|pat|{_CASE}){_ID}$|"
    r"\b(ages?|sex|gender|male|female|bmi|smok\w*|consent\w*|"
    r"deceased|dead|death|died|alive|icu|admitted|intubated|inpatient|outpatient|emergency)\b",
    "studies": rf"^(study|exam|accession|encounter|{_VISIT}){_ID}$|\b(visit|follow|followup|baseline)\b",
    "views": r"\b(views?|projection|portable|supine|erect|upright|frontal|lateral)\b|^(is )?(ap|pa|ll)$",
    "a split": r"\b(split|folds?|partition|set|subset|phase|cohort|holdout|train\w*|test\w*|valid\w*)\b",
    "how a finding looks": r"^(is )?(sever[ei]\w*|acute|chronic|new|old|mild|large|small|bilateral|uncertain|difficult|"
    r"ambiguous|crowd|occluded|truncated)$|^iscrowd$",
    "technique or checks": rf"^(readers?|raters?|annotators?|site|hospital|cent(er|re)|scanner){_ID}$|"
    r"\b(inver\w*|review\w*|qc\w*|qa|quality|check\w*|verified|approved|contrast|exclude\w*|include\w*|usable|duplicate\w*|"
    r"annotated|labell?ed|manufacturer|digital|flipped|cropped|batch|version)\b",
}
READER = re.compile(rf"^(reading )?(rad|reader|radiologist|annotator|rater|observer|labell?er|befunder){_ID}( name)?$")
INVERTED = re.compile(r"\b(inver\w*|photometric|monochrome\w*|negative image)\b")
PART = re.compile(r"\b(split|part|partition|fold|set|subset|phase|aufteilung|particion)\b")


def column_words(name: str) -> str:
    """Return a column's name in words without accents: `PatientID` and `patient-id` are `patient id`."""
    plain = unicodedata.normalize("NFKD", name.replace("\u00df", "ss"))
    plain = "".join(each for each in plain if not unicodedata.combining(each))
    split = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", plain)
    return re.sub(r"[\W_]+", " ", split).strip().lower()


def about(name: str) -> str | None:
    """Return what a column of yes and no is about by its name, None for a finding."""
    return next((about for about, pattern in NO_FINDING.items() if re.search(pattern, column_words(name))), None)


def patient_column(names: Sequence[str], others: Iterable[str], table: pl.DataFrame) -> str | None:
    """Return the column of patients; `others` are columns of yes and no about something else than findings.

    A name with a word for an id comes first. The number of a case is taken where nothing else is: it tells images apart
    that are surely of one patient.
    """
    plain = [name for name in names if name not in others]
    return (
        _named([name for name in plain if re.search(_OF_ID, column_words(name))], table, _PATIENT)
        or _named(plain, table, _PATIENT)
        or _named(names, table, rf"^(pid|mrn|{_PATIENT}){_ID}$")
        or _named(plain, table, rf"^{_BEFORE}({_CASE}){_ID}$")
    )


def blank_patients(names: Sequence[str], others: Iterable[str], table: pl.DataFrame) -> str:
    """Return why the column with the name of patients is not taken: a quarter of its cells or more are blank; or ""."""
    name = patient_column(names, others, table.with_columns(pl.col(names).fill_null("")))
    return f"{name} has {table[name].null_count():,} blank cells in {table.height:,} rows" if name else ""


def is_of_cases(name: str) -> bool:
    """Return whether a column has the name of a case, of which a patient may have several."""
    return re.search(_PATIENT, column_words(name)) is None and bool(re.search(rf"\b({_CASE})", column_words(name)))


def study_column(names: Sequence[str], others: Iterable[str], table: pl.DataFrame) -> str | None:
    """Return the column of studies, as `patient_column`."""
    plain = [name for name in names if name not in others]
    return _named(plain, table, _STUDY) or _named(names, table, rf"^({_STUDY}|{_VISIT}){_ID}$")


def _named(names: Sequence[str], table: pl.DataFrame, pattern: str) -> str | None:
    """Return the first column with such a name and few blank cells."""
    for name in names:
        words = column_words(name)
        is_named = re.search(pattern, words) and not _NO_ID.search(words)
        if is_named and 4 * table[name].null_count() < table.height:  # a run names the rows that are blank
            return name
    return None


_MOST_NAMED = 3  # candidates


def id_columns(names: Iterable[str], table: pl.DataFrame) -> list[str]:
    """Return the columns that may hold ids of patients, those first whose ids return in several rows."""
    found = {}
    for name in names:
        cells, distinct = table[name], table[name].n_unique()
        rows = [str(number + int(cells[0])) for number in range(len(cells))] if (cells[0] or "").isdecimal() else []
        short = cells.str.contains(r"^\S{1,64}$").all() and not cells.null_count() and cells.str.contains(r"\d").all()
        if name and short and 20 * distinct > len(cells) and distinct > 1 and cells.to_list() != rows:
            is_number = bool(cells.str.contains(r"^[-+]?\d+[.,]\d+$").any())  # a measurement
            if not is_number and not _NO_ID.search(column_words(name)):
                found[name] = distinct == len(cells)
    return sorted(found, key=found.__getitem__)[:_MOST_NAMED]


def given_columns(given: Iterable[str]) -> dict[str, str]:
    """Return role -> column of options `ROLE=COLUMN`. Raises InputError for another form, or a role given twice."""
    found: dict[str, str] = {}
    for each in given:
        role, equals, column = each.partition("=")
        if not equals or not column or role not in ROLES:
            known = f"write ROLE=COLUMN, ROLE one of {', '.join(ROLES)}"
            raise InputError(f"--column {each}: no role with a column{did_you_mean(role, ROLES)}", known)
        if role in found:
            raise InputError(f"--column {each}: {role} is given twice", "give several columns with commas: view=A,B")
        found[role] = column
    return found


class Roles:
    """The columns of a table that have no role yet, and those whose role the user gave."""

    def __init__(self, table: pl.DataFrame, given: Mapping[str, str], path: object) -> None:
        """Raise InputError for a column that the table lacks, or too many of a role."""
        names = [name for name in table.columns if name not in (ROW, "")]  # settings name columns
        self.given: dict[str, list[str]] = {}
        for role, text in given.items():
            chosen = [text] if text in names else [part.strip() for part in text.split(",")]
            wrong = [name for name in chosen if name not in names]
            if wrong or len(chosen) > ROLES[role]:
                what = f"--column {role}={text}: " + (
                    f"{path} has no column {wrong[0]}" if wrong else "too many columns"
                )
                hint = did_you_mean(wrong[0], names) if wrong else ""
                raise InputError(what + hint, f"columns: {', '.join(names)}")
            self.given[role] = chosen
        taken = {name for chosen in self.given.values() for name in chosen}
        self.rest = [name for name in names if name not in taken]

    def take(self, role: str, guess: Callable[[list[str]], str | None]) -> str | None:
        """Return the column of a role, given or guessed among the rest, from which it is removed."""
        if role in self.given:
            return self.given[role][0]
        if (name := guess(self.rest)) is not None:
            self.remove([name])
        return name

    def remove(self, names: Iterable[str]) -> None:
        """Remove columns that have a role now."""
        self.rest = [name for name in self.rest if name not in {*names}]
