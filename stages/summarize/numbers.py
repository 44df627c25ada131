"""Numbers as the report prints them: `.912 [.880, .941]`."""

from datetime import UTC, datetime

from ..common.records import Estimate

NONE = "\u2013"  # an en dash, for a missing number


def decimal(value: float | None, places: int = 3) -> str:
    """Format with fixed places and without the leading zero: .912, -.003, 1.000."""
    if value is None:
        return NONE
    text = f"{value:.{places}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    return sign + (digits[1:] if digits.startswith("0.") else digits)


def signed(value: float) -> str:
    """Format a difference with its sign: +.012, -.003."""
    return f"{'+' if value > 0 else ''}{decimal(value)}"


def interval(estimate: Estimate | None) -> str:
    """Format a value with its 95 % interval."""
    if estimate is None:
        return NONE
    return f"{decimal(estimate.value)} [{decimal(estimate.low)}, {decimal(estimate.high)}]"


def rank(value: float) -> str:
    """Format a rank, with the half of ties and even numbers: 12, 12.5, 1,203."""
    return f"{value:,.1f}".removesuffix(".0")


def figures(value: float | None) -> str:
    """Format with two significant figures, for numbers of unknown scale: .0043, -1.2, 1.1e-08."""
    if value is None:
        return NONE
    text = f"{value:.2g}"
    return text.replace("0.", ".", 1) if text.removeprefix("-").startswith("0.") else text


def count(value: int | None) -> str:
    """Format a count with thousands separators; None is "unknown"."""
    return "unknown" if value is None else f"{value:,}"


def percent(value: float | None) -> str:
    """Format a share as a percentage."""
    return NONE if value is None else f"{100 * value:.1f} %"


def moment(milliseconds: int) -> str:
    """Format a Unix time in milliseconds as UTC."""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def duration(milliseconds: int | None) -> str:
    """Format milliseconds as 4.2 s, 3 min 05 s, 1 h 36 min."""
    if milliseconds is None:
        return NONE
    seconds = milliseconds / 1000
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def words(name: str) -> str:
    """Return a name of the code as words: lung_opacity is `lung opacity`."""
    return name.replace("_", " ")
