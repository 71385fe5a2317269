"""Videos: an MP4 file to play, and a strip of key frames, a picture that carries the recipe."""

from __future__ import annotations

import io
from collections.abc import Mapping
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from noise_search.errors import UserError
from noise_search.frames import key_frames
from noise_search.study.files import write_bytes
from noise_search.study.png import write_png

__all__ = ["check_films", "is_drawn", "still", "strip", "video_name", "write_drawn"]

_CODECS = ("libx264", "libopenh264", "mpeg4")
"""The first that this build of PyAV has."""


def is_drawn(pixels: Any) -> bool:
    """Whether pixels are a picture, (H, W, 3), or a video, (frames, H, W, 3)."""
    return getattr(pixels, "ndim", 0) in (3, 4)


def video_name(image: str) -> str:
    """Where a video lies whose strip has this name.

    >>> video_name("images/best.png")
    'images/best.mp4'
    """
    return image.removesuffix(".png") + ".mp4"


def check_films(rate: float | None) -> None:
    """Refuse to make videos that could not be written.

    Args:
        rate: frames a second of what is made; None of pictures.

    Raises:
        UserError: it is videos, and PyAV is not installed.
    """
    if rate is not None and find_spec("av") is None:
        raise UserError(
            "this pipeline makes videos, and writing them needs PyAV; "
            "pip install 'noise-search[video]'"
        )


def strip(pixels: Any) -> Any:
    """A picture as it is; of a video its key frames side by side, (H, 4 W, 3)."""
    import numpy as np

    if pixels.ndim == 3:
        return pixels
    return np.concatenate([pixels[i] for i in key_frames(len(pixels))], axis=1)


def still(pixels: Any) -> Any:
    """A picture as it is; of a video the frame in its middle."""
    return pixels if pixels.ndim == 3 else pixels[key_frames(len(pixels), 1)[0]]


def write_drawn(
    path: Path, pixels: Any, record: Mapping[str, Any] | None, rate: float | None
) -> None:
    """Write a picture as PNG; a video as MP4, with a PNG of its key frames beside it.

    Args:
        path: of the PNG.
        pixels: a picture or a video, uint8.
        record: a record that `reproduce` understands, or None for bare files.
        rate: frames a second of a video; 16 if they are not known.

    Raises:
        UserError: it is a video and PyAV is not installed.
    """
    if pixels.ndim == 4:
        write_bytes(path.with_name(video_name(path.name)), mp4(pixels, rate or 16))
    write_png(path, strip(pixels), record, size=pixels.shape[-3:-1])


def mp4(frames: Any, rate: float) -> bytes:
    """A film of H.264, or of MPEG-4 where that is missing; the same bytes for the same frames.

    Sides of an odd length are made even by their last row or column: players want it so.

    Args:
        frames: (frames, H, W, 3) uint8.
        rate: frames a second.
    """
    check_films(rate)
    import av
    import numpy as np

    height, width = frames.shape[1:3]
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    codec = next(name for name in _CODECS if name in av.codecs_available)
    buffer = io.BytesIO()
    film: Any
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as film:
        stream = film.add_stream(codec, rate=Fraction(rate).limit_denominator(1001))
        stream.height, stream.width = even.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1  # slices of several threads would be other bytes
        stream.options = {"crf": "18"} if codec == "libx264" else {}
        if codec != "libx264":
            stream.bit_rate = 8_000_000
        for frame in even:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        film.mux(stream.encode(None))
    return buffer.getvalue()
