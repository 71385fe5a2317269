"""Contact sheets: rows of pictures with a caption each, and a blank cell for a failed one."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from noise_search.study.files import write_bytes
from noise_search.study.tables import shortened

CELL = 160
MOST_ROWS = 64
_MARGIN, _LINE = 12, 18
_SMALL, _LETTERS = 14, 28
_INK, _PAPER, _BLANK = (25, 25, 30), (250, 250, 248), (225, 225, 222)
_GOOD, _BAD = (20, 130, 70), (190, 60, 50)


@dataclass(frozen=True)
class Cell:
    """One picture of a sheet.

    Attributes:
        pixels: (height, width, 3) uint8, or None for a blank cell.
        caption: lines below it.
        mark: True draws a green frame, False a red one, None neither.
    """

    pixels: Any | None
    caption: str = ""
    mark: bool | None = None

    @classmethod
    def judged(cls, pixels: Any, said: str, evaluation: Mapping[str, float]) -> Self:
        """A picture with what evaluators say of it: a line each, or a frame for right and wrong.

        Args:
            pixels: of the picture.
            said: the first line below it.
            evaluation: scores by evaluator; the first alone can make a frame.
        """
        shown = {name: value for name, value in evaluation.items() if not name.endswith(".min")}
        first = next(iter(shown), None)
        mark = bool(shown.pop(first)) if first and shown[first] in (0.0, 1.0) else None
        lines = (f"{shortened(name, _LETTERS - 8)} {value:.4g}" for name, value in shown.items())
        return cls(pixels, "\n".join([said, *lines]), mark)


def write_sheet(
    path: Path,
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Cell]]],
    note: str = "",
) -> None:
    """Draw a contact sheet.

    Args:
        path: where to.
        columns: a title a column.
        rows: a title and its cells a row; beyond 64 rows the rest is left out.
        note: below everything, in as many lines as it takes.
    """
    from PIL import Image, ImageDraw, ImageFont

    kept = rows[:MOST_ROWS]
    title, small = ImageFont.load_default(14), ImageFont.load_default(11)
    wide = CELL + _MARGIN
    below = max((cell.caption.count("\n") for _, cells in kept for cell in cells), default=0)
    high = CELL + 2 * _LINE + below * _SMALL + _MARGIN
    foot = 2 * _MARGIN + _LINE + high * len(kept)
    across = _MARGIN + wide * len(columns)
    notes = list(_wrapped(note, lambda line: small.getlength(line) <= across - 2 * _MARGIN))
    size = (across, foot + _LINE * len(notes))
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for j, text in enumerate(columns):
        draw.text((_MARGIN + j * wide, _MARGIN), _short(text, 22), _INK, font=title)
    for i, (text, cells) in enumerate(kept):
        top = 2 * _MARGIN + _LINE + i * high
        draw.text((_MARGIN, top), _short(text, 26 * len(columns)), _INK, font=small)
        for j, cell in enumerate(cells):
            _draw_cell(sheet, (_MARGIN + j * wide, top + _LINE), cell, small)
    for number, line in enumerate(notes):
        draw.text((_MARGIN, foot - _MARGIN // 2 + number * _LINE), line, _INK, font=small)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())


def _draw_cell(sheet: Any, corner: tuple[int, int], cell: Cell, font: Any) -> None:
    from PIL import Image, ImageDraw

    draw = ImageDraw.Draw(sheet)
    x, y = corner
    if cell.pixels is None:
        draw.rectangle((x, y, x + CELL - 1, y + CELL - 1), fill=_BLANK)
    else:
        picture = Image.fromarray(cell.pixels)
        scale = CELL / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        method = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS
        sheet.paste(picture.resize(size, method), corner)
    if cell.mark is not None:
        frame = _GOOD if cell.mark else _BAD
        draw.rectangle((x - 2, y - 2, x + CELL + 1, y + CELL + 1), outline=frame, width=3)
    for number, line in enumerate(cell.caption.split("\n")):
        place = (x, y + CELL + 2 + number * _SMALL)
        draw.text(place, _short(line, _LETTERS), _INK, font=font)


def _wrapped(text: str, fits: Callable[[str], bool]) -> Iterator[str]:
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and not fits(longer):
            yield line
            longer = word
        line = longer
    if line:
        yield line


def _short(text: str, length: int) -> str:
    plain = "".join(c if c.isprintable() else " " for c in text)
    return plain if len(plain) <= length else plain[: length - 1] + "…"
