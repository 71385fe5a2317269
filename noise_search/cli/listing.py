"""The names there are. Sources are read, not run: nothing heavy is imported to show a list."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from noise_search.cli.text import printable
from noise_search.errors import UserError, nearest
from noise_search.registry import names

if TYPE_CHECKING:
    from noise_search.verifiers.known import Known

KINDS: Mapping[str, str] = {
    "searches": "search",
    "verifiers": "verifier",
    "models": "model",
    "measures": "measure",
}


@dataclass(frozen=True)
class Entry:
    """What there is to say of one name.

    Attributes:
        name: as it is written in a spec.
        summary: the first line of its documentation.
        options: as they are written in a spec, with their defaults.
    """

    name: str
    summary: str
    options: str


def print_names(kind: str | None) -> None:
    """Show what there is of a kind, or of all.

    Raises:
        UserError: there is no such kind.
    """
    if kind is not None and kind not in KINDS:
        raise UserError(f"list: unknown kind {kind!r}{nearest(kind, KINDS)}")
    for title in KINDS if kind is None else [kind]:
        if kind is None:
            typer.echo(f"{title.capitalize()}:")
        indent = "  " if kind is None else ""
        entries = list(entries_of(KINDS[title]))
        width = max(len(entry.name) for entry in entries)
        for entry in entries:
            typer.echo(f"{indent}{entry.name:<{width}}  {entry.summary}")
            if entry.options:
                typer.echo(f"{indent}{'':<{width}}  ({entry.options})")
            if title == "verifiers" and (status := status_of(entry.name)):
                typer.echo(f"{indent}{'':<{width}}  {status}")


def status_of(name: str) -> str:
    """Whether a verifier can be used here, and what is known of it; of others', their speed."""
    from noise_search.verifiers.known import KNOWN, missing, versions_of

    known = KNOWN.get(name)
    if known is None:
        return _speed(name, None)
    extra, versions = missing(name), versions_of(name)
    if extra is not None:
        ready = [f"not installed: pip install 'noise-search[{extra}]'"]
    elif known.named and not versions:
        ready = ["needs what its spec names"]
    else:
        ready = [] if known.named else [_weights(name)]
        ready += [f"{key}: {_weights(key)}" for key in versions]
    parts = (*ready, _range(known), known.licence, _speed(name, known.ms))
    return "; ".join(part for part in parts if part)


def _weights(key: str) -> str:
    from noise_search.verifiers.known import lacking

    gone = lacking(key)
    if gone:
        return f"weights not on the disk: noise-search prefetch {key}"
    return "ready" if gone is None else "ready, weights found"


def _range(known: Known) -> str:
    if known.low is None or known.high is None:
        return "" if known.named else "no bounds"
    return f"{known.low:g} to {known.high:g}"


def _speed(name: str, usual: float | None) -> str:
    """What was measured on this machine, else what is usual."""
    from noise_search.verifiers.speeds import speed_of

    found = speed_of(name)
    if found is None:
        return "" if usual is None else f"{usual:g} ms an image"
    whose = "" if found.spec == name else f"{printable(found.spec)}: "
    return f"{whose}{found.milliseconds:.3g} ms an image on {printable(found.device)}"


def entries_of(kind: str) -> Iterator[Entry]:
    """Everything that has a name of this kind, in order of names."""
    for name, where in sorted(names(kind).items()):
        module, _, attribute = where.partition(":")
        yield _entry(name, _definition(module, attribute))


def _definition(module: str, attribute: str) -> ast.FunctionDef | ast.ClassDef | None:
    """Where a module defines an attribute, or None if it only passes it on."""
    try:
        spec = find_spec(module)
        text = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
        tree = ast.parse(text)
    except (ImportError, OSError, ValueError, SyntaxError):
        return None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == attribute:
            return node
    return None


def _entry(name: str, node: ast.FunctionDef | ast.ClassDef | None) -> Entry:
    if node is None:
        return Entry(name, "", "")
    summary = (ast.get_docstring(node) or "").partition("\n")[0]
    if isinstance(node, ast.ClassDef):
        makers = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        if not makers:
            return Entry(name, summary, "")
        [node] = makers
    return Entry(name, summary, ", ".join(_options(node.args)))


def _options(arguments: ast.arguments) -> Iterator[str]:
    """Parameters that have defaults; those before them are given by the program, but for plans."""
    placed = [*arguments.posonlyargs, *arguments.args]
    first = len(placed) - len(arguments.defaults)
    for parameter in placed[:first]:
        if isinstance(parameter.annotation, ast.Name) and parameter.annotation.id == "Plan":
            yield parameter.arg.upper()
    for parameter, default in zip(placed[first:], arguments.defaults, strict=True):
        yield f"{parameter.arg}={_spelled(default)}"
    for parameter, maybe in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if maybe is not None:
            yield f"{parameter.arg}={_spelled(maybe)}"


def _spelled(default: ast.expr) -> str:
    """A default as it is spelled in a spec, where tuples are joined by +."""
    if isinstance(default, ast.Tuple):
        return "+".join(map(_spelled, default.elts))
    if isinstance(default, ast.Constant) and isinstance(default.value, str):
        return default.value
    if isinstance(default, ast.Constant) and isinstance(default.value, bool):
        return str(default.value).lower()
    return ast.unparse(default)
