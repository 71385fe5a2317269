"""What the call of a pipeline takes, read from its source where its class need not be loaded."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from noise_search.errors import UserError, nearest

__all__ = [
    "DECODERS",
    "FRAMES",
    "RATES",
    "Signature",
    "decoder_name",
    "read_signature",
    "signature_of",
]

FRAMES = ("num_frames", "video_length", "frames")
"""Parameters that only a pipeline of videos has."""
RATES = ("fps", "frame_rate")
"""Frames a second, as pipelines of videos call them."""
DECODERS = ("vae", "movq", "vqvae", "vqgan")
"""What pipelines call the component that turns latents into pictures."""
_RATE = 16.0
_BUILT_IN = ("ShapesPipeline",)


@dataclass(frozen=True)
class Signature:
    """What a call takes.

    Attributes:
        name: of the class, for errors.
        parameters: their defaults; None where there is none, or it is no plain value.
        open: whether it takes more, or is not known. Pipelines of diffusers that have `**kwargs`
            are closed: they overlook what they do not know.
    """

    name: str
    parameters: Mapping[str, object] = field(default_factory=dict[str, object])
    open: bool = False

    @property
    def steps(self) -> int | None:
        """Its own number of denoising steps."""
        steps = self.parameters.get("num_inference_steps")
        return steps if isinstance(steps, int) else None

    @property
    def guidance_scale(self) -> float | None:
        """Its own strength of guidance, or None if it has none."""
        scale = self.parameters.get("guidance_scale")
        return float(scale) if isinstance(scale, (int, float)) else None

    def films(self, names: Iterable[str]) -> bool:
        """Whether a call makes a video: it takes a number of frames, or is given one.

        Args:
            names: the arguments of the call.
        """
        given = {*self.parameters, *(names if self.open else ())}
        return not given.isdisjoint(FRAMES)

    def rate(self, arguments: Mapping[str, object], fps: float | None = None) -> float | None:
        """Frames a second of its videos: as asked for or called, its own, or 16; None of pictures.

        Args:
            arguments: what it is called with.
            fps: what is asked for of a call that takes no such argument.
        """
        if not self.films(arguments):
            return None
        rates = [given.get(name) for given in (arguments, self.parameters) for name in RATES]
        found = (float(r) for r in (fps, *rates) if isinstance(r, (int, float)) and r > 0)
        return next(found, _RATE)

    def paced(self, fps: float | None) -> dict[str, float]:
        """Frames a second as an argument of its call, where it takes one."""
        if fps is None:
            return {}
        own = [name for name in RATES if name in self.parameters]
        return {name: int(fps) if fps == int(fps) else fps for name in own[:1]}

    def check_rate(self, names: Iterable[str]) -> None:
        """Refuse frames a second of what is no video, or that are told twice.

        Args:
            names: the other arguments of its call.

        Raises:
            UserError: they have no meaning here.
        """
        given = list(names)
        unknown = self.open and not self.parameters
        if not (unknown or self.films(given)):
            way = f"; leave it out, or give {FRAMES[0]} too" if self.open else "; leave it out"
            raise UserError(f"fps: {self.name} makes no videos{way}")
        for name in given:
            if name in RATES:
                raise UserError(f"fps: pipeline.{name} says it too; leave one out")

    def takes(self, name: str) -> bool:
        """Whether an argument is taken."""
        return self.open or name in self.parameters

    def check(self, names: Iterable[str]) -> None:
        """Refuse arguments that are not taken.

        Raises:
            UserError: there is one.
        """
        for name in names:
            if self.takes(name):
                continue
            if not self.parameters:
                raise UserError(f"pipeline.{name[:60]}: {self.name} takes no such arguments")
            known = nearest(name, self.parameters)
            hint = known if known.startswith("; did") else ""
            raise UserError(f"pipeline.{name[:60]}: {self.name} takes no such argument{hint}")


def decoder_name(pipe: object) -> str | None:
    """The name of the component that turns latents into pictures, or None."""
    return next((name for name in DECODERS if getattr(pipe, name, None) is not None), None)


def signature_of(kind: type) -> Signature:
    """The signature of a loaded class."""
    found = inspect.signature(kind.__call__).parameters
    empty, more = inspect.Parameter.empty, inspect.Parameter.VAR_KEYWORD
    plain = {n: p for n, p in found.items() if n != "self" and p.kind is not more}
    return Signature(
        kind.__name__,
        {name: None if p.default is empty else p.default for name, p in plain.items()},
        any(p.kind is more for p in found.values()) and not _of_diffusers(kind),
    )


def _of_diffusers(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "diffusers"


@lru_cache(maxsize=64)
def read_signature(name: str) -> Signature | None:
    """The signature of a pipeline of diffusers, or of the built-in one; nothing is imported.

    >>> read_signature("StableDiffusionPipeline").steps
    50

    Returns:
        None if there is no such class, or nothing calls it.
    """
    for path in _sources(name):
        text = path.read_text(encoding="utf-8")
        if f"class {name}(" not in text:
            continue
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return _of_class(name, node)
    return None


def _sources(name: str) -> Iterator[Path]:
    if name in _BUILT_IN:
        yield Path(__file__).resolve().parent / "shapes" / "pipeline.py"
        return
    package = find_spec("diffusers")
    for folder in (package.submodule_search_locations or ()) if package else ():
        yield from sorted((Path(folder) / "pipelines").rglob("*.py"))


def _of_class(name: str, node: ast.ClassDef) -> Signature | None:
    """The signature of its own call, or of that which it has inherited."""
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__call__":
            return _of_call(name, part.args)
    bases = (read_signature(b.id) for b in node.bases if isinstance(b, ast.Name) and b.id != name)
    found = next((base for base in bases if base is not None), None)
    return None if found is None else Signature(name, found.parameters)


def _of_call(name: str, given: ast.arguments) -> Signature:
    placed = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [*[None] * (len(placed) - len(given.defaults))]
    defaults += given.defaults
    pairs = [*zip(placed, defaults, strict=True)]
    pairs += zip(given.kwonlyargs, given.kw_defaults, strict=True)
    parameters = {p.arg: _plain(default) for p, default in pairs if p.arg != "self"}
    return Signature(name, parameters)


def _plain(default: ast.expr | None) -> object:
    """A default that is written out, or None."""
    try:
        return None if default is None else ast.literal_eval(default)
    except ValueError:
        return None
