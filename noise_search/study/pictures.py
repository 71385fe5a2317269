"""Pictures from a user's disk, read with care: few formats, a limit of pixels, one-line errors."""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from noise_search.errors import UserError
from noise_search.study.files import read_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP")
MOST_PIXELS = 1 << 26
MOST_BYTES = 1 << 28


def read_image(path: Path, key: str, sha256: str | None = None) -> tuple[Image, str]:
    """A picture in RGB, or in grey where it is grey, and the digest of its file.

    Args:
        path: a PNG, JPEG or WEBP file.
        key: what it is for, for errors.
        sha256: the digest that the file must have; any, if None.

    Raises:
        UserError: it cannot be read, is too large, or has changed.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    data = read_bytes(path, f"{key}:", MOST_BYTES, "256 MiB")
    found = hashlib.sha256(data).hexdigest()
    if sha256 not in (None, found):
        raise UserError(f"{key}: {path} has changed since the run was begun")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limit of pixels is our own
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > MOST_PIXELS:
            raise UserError(f"{key}: {path}: {image.width} x {image.height} is too large")
        grey = image.mode in ("1", "L")
        upright = ImageOps.exif_transpose(image)
        return upright.convert("L" if grey else "RGB"), found
    except UserError:
        raise
    except UnidentifiedImageError:
        raise UserError(f"{key}: {path} is no PNG, JPEG or WEBP picture") from None
    except Exception as error:  # a damaged file can be wrong in any way
        raise UserError(f"{key}: {path}: {str(error)[:200]}") from None
