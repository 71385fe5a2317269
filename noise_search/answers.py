r"""Answers: where a text says its own, and one spelling for those that are equal.

Votes and checks compare spellings, so equal values need one: `normal`. It is exact for simple
numbers and leaves everything else as it is, less blanks: that x^2+2x+1 equals (x+1)^2 takes
algebra, which a vote has to do without.

The conventions: a percentage is a fraction (10\% is 1/10, as in search-and-learn's canonical form),
a unit of money is nothing (\$10 is 10), and a whole number before a fraction is added to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Literal, get_args

__all__ = ["RULES", "Rule", "extract", "known", "normal"]

Rule = Literal["auto", "boxed", "gsm8k", "answer", "number"]
"""Where a text is expected to say its answer; see `extract`."""
RULES: tuple[Rule, ...] = get_args(Rule)

MOST_CHARACTERS = 500
"""Longer answers are spelled as they are, less blanks."""
MOST_OF_A_NUMBER = 200
"""Longer numbers are not computed with, but compared as they are written."""

_PLAIN = r"(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)"
_IN_BRACES = rf"(?:\{{([-+]?{_PLAIN})\}}|(\d))"
_FRAC = r"\\[dtc]?frac ?"

# In running text: a sign is no operator, a digit no part of a name such as H2O or x1.
_TOKEN = (
    r"(?:(?<![\w)\]}])[-\u2212])?(?:\\?\$)?(?<![A-Za-z0-9_])"
    rf"(?:{_FRAC}\{{\d+\}}\{{\d+\}}|{_PLAIN}(?:/\d+(?![\d/.]))?)"
)
_NUMBER = re.compile(_TOKEN, re.ASCII)
_MARKED = re.compile(rf"(?:####|^A:)[ \t]*({_TOKEN})", re.ASCII | re.MULTILINE)
_PHRASE = re.compile(
    rf"\banswer(?:[*_]*+\s*+(?:is\b|:|=)[*_:\s]*+|[ \t]++(?={_TOKEN}[ \t.]*$))",
    re.ASCII | re.MULTILINE | re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"\.(?=\s|$)|, (?=[a-z]{2})")
_COUNTED = re.compile(rf"({_TOKEN}) (?:an? )?([a-z]{{2,}})[a-z ]*", re.ASCII)
_NO_UNITS = re.compile(
    r"and|or|to|of|pi|sqrt|times|plus|minus|over|mod|percent|half|dozen"
    r"|hundred|thousand|million|billion|trillion"
)
_BRACES = re.compile(r"(\\boxed\s*\{)|\\.|[{}]", re.DOTALL)


def extract(words: str, rule: Rule = "auto") -> str | None:
    r"""The answer that a text comes to, in normal form; None where it comes to none.

    `boxed` is what the last balanced `\boxed{...}` holds. `gsm8k` is the number behind the last
    `####`, or behind an `A:` that begins a line, as in the model solutions published with GSM8K.
    `answer` is what follows the last "answer is", "answer:" or "answer =", up to the end of its
    sentence, or the number of a line that ends with "answer N". `number` is the last number, a
    percentage without its sign. `auto` tries boxed, gsm8k, answer and number in this order.

    >>> extract(r"so x is \boxed{\frac{1}{2}}.")
    '1/2'
    >>> extract("The answer is $1,200 a month. I hope it is correct.", "answer")
    '1200'
    """
    found = _FINDERS[rule](words)
    return None if found is None else normal(found) or None


def known(text: str) -> str | None:
    """The right answer that a cell of a table holds: itself, or that of a worked solution.

    >>> known("16 - 3 - 4 = 9, 9 * 2 = 18 #### 18"), known("x + 1"), known("  ")
    ('18', 'x + 1', None)
    """
    for find in (_boxed, _marked, _phrase):
        found = find(text)
        if found is not None and normal(found):
            return normal(found)
    return text.strip() or None


def normal(answer: str) -> str:
    r"""One spelling for equal simple values: whole numbers, and fractions in lowest terms.

    Exact, cheap whatever the input, and idempotent; never raises.

    >>> [normal(a) for a in (r"\frac{1}{2}", "0.50", r"50\%", r"\$1,000.00", "2 1/2", "x + 1.")]
    ['1/2', '1/2', '1/2', '1000', '5/2', 'x+1']
    """
    while True:
        number = _number(answer)
        if number is not None:
            return str(number)
        cleaned = _cleaned(answer)
        if cleaned == answer:
            return answer
        answer = cleaned  # never longer than it was, so this ends


def _last(pattern: re.Pattern[str], words: str) -> re.Match[str] | None:
    found = None
    for match in pattern.finditer(words):
        found = match
    return found


def _boxed(words: str) -> str | None:
    r"""What the box that closes last holds, in one pass over the braces."""
    found: str | None = None
    opened: list[int] = []  # where the content of a box begins, or 0 for any other brace
    for match in _BRACES.finditer(words):
        if match[0] == "{" or match[1]:
            opened.append(match.end() if match[1] else 0)
        elif match[0] == "}" and opened:
            begin = opened.pop()
            found = words[begin : match.start()] if begin else found
    return found


def _marked(words: str) -> str | None:
    match = _last(_MARKED, words)
    return None if match is None else match[1]


def _phrase(words: str) -> str | None:
    match = _last(_PHRASE, words)
    if match is None:
        return None
    said = words[match.end() :].partition("\n")[0]
    boxed = _boxed(said)
    if boxed is not None:
        return boxed
    said = _SENTENCE_END.split(said, maxsplit=1)[0].strip(" \t\r*_")
    counted = _COUNTED.fullmatch(said)
    return counted[1] if counted and not _NO_UNITS.fullmatch(counted[2]) else said


def _number_said(words: str) -> str | None:
    match = _last(_NUMBER, words)
    return None if match is None else match[0]


def _any(words: str) -> str | None:
    found = (find(words) for find in (_boxed, _marked, _phrase, _number_said))
    return next((said for said in found if said is not None and said.strip()), None)


_FINDERS: Mapping[Rule, Callable[[str], str | None]] = {
    "auto": _any,
    "boxed": _boxed,
    "gsm8k": _marked,
    "answer": _phrase,
    "number": _number_said,
}

_MONEY = r"(?:\\?[$\u20ac\u00a3\u00a5])?"
_VALUE = re.compile(
    rf"([-+]?){_MONEY}([-+]?)(.+?)(?:(\\?%| ?percent)|{_MONEY}| ?(?:dollars?|euros?|USD|EUR))",
    re.ASCII,
)
_DECIMAL = re.compile(rf"({_PLAIN})(?:/([-+]?{_PLAIN}))?", re.ASCII)
_MIXED = re.compile(r"(\d+) (\d+)/(\d+)", re.ASCII)
_LATEX = re.compile(rf"(\d+)? ?{_FRAC}{_IN_BRACES} ?{_IN_BRACES}", re.ASCII)


def _number(text: str) -> Fraction | None:
    """The value of a simple number, or None."""
    if len(text) > MOST_OF_A_NUMBER:
        return None
    match = _VALUE.fullmatch(text)
    if match is None or (match[1] and match[2]):
        return None
    whole, above, below = _parts(match[3])
    if above is None or Fraction(below) == 0:
        return None
    value = Fraction(whole) + Fraction(above) / Fraction(below)
    return value * (-1 if "-" in (match[1], match[2]) else 1) / (100 if match[4] else 1)


def _parts(text: str) -> tuple[str, str | None, str]:
    """Whole number, numerator and denominator as Python spells numbers; no numerator, no number."""
    whole: str | None = None
    if found := _DECIMAL.fullmatch(text):
        above, below = found.groups()
    elif found := _MIXED.fullmatch(text):
        whole, above, below = found.groups()
    elif found := _LATEX.fullmatch(text):
        whole, above, below = found[1], found[2] or found[3], found[4] or found[5]
    else:
        return "0", None, "1"
    return whole or "0", above.replace(",", ""), (below or "1").replace(",", "")


_INVISIBLE = re.compile(r"\\!|\\(?:left|right|displaystyle)(?![A-Za-z])")
_THOUSANDS = re.compile(r"(?<=\d)(?:\\,|\{,\})(?=\d{3}(?!\d))", re.ASCII)
_SPACES = re.compile(r"\\[,;: ]|~")
# A blank tells two words apart, and a list from a number: (1, 200) is not 1,200.
_BLANK = re.compile(r"(?<![\w.,]) | (?![\w])|(?<=,) (?!\d{3}(?!\d))|(?<=\.) (?!\d)")
_INNER = r"\{((?:[^{}]|\{[^{}]*\})*)\}"  # braces may hold braces, \text{\frac{1}{2}}
_WRAPPED = re.compile(
    r"\$\$?((?:\\.|[^$\\])*)\$\$?"  # $...$
    r"|\\[(\[]((?:(?!\\[()\[\]]).)*)\\[)\]]"  # \(...\) and \[...\]
    rf"|\\(?:text(?:bf|it|rm)?|math(?:bf|it|rm)|mbox|boxed){_INNER}"
    rf"|{_INNER}"
    r"|\*\*([^*]+)\*\*"
)


def _cleaned(text: str) -> str:
    """The text without blanks, marks and wrappings that change no value."""
    short = len(text) <= MOST_CHARACTERS
    if short:
        text = text.replace("\u2212", "-")
        text = _THOUSANDS.sub(",", _INVISIBLE.sub("", text))
        text = _SPACES.sub(" ", text)
    text = _BLANK.sub("", " ".join(text.split()))
    if short:
        wrapped = _WRAPPED.fullmatch(text)
        text = next((w for w in wrapped.groups() if w is not None), "") if wrapped else text
        text = text.rstrip(".")
    return text
