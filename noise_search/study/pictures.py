"""Pictures from a user's disk, read with care: few formats, a limit of pixels, one-line errors."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from noise_search.errors import UserError
from noise_search.study.files import read_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP")
ENDINGS = frozenset({".jpeg", ".jpg", ".png", ".webp"})
MOST_PIXELS = 1 << 26
MOST_BYTES = 1 << 28
MOST_PICTURES = 100_000
"""Folders of more pictures than this are refused."""
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I")
"""Modes of more than eight bits; PIL would cut them off at 255."""


def read_image(path: Path, key: str, sha256: str | None = None) -> tuple[Image, str]:
    """A picture in RGB, or in grey where it is grey, and the digest of its file.

    It stands upright as its EXIF says; an alpha channel is left out, 16 bits become 8. Animated
    pictures are refused: which of their frames is meant is not known.

    Args:
        path: a PNG, JPEG or WEBP file.
        key: what it is for, for errors.
        sha256: the digest that the file must have; any, if None.

    Raises:
        UserError: it cannot be read, is too large, is animated, or has changed.
    """
    from PIL import UnidentifiedImageError

    data = read_bytes(path, f"{key}:", MOST_BYTES, "256 MiB")
    found = hashlib.sha256(data).hexdigest()
    if sha256 not in (None, found):
        raise UserError(f"{key}: {path} has changed since the run was begun")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limit of pixels is our own
            return _decoded(data), found
    except UnidentifiedImageError:
        raise UserError(f"{key}: {path} is no PNG, JPEG or WEBP picture") from None
    except Exception as error:  # a damaged file can be wrong in any way
        said = "" if isinstance(error, MemoryError) else str(error)
        raise UserError(f"{key}: {path}: {said[:200] or type(error).__name__}") from None


def pictures_in(folder: Path, key: str) -> Iterator[Path]:
    """The picture files in and below a folder, in order of their names; none that leads out of it.

    Args:
        folder: what lies in it under another ending than that of a picture is passed over.
        key: what it is for, for errors.

    Raises:
        UserError: it cannot be listed, or holds too many.
    """
    found: list[Path] = []

    def refuse(error: OSError) -> None:
        raise UserError(f"{key}: {error.filename}: {error.strerror}") from None

    for where, _, names in os.walk(folder, onerror=refuse):
        found += [Path(where, name) for name in names if Path(name).suffix.lower() in ENDINGS]
        if len(found) > MOST_PICTURES:
            raise UserError(f"{key}: {folder} holds more than {MOST_PICTURES:,} pictures")
    whole = folder.resolve()
    for path in sorted(found):
        if not path.is_symlink() or path.resolve().is_relative_to(whole):
            yield path


def _decoded(data: bytes) -> Image:
    """The picture of a file's bytes.

    Raises:
        ValueError: it is too large or animated.
    """
    from PIL import Image, ImageOps

    _check_size(*_webp_canvas(data))  # its decoder makes room before PIL can tell the size
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    _check_size(*image.size)
    # a JPEG of several pictures is a photograph with its previews, and the first is meant
    if image.format in ("PNG", "WEBP") and getattr(image, "is_animated", False):
        raise ValueError("it is animated; give one of its frames")
    upright = ImageOps.exif_transpose(image)
    if upright.mode in _DEEP:
        return upright.point(lambda value: value * (1 / 256)).convert("L")
    return upright.convert("L" if upright.mode in ("1", "L") else "RGB")


def _webp_canvas(data: bytes) -> tuple[int, int]:
    """Width and height that the extended header of a WEBP file claims; 1 x 1 without one."""
    if data[:4] != b"RIFF" or data[8:16] != b"WEBPVP8X":
        return 1, 1
    width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    return width, height


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise ValueError(f"{width} x {height} is too large")
