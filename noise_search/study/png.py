"""PNG files that carry the recipe of their own making."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from noise_search.errors import UserError
from noise_search.study.files import read_bytes, write_bytes

KEY = "noise-search"
MOST_PIXELS = 1 << 26
MOST_BYTES = 1 << 29


def write_png(
    path: Path,
    pixels: Any,
    record: Mapping[str, Any] | None,
    size: tuple[int, ...] | None = None,
) -> None:
    """Write an image, with its record in two dialects: JSON, and the `parameters` line.

    Args:
        path: where to.
        pixels: (height, width, 3) uint8.
        record: a record that `reproduce` understands, or None for a bare image.
        size: height and width of the sample, where the picture is another's: a strip of frames.
    """
    from PIL import Image, PngImagePlugin

    info = PngImagePlugin.PngInfo()
    if record is not None:
        info.add_itxt("parameters", parameters(record, size or pixels.shape))
        info.add_itxt(KEY, json.dumps(record, ensure_ascii=False, allow_nan=False), zip=True)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info)
    write_bytes(path, buffer.getvalue())


def parameters(record: Mapping[str, Any], shape: tuple[int, ...]) -> str:
    """The text that web front ends for diffusion models read from a PNG."""
    settings, prompt = record["settings"], record["prompt"]
    own = record["recipes"][-1]
    scores = ", ".join(f"{k}: {v:.4g}" for k, v in record["candidate"]["scores"].items())
    noise = f"Seed: {own['seed']}" if own["kind"] == "gaussian" else f"Noise: {own['name']}"
    lines = [prompt["text"]]
    if prompt.get("negative"):
        lines.append(f"Negative prompt: {prompt['negative']}")
    lines.append(
        f"Steps: {record['candidate']['stages']}, CFG scale: {settings['guidance_scale']}, "
        f"{noise}, Size: {shape[1]}x{shape[0]}, Model: {settings['model']}, "
        f"Search: {settings['search']}" + (f", {scores}" if scores else "")
    )
    return "\n".join(lines)


def read_png(path: Path) -> tuple[Any, Mapping[str, Any]]:
    """The pixels and the record of a PNG that this library wrote.

    Raises:
        UserError: it is no such file.
    """
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    data = read_bytes(path, "picture", MOST_BYTES, "512 MiB")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.width * image.height > MOST_PIXELS:
                raise UserError(f"{path}: {image.width} x {image.height} is too large")
            pixels = np.asarray(image.convert("RGB"))
            text = image.info.get(KEY)
    except UnidentifiedImageError:
        raise UserError(f"{path} is not a readable PNG") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} is not a readable PNG: {error}") from None
    if not isinstance(text, str):
        raise UserError(f"{path} carries no recipe; it was written without metadata, or elsewhere")
    try:
        record: Mapping[str, Any] = json.loads(text)
        known = {"settings", "prompt", "candidate", "recipes"} <= set(record)
    except (ValueError, TypeError):
        raise UserError(f"{path}: its recipe is damaged") from None
    if not known:
        raise UserError(f"{path}: its recipe is damaged")
    return pixels, record
