"""References of the methods, in running text and in BibTeX. A text marks them as in pandoc, `[@key]`."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

SOFTWARE = "mlip_pipeline"
_ACCENTS = {"á": r"{\'a}", "ç": r"{\c{c}}", "é": r"{\'e}", "ï": r"{\"\i}", "ö": r"{\"o}", "ü": r"{\"u}"}
_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
          "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", **_ACCENTS}  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """One entry of BibTeX. `authors` are "Family, Given"; "others" as the last one stands for the rest."""

    key: str
    kind: str
    authors: tuple[str, ...]
    title: str  # braces keep capitals
    year: int
    fields: tuple[tuple[str, str], ...]  # where it appeared

    @property
    def label(self) -> str:
        """Return the label for running text: Cuturi, 2013; Zhou and Yu, 2023; He et al., 2022."""
        families = [author.partition(",")[0].strip("{}") for author in self.authors]
        names = " and ".join(families) if len(families) < 3 and "others" not in families else f"{families[0]} et al."
        return f"{names}, {self.year}"

    @property
    def plain_title(self) -> str:
        """Return the title without braces."""
        return self.title.replace("{", "").replace("}", "")

    def bibtex(self) -> str:
        """Return the entry in BibTeX's format."""
        fields = [("author", " and ".join(self.authors)), ("title", self.title), *self.fields, ("year", str(self.year))]
        lines = ",\n".join(f"  {name} = {{{_accented(value)}}}" for name, value in fields)
        return f"@{self.kind}{{{self.key},\n{lines}\n}}"


def software(commit: str | None, year: int) -> Reference:
    """Return the reference to this pipeline, in the state that ran."""
    fields = (("howpublished", f"Software, commit {commit}" if commit else "Software"),)
    title = "{MLIP}: a pipeline for medical language-image pre-training with masked local representation learning"
    return Reference(SOFTWARE, "misc", ("{The MLIP pipeline developers}",), title, year, fields)


def cited(texts: Iterable[str], known: dict[str, Reference]) -> list[Reference]:
    """Return the works that some texts cite, each once, in the order of their first mention."""
    keys = dict.fromkeys(key for text in texts for mark in _MARK.findall(text) for key in _keys(mark, known))
    return [known[key] for key in keys]


def as_prose(text: str, known: dict[str, Reference]) -> str:
    """Return a text with (Cuturi, 2013) for each mark."""
    return _replaced(text, known, str, lambda keys: f"({'; '.join(known[key].label for key in keys)})")


def as_latex(text: str, known: dict[str, Reference]) -> str:
    r"""Return a text for LaTeX, with \cite{key} for each mark and everything else escaped."""
    return _replaced(text, known, _escaped, lambda keys: rf"\cite{{{','.join(keys)}}}")


_MARK = re.compile(r"\[@([^\]]+)\]")


def _keys(mark: str, known: dict[str, Reference]) -> list[str]:
    keys = [key.strip().removeprefix("@") for key in mark.split(";")]
    return keys if all(key in known for key in keys) else []  # otherwise a text from outside that looks like a mark


def _replaced(
    text: str, known: dict[str, Reference], plain: Callable[[str], str], mark: Callable[[list[str]], str]
) -> str:
    parts, end = [], 0
    for found in _MARK.finditer(text):
        if keys := _keys(found.group(1), known):
            parts += [plain(text[end : found.start()]), mark(keys)]
            end = found.end()
    return "".join([*parts, plain(text[end:])])


def _accented(text: str) -> str:
    return "".join(_ACCENTS.get(letter, letter) for letter in text)


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
