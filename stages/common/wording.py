"""Words that pages, captions and cards of several stages share."""


def counted(number: int | float, noun: str, plural: str = "") -> str:
    """Return a number with its noun: 1 epoch, 2.5 epochs, 1,566 images; `plural` where it is not noun + s."""
    form = noun if number == 1 else plural or f"{noun}s"
    return f"{number:,} {form}" if isinstance(number, int) else f"{number:,.6g} {form}"
