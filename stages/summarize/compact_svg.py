"""An SVG of matplotlib in fewer bytes, for pages that carry every picture inline."""

import base64
import io
import re

from PIL import Image

_PNG = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")
_PATH = re.compile(r' (?:d|points)="[^"]*"')
_LONG = re.compile(r"(\d\.\d{2})\d+")
QUALITY = 90  # of JPEG, for pixels of radiographs: a picture to look at, not data


def compact(svg: str) -> str:
    """Return the SVG with smaller pictures, paths in hundredths of a point and no ends of lines."""
    text = _PNG.sub(lambda found: _smaller(base64.b64decode(found.group(1))), svg)
    text = _PATH.sub(lambda found: _LONG.sub(r"\1", found.group()), text)
    return re.sub(r"\s*\n\s*", " ", text)


def _smaller(png: bytes) -> str:
    """Return a picture as a data URI: grey ones as JPEG where that is smaller, the others as a PNG packed well."""
    image = Image.open(io.BytesIO(png))
    bands = image.convert("RGBA").split()
    forms = [("png", _saved(image, "PNG", optimize=True))]
    if bands[0].tobytes() == bands[1].tobytes() == bands[2].tobytes() and bands[3].getextrema() == (255, 255):
        forms += [("jpeg", _saved(bands[0], "JPEG", quality=QUALITY, optimize=True)),
                  ("png", _saved(bands[0], "PNG", optimize=True))]  # fmt: skip
    kind, smallest = min(forms, key=lambda form: len(form[1]))
    return f"data:image/{kind};base64,{base64.b64encode(smallest).decode()}"


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
