"""Pictures that a pipeline was called with as objects: kept in the run's folder, by content."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from noise_search.errors import UserError
from noise_search.pipelines.arguments import recorded
from noise_search.study.files import read_bytes, write_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["find_input", "save_inputs"]

FOLDER = "inputs"
MOST_BYTES = 1 << 29


def save_inputs(out: Path, arguments: Mapping[str, object]) -> None:
    """Write each picture among the arguments to `inputs/DIGEST.png`, once.

    What PNG cannot hold as it is (as CMYK) is left out: it has to be given again.

    Args:
        out: the run's folder.
        arguments: of the pipeline's call.
    """
    for image in _images(arguments.values()):
        told = str(recorded(image))
        name = _name(told)
        path = out / FOLDER / (name or "")
        if name is None or path.exists():
            continue
        buffer = io.BytesIO()
        try:
            image.save(buffer, "PNG")
        except OSError:  # a mode that PNG does not have
            continue
        if recorded(_read(buffer.getvalue())) == told:
            write_bytes(path, buffer.getvalue())


def find_input(told: str, homes: Sequence[Path]) -> Image | None:
    """The picture of a record's digest, where one of the folders of a run keeps it.

    Raises:
        UserError: a file that should be it has changed.
    """
    name = _name(told)
    for path in (home / FOLDER / name for home in homes if name is not None):
        if not path.exists():
            continue
        data = read_bytes(path, "picture", MOST_BYTES, "512 MiB")
        try:
            found = _read(data)
            same = recorded(found) == told
        except (OSError, SyntaxError, ValueError):
            found, same = None, False
        if not same:
            raise UserError(f"{path} has changed since the run was begun")
        return found
    return None


def _name(told: str) -> str | None:
    """The file's name; None of what is no picture."""
    found = re.fullmatch(r"<image sha256:([0-9a-f]{64}) \d+x\d+>", told)
    return None if found is None else f"{found[1]}.png"


def _read(data: bytes) -> Image:
    from PIL import Image

    image = Image.open(io.BytesIO(data), formats=("PNG",))
    image.load()
    return image


def _images(values: Iterable[object]) -> Iterator[Any]:
    """The PIL pictures among values, and in lists of them."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from _images(cast("Sequence[object]", value))
        elif hasattr(value, "tobytes") and hasattr(value, "mode"):
            yield value
