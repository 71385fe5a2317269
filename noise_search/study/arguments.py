"""A user's own arguments of the pipeline: live ones for the call, and their forms for the record.

A picture given by its path stands in the record as ``{"file": path, "sha256": digest}`` and is
read again when the run is resumed; one given as an object, as its digest, and the run's folder
keeps it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from noise_search.errors import UserError
from noise_search.pipelines.arguments import Json, is_digest, recorded
from noise_search.study.inputs import find_input
from noise_search.study.pictures import read_image

IMAGES = frozenset({"control_image", "image", "ip_adapter_image", "mask_image"})
"""Arguments that are pictures: a text given for one is its path."""
RENAMED = {
    "eta": "eta",
    "generator": "seed",
    "guidance_scale": "guidance_scale",
    "num_images_per_prompt": "batch",
    "num_inference_steps": "steps",
    "prompt": "prompt",
}
"""Arguments of a pipeline that are settings here."""
MOST = 64
"""More arguments than this are refused."""


def settled(given: Mapping[str, object], base: Path | None = None) -> dict[str, object]:
    """The arguments with paths of pictures made definite.

    Args:
        given: as the user wrote them.
        base: the folder that relative paths count from; this process's by default.

    Raises:
        UserError: a picture cannot be read.
    """
    return {
        key: _settled(value, f"pipeline.{key}", base or Path()) if key in IMAGES else value
        for key, value in given.items()
    }


def _settled(value: object, key: str, base: Path) -> object:
    if isinstance(value, list):
        return [_settled(part, key, base) for part in cast("list[object]", value)]
    given = os.fsdecode(cast("os.PathLike[str]", value)) if hasattr(value, "__fspath__") else value
    if not isinstance(given, str) or is_digest(given):
        return value
    try:
        path = (base / Path(given).expanduser()).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{key}: {given[:60]!r}: {error}") from None
    _, sha256 = read_image(path, key)
    return {"file": str(path), "sha256": sha256}


def live(arguments: Mapping[str, object], homes: Sequence[Path] = ()) -> dict[str, Any]:
    """What the pipeline is called with: pictures are read from their files.

    Args:
        arguments: as a record holds them.
        homes: folders of runs that may keep the pictures which were given as objects.

    Raises:
        UserError: a file has changed, or an object is needed that a record does not hold.
    """
    return {key: _live(value, f"pipeline.{key}", homes) for key, value in arguments.items()}


def _live(value: Any, key: str, homes: Sequence[Path]) -> Any:
    if is_digest(value):
        if (found := find_input(value, homes)) is not None:
            return found
        raise UserError(
            f"{key} was given as an object, {value[:60]}; give it again, from Python: "
            f"reproduce(..., arguments={{{key.rpartition('.')[2]!r}: ...}})"
        )
    if isinstance(value, list):
        return [_live(part, key, homes) for part in cast("list[object]", value)]
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        if set(fields) == {"file", "sha256"}:
            return read_image(Path(fields["file"]), key, str(fields["sha256"]))[0]
        return fields
    return value


def again(
    record: Mapping[str, Json], given: Mapping[str, object], homes: Sequence[Path] = ()
) -> dict[str, Any]:
    """The arguments of a record, with the objects that it needs.

    Args:
        record: arguments as they were recorded.
        given: those that a record does not hold, or all of them.
        homes: see `live`.

    Raises:
        UserError: one is missing, or is not what it was.
    """
    for key, value in given.items():
        if key not in record:
            raise UserError(f"pipeline.{key[:60]}: the record holds no such argument")
        if recorded(value, f"pipeline.{key}") != record[key]:
            raise UserError(f"pipeline.{key} is not what it was: {str(record[key])[:80]}")
    return {**live({k: v for k, v in record.items() if k not in given}, homes), **given}


def checked_arguments(value: object) -> dict[str, Json]:
    """The arguments of a setting: names, and values of JSON.

    Raises:
        ValueError: they are not.
    """
    if not isinstance(value, Mapping):
        raise ValueError("a mapping of arguments to values is needed")
    given = cast("Mapping[object, object]", value)
    if len(given) > MOST:
        raise ValueError(f"more than {MOST} arguments")
    for key in given:
        if not isinstance(key, str) or not re.fullmatch(r"[A-Za-z_]\w{0,99}", key):
            raise ValueError(f"{str(key)[:60]!r} is no name of an argument")
        if key == "negative_prompt":
            raise ValueError("a negative prompt is its prompt's")
        if key in RENAMED:
            raise ValueError(f"{key} is a setting of its own, {RENAMED[key]!r}")
    return {str(key): recorded(part, f"pipeline.{key}") for key, part in given.items()}
