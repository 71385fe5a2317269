"""Making a picture again from its own record, and comparing it with the one that was made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noise_search.ask import Prompt
from noise_search.errors import UserError, nearest
from noise_search.journal import read_candidate
from noise_search.noise import Book, Recipe
from noise_search.problem import content_hash
from noise_search.study.arguments import again
from noise_search.study.files import MOST_BYTES, read_bytes, read_json
from noise_search.study.png import read_png
from noise_search.study.settings import Settings
from noise_search.study.video import is_drawn, strip
from noise_search.text import Text


@dataclass(frozen=True)
class Reproduction:
    """A candidate made again.

    Attributes:
        candidate: its name.
        pixels: what was made now, (height, width, 3) uint8, or (frames, ...); None of a text.
        equal: whether every pixel, or every word, is as it was; None if nothing was recorded to
            compare with.
        difference: the largest difference of a pixel, 0-255; None where only a hash is known.
        text: what was written now, or None of a picture.
        rate: frames a second, where it is a video.
    """

    candidate: str
    pixels: Any
    equal: bool | None
    difference: int | None
    text: str | None = None
    rate: float | None = None


def reproduce(
    source: str | Path | Mapping[str, Any],
    pipe: Any = None,
    *,
    candidate: str | None = None,
    arguments: Mapping[str, object] | None = None,
    trust_remote_code: bool = False,
) -> Reproduction:
    """Make a candidate again.

    Args:
        source: a PNG written by this library, the folder of a run, or a record.
        pipe: the loaded pipeline, where the record's model is not a spec.
        candidate: which one of a folder; its best by default. A unique beginning is enough.
        arguments: objects that the pipeline was called with: a record holds their digests alone.
            Pictures among them are found in the run's folder, where the source lies in it.
        trust_remote_code: whether code that lies with the record's model may run.

    Raises:
        UserError: the source holds no such candidate.
    """
    objects, trust = arguments or {}, trust_remote_code
    if isinstance(source, Mapping):
        return _again(source, None, pipe, objects, trust, ())
    path = Path(source)
    if path.is_dir():
        return _again(find_record(path, candidate), None, pipe, objects, trust, [path])
    pixels, record = read_png(path)
    return _again(record, pixels, pipe, objects, trust, path.resolve().parents[:3])


def _again(
    record: Mapping[str, Any],
    was: Any | None,
    pipe: Any,
    objects: Mapping[str, object],
    trust: bool,
    homes: Sequence[Path],
) -> Reproduction:
    from noise_search.study.bench import options_of

    settings = Settings.recorded(record["settings"], trust=trust)
    book = Book(Recipe.read(line) for line in record["recipes"])
    known = {k: v for k, v in record["candidate"].items() if k != "text"}  # it is made again
    candidate = read_candidate(known, book)
    options = options_of(settings, book, None, again(settings.pipeline, objects, homes))
    from noise_search.pipelines import loading

    pipeline = (
        loading.load(settings.model, options) if pipe is None else loading.wrap(pipe, options)
    )
    pixels, _, _ = pipeline.picture(candidate, Prompt(**record["prompt"]))
    equal = None if candidate.sha256 is None else content_hash(pixels) == candidate.sha256
    if isinstance(pixels, Text):
        return Reproduction(candidate.name, None, equal, None, pixels.words)
    difference = 0 if equal else None
    if was is not None and is_drawn(pixels):
        now = strip(pixels)
        if now.shape == was.shape:
            difference = int(abs(was.astype(int) - now.astype(int)).max())
            equal = difference == 0 and equal is not False
            difference = difference or (0 if equal else None)
    rate: float | None = getattr(pipeline, "rate", None)
    return Reproduction(candidate.name, pixels, equal, difference, rate=rate)


def find_record(run: Path, name: str | None) -> dict[str, Any]:
    """The record of a candidate, from the folder of a run.

    Raises:
        UserError: the folder holds no finished run, or no such candidate.
    """
    for file in ("run.json", "candidates.jsonl"):
        if not (run / file).exists():
            raise UserError(f"{run} holds no finished run; noise-search resume {run} finishes it")
    try:
        return _found(run, name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{run}: its run.json or candidates.jsonl is damaged") from None


def _found(run: Path, name: str | None) -> dict[str, Any]:
    whole = read_json(run / "run.json")
    lines = read_bytes(run / "candidates.jsonl", "run", MOST_BYTES, "4 GiB").splitlines()
    recipes: list[Mapping[str, Any]] = []
    found: dict[str, Mapping[str, Any]] = {}
    best = (r["best"]["candidate"] for r in whole["results"] if r["best"])
    wanted = next(best, None) if name is None else name
    if wanted is None:
        raise UserError(f"{run}: nothing was finished; --candidate names a candidate")
    known: list[str] = []
    for line in map(json.loads, lines):
        recipes += [*line.pop("recipes", []), line["noise"]]
        known.append(line["candidate"])
        if line["candidate"].startswith(wanted):
            found[line["candidate"]] = {**line, "noise": line["noise"]["name"]}
    if len(found) != 1:
        what = "several candidates" if found else "no candidate"
        raise UserError(
            f"{run} holds {what} {wanted!r}{'' if found else nearest(wanted, known[:999])}"
        )
    [record] = found.values()
    prompts = {r["prompt"]["name"]: r["prompt"] for r in whole["results"]}
    return {
        "settings": whole["settings"],
        "prompt": prompts[record["prompt"]],
        "candidate": record,
        "recipes": recipes,
    }
