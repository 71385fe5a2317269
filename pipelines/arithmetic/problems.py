"""Chained arithmetic: questions, worked solutions, and an exact check of every line.

A question is an expression over whole numbers with ``+``, ``-``, ``*`` and the usual precedence.
Its solution has one operation a line in a fixed order, multiplications from left to right first,
then additions and subtractions from left to right, and a last line with the answer:

    >>> solve("3 + 4 * 2 - 5")
    ['4 * 2 = 8', '3 + 8 = 11', '11 - 5 = 6', 'answer 6']

The depth of a question is the number of its operations.  12 % of the questions are held out of all
training by a hash of their text.
"""

from __future__ import annotations

import operator
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "DEPTHS",
    "Expression",
    "answer_in",
    "first_wrong",
    "held_out",
    "parse",
    "question",
    "questions",
    "solve",
    "value",
]

DEPTHS = range(2, 9)
"""Numbers of operations of the questions that :func:`question` draws."""

_LIMITS = {2: 20, 3: 50, 4: 100, 5: 200, 6: 400, 7: 700, 8: 999}
_LARGEST = 9999
_MOST_DIGITS = 30
_MOST_FACTORS = 3
_HELD_OUT_PERCENT = 12

_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}
_KNOWN = "0123456789+-*"
_PIECE = re.compile(r"\d+|[+\-*]|\S", re.ASCII)
_ANSWER = re.compile(r"^answer (-?\d+)$", re.ASCII | re.MULTILINE)


@dataclass(frozen=True)
class Expression:
    """``numbers[0] operators[0] numbers[1] ...``: one operator fewer than numbers."""

    numbers: tuple[int, ...]
    operators: tuple[str, ...]

    @property
    def depth(self) -> int:
        """The number of operations."""
        return len(self.operators)

    def steps(self) -> list[tuple[int, str, int, int]]:
        """Left number, operator, right number and result of each operation, in the fixed order."""
        done: list[tuple[int, str, int, int]] = []
        numbers, operators = list(self.numbers), list(self.operators)
        for together in ("*", "+-"):
            place = 0
            while place < len(operators):
                if operators[place] not in together:
                    place += 1
                    continue
                left, sign, right = numbers[place], operators.pop(place), numbers.pop(place + 1)
                numbers[place] = _OPERATIONS[sign](left, right)
                done.append((left, sign, right, numbers[place]))
        return done

    def __str__(self) -> str:
        rest = (f" {sign} {n}" for sign, n in zip(self.operators, self.numbers[1:], strict=True))
        return str(self.numbers[0]) + "".join(rest)


def parse(text: str) -> Expression:
    """Read an expression; spaces do not matter.

    Raises:
        ValueError: if ``text`` is not one, in one line that says what is wrong with it.
    """
    pieces = _PIECE.findall(text)
    if max(map(len, pieces), default=0) > _MOST_DIGITS:
        raise ValueError(f"a number of more than {_MOST_DIGITS} digits")
    strange = sorted({piece for piece in pieces if piece[0] not in _KNOWN})
    if strange:
        named = ", ".join(map(repr, strange))
        raise ValueError(f"unknown {named} in {text!r}: questions are whole numbers with + - *")
    for place, piece in enumerate(pieces):
        if (piece in _OPERATIONS) != (place % 2 == 1):
            wanted = "an operator (+ - *)" if place % 2 else "a number"
            raise ValueError(f"expected {wanted} before {piece!r}, piece {place + 1} of {text!r}")
    if len(pieces) % 2 == 0:
        raise ValueError(f"expected a number at the end of {text!r}")
    return Expression(tuple(map(int, pieces[::2])), tuple(pieces[1::2]))


def value(question: str) -> int:
    """The exact result.

    Raises:
        ValueError: if ``question`` is not an expression.
    """
    expression = parse(question)
    steps = expression.steps()
    return steps[-1][-1] if steps else expression.numbers[0]


def solve(question: str) -> list[str]:
    """The lines of the worked solution; the last is ``answer N``.

    Raises:
        ValueError: if ``question`` is not an expression.
    """
    lines = [f"{a} {sign} {b} = {c}" for a, sign, b, c in parse(question).steps()]
    return [*lines, f"answer {value(question)}"]


def answer_in(text: str) -> str | None:
    """The number on the last ``answer N`` line of a solution, right or wrong; None without one."""
    found = _ANSWER.findall(text)
    return str(int(found[-1])) if found else None


def first_wrong(question: str, lines: Sequence[str]) -> int | None:
    """Index of the first line that differs from the worked solution, None if there is none.

    As the order of the operations is fixed, each line has one right spelling.  A missing line
    counts as wrong, and so does one too many.

    Raises:
        ValueError: if ``question`` is not an expression.
    """
    right = solve(question)
    for place in range(max(len(right), len(lines))):
        if list(lines[place : place + 1]) != right[place : place + 1]:
            return place
    return None


def held_out(question: str) -> bool:
    """Whether a question belongs to the test split, which training never sees; spacing is free.

    Raises:
        ValueError: if ``question`` is not an expression.
    """
    return zlib.crc32(str(parse(question)).encode()) % 100 < _HELD_OUT_PERCENT


def question(rng: np.random.Generator, depth: int) -> str:
    """A random question of ``depth`` operations; no intermediate result leaves 0..9999.

    The numbers grow with depth.  A product has at most three factors, all but the first below 10.

    Raises:
        ValueError: if ``depth`` is not in :data:`DEPTHS`.
    """
    if depth not in DEPTHS:
        raise ValueError(f"depth is {depth}: questions have {DEPTHS[0]} to {DEPTHS[-1]} operations")
    while True:
        signs = "".join("++--***"[i] for i in rng.integers(7, size=depth))
        if "*" * _MOST_FACTORS in signs:
            continue
        drawn = Expression(_numbers(rng, signs, _LIMITS[depth]), tuple(signs))
        if all(0 <= result <= _LARGEST for *_, result in drawn.steps()):
            return str(drawn)


def _numbers(rng: np.random.Generator, signs: str, limit: int) -> tuple[int, ...]:
    """Terms up to ``limit``; products have a first factor that makes them about as large."""
    before, after = "+" + signs, signs + "+"
    first = max(9, limit // 9)
    kinds = zip(before, after, strict=True)
    ranges = [(2, 9) if b == "*" else (2, first) if a == "*" else (1, limit) for b, a in kinds]
    low, high = zip(*ranges, strict=True)
    return tuple(rng.integers(low, high, endpoint=True).tolist())


def questions(
    rng: np.random.Generator, depth: int, count: int, only_held_out: bool = True
) -> list[str]:
    """``count`` distinct questions of the test split, or of the training split."""
    found: dict[str, None] = {}
    while len(found) < count:
        drawn = question(rng, depth)
        if held_out(drawn) == only_held_out:
            found[drawn] = None
    return list(found)
