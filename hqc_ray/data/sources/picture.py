"""One image file: what is read as which pixels, and what is refused because it could be read in more than one way."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from hqc_ray.errors import DataError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MAX_PIXELS = 2**26  # of an image, counted before it is decoded: 8,192 x 8,192
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "YCbCr")  # each has one meaning in red, green and blue
_ORIENTATION = 0x0112  # of EXIF
_TURNED = (5, 6, 7, 8)  # by a quarter


def load(file: Path) -> Image.Image:
    """The image in RGB, upright as its EXIF data say; grey, palette and 1-bit images give equal values exactly.

    Raises:
        DataError: not one opaque image of 8 bits per channel, too large, truncated, or not to be opened.
    """
    with _open(file) as image:
        if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
            raise DataError("has transparent pixels, behind which any colour may be", where=str(file), valid="opaque images")
        return ImageOps.exif_transpose(image).convert("RGB")


def size(file: Path) -> tuple[int, int]:
    """(height, width) in pixels of what `load` gives, from the file's header."""
    with _open(file) as image:
        turned = image.format != "TIFF" and image.getexif().get(_ORIENTATION) in _TURNED  # Pillow turns TIFF by itself
        return (image.width, image.height) if turned else (image.height, image.width)


@contextmanager
def _open(file: Path) -> Iterator[Image.Image]:
    """The image before it is decoded, if it may be; whatever Pillow's decoders raise is one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is lower
            opened = Image.open(file)
        with opened as image:
            _check(image, file)
            yield image
    except DataError:
        raise
    except PermissionError as problem:
        raise DataError("no permission to read it", where=str(file), valid="a file that you may read") from problem
    except FileNotFoundError as problem:
        what = "a link to a file that is not there" if file.is_symlink() else "no longer there"
        raise DataError(what, where=str(file), valid="an existing file") from problem
    except Image.DecompressionBombError as problem:
        raise _too_large("", file) from problem
    except UnidentifiedImageError as problem:
        raise DataError(_kind(file), where=str(file), valid=", ".join(SUFFIXES)) from problem
    except Exception as problem:  # a decoder that meets damaged bytes may raise anything
        what = f"not a readable image ({type(problem).__name__}: {problem})"
        raise DataError(what, where=str(file), valid="a whole file") from problem


def _check(image: Image.Image, file: Path) -> None:
    """Refuses what cannot be read as 8 bits of red, green and blue in one way only."""
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(f"{image.height} x {image.width} pixels (height x width)", file)
    if image.mode.startswith(("I", "F")) or _deep(image):
        what = f"pixels of mode {image.mode}" + (", with more than 8 bits in the file" if _deep(image) else "")
        raise DataError(what, where=str(file), valid="8 bits per channel")
    if image.mode not in _MODES:
        raise DataError(f"pixels of mode {image.mode}", where=str(file), valid="grey or RGB: its colours need a profile")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a camera's JPEG with a preview behind it
        raise DataError(f"holds {frames} images", where=str(file), valid="one image per file")


def _deep(image: Image.Image) -> bool:
    """Whether the file has 16 bits per channel, of which Pillow would drop the lower ones without a word."""
    arguments = [tile[3] for tile in getattr(image, "tile", [])]
    raw = [args[0] if isinstance(args, tuple) and args else args for args in arguments]
    return any(isinstance(mode, str) and ";16" in mode for mode in raw)


def _too_large(what: str, file: Path) -> DataError:
    return DataError(what or "too many pixels", where=str(file), valid=f"at most {MAX_PIXELS:,} pixels")


def _kind(file: Path) -> str:
    """What a file is that is no image."""
    with file.open("rb") as opened:
        head = opened.read(64)
    if not head:
        return "not a readable image (it is empty)"
    return f"not a readable image ({'a web page' if head.lstrip()[:1] == b'<' else 'no format that is known'})"
