"""Prompts: files of four kinds, and names that are safe, stable and distinct.

The lines quoted from prompt sets are of GenEval (MIT), PartiPrompts (Apache-2.0) and
T2I-CompBench++ (MIT).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.study.folder import prompt_record
from noise_search.study.generate import read_prompts as read_recorded
from noise_search.study.prompts import (
    MOST_BYTES,
    Row,
    name_prompts,
    prompt_name,
    prompts_of,
    read_prompts,
)

GENEVAL = """\
{"tag": "position", "include": [{"class": "dog", "count": 1}], "prompt": "a photo of a dog"}
{"tag": "single_object", "include": [{"class": "cow", "count": 1}], "prompt": "a photo of a cow"}
"""
PARTI = """\
Prompt\tCategory\tChallenge\tNote
bond\tAbstract\tBasic\tBiology-inspired concepts with multiple meanings
"G I G G L E" painted in thick colorful lettering as graffiti on a faded red brick wall\tA\tB\t
A photo of a frog reading the newspaper named "Toaday" written on it.\tAnimals\tPerspective\t
"""
COMPBENCH = "two boys\r\nsix airplanes\r\n"


def read(folder: Path, name: str, content: str | bytes, column: str | None = None) -> list[str]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [prompt.text for prompt in read_prompts(path, column)]


def test_published_prompt_sets_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, "geneval.jsonl", GENEVAL) == ["a photo of a dog", "a photo of a cow"]
    assert read(tmp_path, "parti.tsv", PARTI) == [
        "bond",
        '"G I G G L E" painted in thick colorful lettering as graffiti on a faded red brick wall',
        'A photo of a frog reading the newspaper named "Toaday" written on it.',
    ]
    assert read(tmp_path, "numeracy.txt", COMPBENCH) == ["two boys", "six airplanes"]
    assert read(tmp_path, "parti.tsv", PARTI, "category") == ["Abstract", "A", "Animals"]


def test_text_files_skip_blanks_and_comments_alone(tmp_path: Path) -> None:
    lines = "\ufeff# prompts\n\n  a # b  \n #c\n\u2028d\u2028e\n#1 dad mug\n"
    assert read(tmp_path, "a.txt", lines) == ["a # b", "d\u2028e"]


@pytest.mark.parametrize("column", ["prompt", "Prompt", "PROMPT", " prompt "])
def test_the_column_may_be_in_any_case(column: str, tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", f"id,{column}\n1,hello\n") == ["hello"]
    assert read(tmp_path, "a.tsv", f"id\t{column}\n1\thello\n") == ["hello"]
    assert read(tmp_path, "a.jsonl", json.dumps({"id": 1, column: "hello"})) == ["hello"]


@pytest.mark.parametrize(
    ("ending", "written"),
    [
        ("csv", "prompt,negative_prompt\na,\nb,  \n"),
        ("tsv", "prompt\tnegative_prompt\na\t\nb\t  \n"),
        (
            "jsonl",
            '{"prompt": "a", "negative_prompt": ""}\n{"prompt": "b", "negative_prompt": null}\n',
        ),
    ],
)
def test_an_empty_negative_prompt_of_a_file_is_none(
    ending: str, written: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_text(written)
    assert [prompt.negative for prompt in read_prompts(path)] == [None, None]


def test_a_blank_negative_prompt_that_is_said_stays(tmp_path: Path) -> None:
    rows = [Row("a", ""), Row("b", " "), Row("c", " blurry "), Row("d")]
    assert [prompt.negative for prompt in name_prompts(rows)] == ["", " ", "blurry", None]
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "a", "negative_prompt": " "}')
    assert [prompt.negative for prompt in read_prompts(path)] == [" "]


def test_an_exact_column_wins_over_another_case(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", "Prompt,prompt\nA,b\n") == ["b"]


def test_csv_quotes_hold_commas_and_line_ends(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", 'prompt\r\n"a ""b"", c\nd"\r\n') == ['a "b", c\nd']
    assert read(tmp_path, "a.tsv", 'prompt\n"a ""b"" c"\n') == ['a "b" c']


def test_negative_prompt_and_seed_are_optional(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prompt,Negative_Prompt,SEED\na,blurry,7\nb,,\n")
    first, second = read_prompts(path)
    assert (first.negative, first.seed) == ("blurry", 7)
    assert (second.negative, second.seed) == (None, None)
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "a", "seed": 7}\n\n{"prompt": "b", "seed": "8"}\n')
    assert [prompt.seed for prompt in read_prompts(path)] == [7, 8]


def test_errors_name_file_line_and_columns(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"b\.csv, line 2: no column 'text' among id, prompt"):
        read(tmp_path, "b.csv", "id,prompt\n1,a\n", "text")
    with pytest.raises(UserError, match="larger than 16 MiB"):
        read(tmp_path, "a.txt", b"\n" * (MOST_BYTES + 1))
    with pytest.raises(UserError, match="more than 100,000 prompts"):
        read(tmp_path, "a.txt", b"a\n" * 100_001)


def answers(folder: Path, name: str, content: str, column: str = "answer") -> list[str | None]:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return [prompt.answer for prompt in read_prompts(path, "question", column)]


def test_answers_are_read_bare_or_at_the_end_of_a_solution(tmp_path: Path) -> None:
    solution = "She sells 16 - 3 - 4 = <<16-3-4=9>>9.\nThat is $<<9*2=18>>18.\n#### 1,018"
    rows: list[object] = [solution, "so \\boxed{\\frac{1}{2}}", " x + 1 ", 18, 2.5, "", None]
    lines = [json.dumps({"question": "How many?", "answer": row}) for row in rows]
    found = ["1018", "1/2", "x + 1", "18", "2.5", None, None]
    assert answers(tmp_path, "a.jsonl", "\n".join(lines)) == found
    assert answers(tmp_path, "a.csv", 'question,Answer\na,"1,000"\nb,\n') == ["1,000", None]
    assert answers(tmp_path, "a.tsv", "question\tkey\na\t5\n", "key") == ["5"]


def test_answers_are_read_only_where_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prompt,answer\na,5\n")
    [silent], [told] = read_prompts(path), read_prompts(path, None, "answer")
    assert (silent.answer, told.answer) == (None, "5")
    assert silent.name == told.name


@given(st.lists(st.tuples(st.sampled_from("ab"), st.none() | st.text(max_size=3)), max_size=6))
def test_names_do_not_depend_on_answers(rows: list[tuple[str, str | None]]) -> None:
    told = name_prompts([Row(text, answer=answer) for text, answer in rows])
    assert [prompt.name for prompt in told] == [p.name for p in prompts_of(t for t, _ in rows)]


def test_answers_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.csv, line 2: no column 'key' among question, b$"):
        answers(tmp_path, "a.csv", "question,b\na,5\n", "key")
    with pytest.raises(UserError, match=r"^answer_column=answer: a \.txt file has no columns"):
        read_prompts(_written(tmp_path / "a.txt", "a\n"), None, "answer")
    for wrong, said in (("[1]", r"\[1\]"), ("true", "True"), ("NaN", "nan")):
        line = f'{{"question": "a", "answer": {wrong}}}'
        with pytest.raises(UserError, match=f"line 1: answer={said} is not a text"):
            answers(tmp_path, "a.jsonl", line)
    for wrong, said in (("x" * 20_001, "longer than 20,000"), ("\ud800", "a lone surrogate")):
        line = json.dumps({"question": "a", "answer": wrong})
        with pytest.raises(UserError, match=f"line 1: answer is .*{said}"):
            answers(tmp_path, "a.jsonl", line)


def _written(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def test_answers_survive_a_record() -> None:
    told = Prompt("p", "a", answer="1/2")
    assert prompt_record(told)["answer"] == "1/2"
    assert "answer" not in prompt_record(Prompt("p", "a"))
    prompts = [told, Prompt("q", "b")]
    assert read_recorded(Path("run"), [prompt_record(p) for p in prompts]) == prompts


@given(st.text(min_size=1), st.none() | st.text(), st.none() | st.integers(0, 1 << 62))
def test_a_name_is_safe_whatever_the_text(
    text: str, negative: str | None, seed: int | None
) -> None:
    name = prompt_name(text, negative, seed)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert 0 < len(name) <= 60
    assert not name.startswith("-")
    assert name == prompt_name(text, negative, seed)


@pytest.mark.parametrize(
    "text", ["../../etc/passwd", "a\0b", "🔥🔥", "x" * 10_000, "con", ".", "-rf", "ÅÉ", "\ud800"]
)
def test_names_of_awkward_texts(text: str) -> None:
    name = prompt_name(text)
    assert name.isascii()
    assert len(name) <= 60
    assert "/" not in name
    assert name[0].isalnum()


def test_names_differ_where_anything_differs() -> None:
    names = [prompt_name("a"), prompt_name("a", "b"), prompt_name("a", None, 1), prompt_name("A")]
    assert len(set(names)) == 4


def test_duplicates_are_numbered() -> None:
    names = [prompt.name for prompt in name_prompts([Row("a"), Row("b"), Row("a"), Row("a")])]
    assert names == [names[0], names[1], f"{names[0]}-2", f"{names[0]}-3"]


@given(st.lists(st.sampled_from("abcd"), max_size=8), st.data())
def test_names_do_not_depend_on_the_order(texts: list[str], data: st.DataObject) -> None:
    mixed = data.draw(st.permutations(texts))
    named, again = ([(p.name, p.text) for p in prompts_of(some)] for some in (texts, mixed))
    assert sorted(named) == sorted(again)


def test_a_hundred_thousand_names_fit(tmp_path: Path) -> None:
    prompts = name_prompts([Row("a" * 100)] * 100_000)
    assert len({prompt.name for prompt in prompts}) == 100_000
    assert max(len(prompt.name) for prompt in prompts) <= 60
