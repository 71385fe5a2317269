"""Prompts: their names, and the files they are read from."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple, cast

from noise_search.answers import known
from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.noise import Name, digest
from noise_search.study.files import read_bytes

MOST_BYTES = 16 << 20
"""Prompt files larger than this are refused."""
MOST_PROMPTS = 100_000
"""Prompt files of more prompts than this are refused."""
MOST_CHARACTERS = 20_000
"""Prompts longer than this are refused."""
SLUG = 46
"""Characters of a name that are legible; with the digest and a number it is at most 60 bytes."""


class Row(NamedTuple):
    """What a prompt file says of one prompt."""

    text: str
    negative: str | None = None
    seed: int | None = None
    answer: str | None = None


class Columns(NamedTuple):
    """The columns that were asked for; None for prompts are those of the usual name."""

    prompt: str | None = None
    answer: str | None = None


class Record(NamedTuple):
    """One record of a file, with the line it ends on."""

    line: int
    values: Mapping[str, Any]


def prompt_name(text: str, negative: str | None = None, seed: int | None = None) -> Name:
    """A short name, safe as a file name whatever the text; equal prompts have equal names.

    >>> prompt_name("Two red circles, left of a blue square!")
    'two-red-circles-left-of-a-blue-square-c968fa'
    >>> prompt_name("../../etc/passwd")
    'etc-passwd-c2e83e'
    """
    plain = unicodedata.normalize("NFKD", text[:1000]).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:SLUG].rstrip("-")
    return f"{slug or 'prompt'}-{digest(text, negative, seed)[:6]}"


def name_prompts(rows: Iterable[Row]) -> list[Prompt]:
    """Prompts in the order given; those that would share a name are numbered.

    A name depends neither on where in the list its prompt stands nor on its answer.

    Raises:
        UserError: a prompt is empty, too long or not text.
    """
    rows = [_checked(row) for row in rows]
    sharing: dict[Name, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        sharing[prompt_name(row.text, row.negative, row.seed)].append(index)
    names = [""] * len(rows)
    for name, indices in sharing.items():
        # six digits of a digest can collide; sorted, even then no name depends on the order
        ordered = sorted(indices, key=lambda i: (rows[i].text, repr(rows[i][1:3]), i))
        for number, index in enumerate(ordered, 1):
            names[index] = name if number == 1 else f"{name}-{number}"
    return [Prompt(name, *row) for name, row in zip(names, rows, strict=True)]


def prompts_of(texts: Iterable[str]) -> list[Prompt]:
    """Prompts of bare texts.

    Raises:
        UserError: a text is empty, too long or not text.
    """
    return name_prompts(Row(text) for text in texts)


def avoiding(prompts: Iterable[Prompt], negative: str | None) -> list[Prompt]:
    """Prompts with a negative one, for all that have none of their own.

    Raises:
        UserError: it is too long or not text.
    """
    if negative is None:
        return list(prompts)
    return name_prompts(
        Row(p.text, negative if p.negative is None else p.negative, p.seed, p.answer)
        for p in prompts
    )


def read_prompts(
    path: Path, column: str | None = None, answer_column: str | None = None
) -> list[Prompt]:
    """The prompts of a file: .txt one a line; .csv, .tsv and .jsonl with named columns.

    In a .txt file blank lines and lines that begin with # are skipped. Elsewhere the column
    `prompt` is read, in any letter case, and `negative_prompt` and `seed` where they exist; an
    empty negative prompt is none there.

    Args:
        path: the file, in UTF-8.
        column: the column that holds the prompts, if it is not `prompt`.
        answer_column: the column that holds the right answers, bare or at the end of worked
            solutions; None where they are not known.

    Raises:
        UserError: the file, one of its lines or the column cannot be read.
    """
    kind = path.suffix.lower()
    if kind not in (*_READERS, ".txt"):
        known = ", ".join([".txt", *_READERS])
        raise UserError(f"prompts {path}: the ending {kind!r} is none of {known}")
    text = _read_text(path)
    if kind == ".txt":
        for key, named in (("prompt_column", column), ("answer_column", answer_column)):
            if named is not None:
                raise UserError(f"{key}={named}: a .txt file has no columns ({path})")
        rows = _plain_lines(path, text)
    else:
        rows = _rows(path, _READERS[kind](path, text), Columns(column, answer_column))
    found: list[Row] = []
    for line, row in rows:
        try:
            found.append(_checked(row))
        except UserError as error:
            raise UserError(f"prompts {path}, line {line}: {error}") from None
        if len(found) > MOST_PROMPTS:
            raise UserError(f"prompts {path}: more than {MOST_PROMPTS:,} prompts")
    if not found:
        raise UserError(f"prompts {path}: the file holds no prompt")
    return name_prompts(found)


def _checked(row: Row) -> Row:
    """The row without blanks around its texts; a blank negative prompt stays as it is given.

    To some pipelines (Qwen-Image, FLUX with true CFG) it says that they are to be guided at all.
    """
    text = row.text.strip()
    negative = None if row.negative is None else row.negative.strip() or row.negative
    if not text:
        raise UserError("prompt is empty")
    answer = row.answer or ""
    for key, value in (("prompt", text), ("negative_prompt", negative or ""), ("answer", answer)):
        if len(value) > MOST_CHARACTERS:
            raise UserError(f"{key} is longer than {MOST_CHARACTERS:,} characters")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UserError(f"{key} is not valid text (a lone surrogate)") from None
    return Row(text, negative, row.seed, known(answer))


def _read_text(path: Path) -> str:
    data = read_bytes(path, "prompts", MOST_BYTES, "16 MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"prompts {path}: not UTF-8 text (at byte {error.start})") from None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines; only line ends split, not the other breaks that Unicode knows."""
    for number, line in enumerate(re.split("\r\n|\n|\r", text), 1):
        if line.strip():
            yield number, line


def _plain_lines(_: Path, text: str) -> Iterator[tuple[int, Row]]:
    for number, line in _lines(text):
        if not line.lstrip().startswith("#"):
            yield number, Row(line)


def _read_csv(path: Path, text: str) -> Iterator[Record]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        numbered = ((reader.line_num, fields) for fields in reader if fields)
        yield from _table(path, numbered)
    except csv.Error as error:
        raise UserError(f"prompts {path}, line {reader.line_num}: {error}") from None


def _read_tsv(path: Path, text: str) -> Iterator[Record]:
    """Fields between tabs; published files hold bare quotes, which csv's rules would eat."""

    def field(written: str) -> str:
        quoted = re.fullmatch(r'"((?:[^"]|"")*)"', written.strip())
        return quoted[1].replace('""', '"') if quoted else written

    split = ((n, [field(part) for part in line.split("\t")]) for n, line in _lines(text))
    yield from _table(path, split)


def _table(path: Path, lines: Iterator[tuple[int, list[str]]]) -> Iterator[Record]:
    """Records of lines of fields, the first of which names the columns."""
    _, columns = next(lines, (0, list[str]()))
    columns = [column.strip() for column in columns]
    for column in columns:
        if columns.count(column) > 1:
            raise UserError(f"prompts {path}: column {column!r} appears twice")
    for number, fields in lines:
        if len(fields) != len(columns):
            raise UserError(
                f"prompts {path}, line {number}: {len(fields)} fields under {len(columns)} columns"
            )
        filled = (field if field.strip() else "" for field in fields)
        yield Record(number, dict(zip(columns, filled, strict=True)))


def _read_jsonl(path: Path, text: str) -> Iterator[Record]:
    for number, line in _lines(text):
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            said = getattr(error, "msg", "not JSON")
            raise UserError(f"prompts {path}, line {number}: {said}") from None
        if not isinstance(values, dict):
            raise UserError(f"prompts {path}, line {number}: not a JSON object")
        yield Record(number, cast("dict[str, Any]", values))


_READERS = {".csv": _read_csv, ".tsv": _read_tsv, ".jsonl": _read_jsonl}


def _rows(path: Path, records: Iterator[Record], wanted: Columns) -> Iterator[tuple[int, Row]]:
    for line, values in records:
        where = f"prompts {path}, line {line}"
        hint = "" if wanted.prompt else " (--prompt-column names another)"
        key = _needed(where, values, wanted.prompt or "prompt", hint)
        answer = None if wanted.answer is None else _needed(where, values, wanted.answer)
        negative = _column(list(values), "negative_prompt")
        seed = _column(list(values), "seed")
        yield (
            line,
            Row(
                _text(where, key, values[key]) or "",
                None if negative is None else _text(where, negative, values[negative]) or None,
                None if seed is None else _seed(where, seed, values[seed]),
                None if answer is None else _answer(where, answer, values[answer]),
            ),
        )


def _needed(where: str, values: Mapping[str, Any], wanted: str, hint: str = "") -> str:
    key = _column(list(values), wanted)
    if key is None:
        raise UserError(f"{where}: no column {wanted!r} among {', '.join(values)[:300]}{hint}")
    return key


def _column(columns: Sequence[str], wanted: str) -> str | None:
    """The column of that name, in any letter case unless one has it exactly."""
    if wanted in columns:
        return wanted
    return next((c for c in columns if c.strip().casefold() == wanted.strip().casefold()), None)


def _text(where: str, key: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise UserError(f"{where}: {key}={str(value)[:60]} is not a text")
    return value


def _answer(where: str, key: str, value: object) -> str | None:
    """An answer as it is written; JSON may hold it as a number."""
    if type(value) is int or (isinstance(value, float) and isfinite(value)):
        return str(value)
    return _text(where, key, value)


def _seed(where: str, key: str, value: object) -> int | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    written = str(value).strip()
    if isinstance(value, float | bool) or not re.fullmatch(r"[0-9]{1,19}", written):
        seed = -1
    else:
        seed = int(written)
    if not 0 <= seed < 1 << 63:
        raise UserError(f"{where}: {key}={written[:60]} is not a whole number from 0 to 2^63 - 1")
    return seed
