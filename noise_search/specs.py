"""One grammar for searches, verifiers and models: `name[:target[#part]][(key=value,...)]`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from noise_search.errors import UserError

_HEAD = re.compile(r"([A-Za-z_][\w.-]*)(?::(.*))?", re.DOTALL)


@dataclass(frozen=True)
class Spec:
    """A parsed spec.

    Attributes:
        name: what is meant.
        target: a model, directory or address, or None.
        part: what of the target, or None.
        items: values without a key, in order.
        options: values by key, as written.
    """

    name: str
    target: str | None = None
    part: str | None = None
    items: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict[str, str])

    def __str__(self) -> str:
        head = self.name
        if self.target is not None:
            head += f":{self.target}" + ("" if self.part is None else f"#{self.part}")
        inner = [*self.items, *(f"{k}={v}" for k, v in self.options.items())]
        return head + (f"({','.join(inner)})" if inner else "")


def split_top(text: str, mark: str = ",") -> list[str]:
    """Split at marks outside of parentheses.

    >>> split_top("random,prune(at=0.25+0.5,keep=0.5)")
    ['random', 'prune(at=0.25+0.5,keep=0.5)']

    Raises:
        UserError: parentheses do not match.
    """
    parts, depth, last = list[str](), 0, 0
    for i, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth < 0:
            break
        if char == mark and depth == 0:
            parts.append(text[last:i].strip())
            last = i + 1
    if depth != 0:
        raise UserError(f"parentheses do not match in {text!r}")
    return [*parts, text[last:].strip()]


def parse(text: str) -> Spec:
    """Parse one spec.

    >>> parse("prune(at=0.25+0.5)").options
    {'at': '0.25+0.5'}
    >>> parse("judge:http://127.0.0.1:8000/v1#model").part
    'model'

    Raises:
        UserError: the text is not a spec.
    """
    text = text.strip()
    split_top(text)
    head, inner = text, ""
    if text.endswith(")"):
        depth = 0
        for i in range(len(text) - 1, -1, -1):
            depth += (text[i] == ")") - (text[i] == "(")
            if depth == 0:
                head, inner = text[:i], text[i + 1 : -1]
                break
    match = _HEAD.fullmatch(head)
    if match is None:
        raise UserError(f"{text[:80]!r} is not of the form name:target#part(key=value)")
    name, target = match.groups()
    part = None
    if target is not None:
        target, mark, after = target.rpartition("#") if "#" in target else (target, "", "")
        part = after if mark else None
        if not target:
            raise UserError(f"{text[:80]!r} has a colon and no target")
    items, options = _arguments(inner, text)
    return Spec(name, target, part, items, options)


def _arguments(inner: str, text: str) -> tuple[tuple[str, ...], dict[str, str]]:
    items: list[str] = []
    options: dict[str, str] = {}
    for word in split_top(inner) if inner.strip() else []:
        # a key may be a spec itself, with options of its own: weighted(clip(batch=2)=1)
        key, *rest = split_top(word, "=")
        value = word[len(key) :].lstrip().removeprefix("=")
        if not rest:
            if not word or options:
                raise UserError(f"in {text[:80]!r}: {word!r} needs the form key=value")
            items.append(word)
        elif key.strip() in options or not key.strip() or not value.strip():
            raise UserError(f"in {text[:80]!r}: {word!r} is empty or given twice")
        else:
            options[key.strip()] = value.strip()
    return tuple(items), options
