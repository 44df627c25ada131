"""Texts that are no report, and leftovers of other formats in those that are.

Every change keeps the number of characters, so that offsets of sentences count those of the report as it was given
(within a word that holds an HTML entity, those of the word's decoded form).
"""

import html
import re

# What tables and exports write for a missing text. "None." is one only as a whole section.
_PLACEHOLDER = re.compile(
    r"[\W_]*(?:(?:nan|none|null|n\W?a|nat|undefined|missing|blank|empty|not (?:available|applicable|provided)|"
    r"no (?:report|text|data)(?: available)?)[\W_]+)+\Z",
    re.IGNORECASE,
)
_LONGEST_PLACEHOLDER = 200  # characters, blanks included

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,31}\d{0,2});")
_WORD = re.compile(r"\S+")
_BLANK = re.compile(r"&(?:nbsp|ensp|emsp|thinsp|#160|#xA0);", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_CODE = re.compile(r"<(?:style|script)\b[^<>]*>.*?</(?:style|script)\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(  # with attributes, name=value: `<a few mm and one >` is none
    r"</?(?:a|b|big|blockquote|body|br|center|code|dd|div|dl|dt|em|font|h[1-6]|head|hr|html|i|img|li|meta|o:p|ol|p|pre|"
    r"small|span|strong|style|sub|sup|table|tbody|td|th|thead|title|tr|u|ul)"
    r"(?:\s+[\w:-]+\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>]+)|\s+(?:nowrap|noshade|compact))*\s*/?>|<!DOCTYPE[^<>]*>",
    re.IGNORECASE,
)
_INLINE = re.compile(r"</?(?:a|b|big|em|font|i|img|small|span|strong|sub|sup|u)\b", re.IGNORECASE)
_ESCAPED = re.compile(r"\\r\\n|\\n|\\[rt](?![a-z])")
_RTF = re.compile(r"[\s\ufeff]*\{\\rtf")


def is_placeholder(text: str, start: int = 0, end: int | None = None) -> bool:
    """Return whether `text[start:end]` stands for a missing text: "nan", "N/A.", "None"."""
    end = len(text) if end is None else end
    if end - start > _LONGEST_PLACEHOLDER:
        return False
    return _PLACEHOLDER.match(text[start:end].strip() + ".") is not None


def is_rtf(text: str) -> bool:
    """Return whether `text` is Rich Text Format."""
    return _RTF.match(text) is not None


def prepared(text: str) -> str:
    """Return `text` cleaned, or the empty text where it has none or stands for a missing one."""
    cleaned = clean(text)
    return "" if is_placeholder(cleaned) or not cleaned.replace("\ufeff", " ").strip() else cleaned


def clean(text: str) -> str:
    r"""Return `text` without HTML, and with line ends for a literal `\n`, in as many characters and linear time."""
    if "&" in text:
        text = _BLANK.sub(_blanks, text)
        text = _WORD.sub(_decoded, text)
    if "<" in text:
        text = _COMMENT.sub(_blanks, text) if "-->" in text else text
        text = _CODE.sub(_blanks, text) if re.search(r"</(?:style|script)", text, re.IGNORECASE) else text
        text = _TAG.sub(_blanks, text)
    if "\\" in text and "\n" not in text:  # a text with line ends means a backslash by `\\`
        text = _ESCAPED.sub(lambda found: ("\n" if "n" in found[0] else " ").rjust(len(found[0])), text)
    return text


def _decoded(word: re.Match[str]) -> str:
    return html.unescape(word[0]).ljust(len(word[0])) if _ENTITY.search(word[0]) else word[0]


def _blanks(found: re.Match[str]) -> str:
    """Return blanks instead of a tag or an entity; a tag that ends a line becomes a line end, </p> an empty line."""
    length = len(found[0])
    if not found[0].startswith("<") or _INLINE.match(found[0]):
        return " " * length
    return "\n\n".ljust(length) if found[0][1] == "/" else "\n".ljust(length)
