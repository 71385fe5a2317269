"""The grammar of specs, and names to things."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noise_search.errors import UserError
from noise_search.registry import build_search, check_name
from noise_search.specs import Spec, parse, split_top


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("random", Spec("random")),
        (" random ", Spec("random")),
        ("random()", Spec("random")),
        ("prune(at=0.25+0.5)", Spec("prune", options={"at": "0.25+0.5"})),
        ("zero-order( cosine = 0.9 )", Spec("zero-order", options={"cosine": "0.9"})),
        ("clip:ViT-L-14/openai", Spec("clip", "ViT-L-14/openai")),
        ("judge:http://127.0.0.1:8000/v1#m", Spec("judge", "http://127.0.0.1:8000/v1", "m")),
        ("clip:a(b=1)", Spec("clip", "a", None, (), {"b": "1"})),
        ("clip:/a (copy)/m", Spec("clip", "/a (copy)/m")),
        ("rank(clip:a/b,aesthetic)", Spec("rank", items=("clip:a/b", "aesthetic"))),
        ("rank(clip(x=1),b,heat=2)", Spec("rank", items=("clip(x=1)", "b"), options={"heat": "2"})),
    ],
)  # fmt: skip
def test_specs_are_read(text: str, spec: Spec) -> None:
    assert parse(text) == spec
    assert parse(str(spec)) == spec


@pytest.mark.parametrize(
    "text",
    ["", " ", "(", ")", "a(", "a)", "a:", "a:#b", "a(b", "a(=1)", "a(b=)", "a(b=1,b=2)", "a(b=1,c)",
     "1a", "a b", "a(b)c", "a((b)", "a,b", "a(,)", "-a", "é"],
)  # fmt: skip
def test_what_is_no_spec_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        parse(text)


def test_lists_split_at_top_level_commas() -> None:
    assert split_top("random, prune(at=0.25+0.5,keep=0.5),rank(a(b,c),d)") == [
        "random",
        "prune(at=0.25+0.5,keep=0.5)",
        "rank(a(b,c),d)",
    ]


NAME = st.from_regex(r"[a-z][a-z0-9.-]{0,8}", fullmatch=True)
VALUE = st.from_regex(r"[a-z0-9.+-]{1,8}", fullmatch=True)


@given(NAME, st.none() | NAME, st.lists(NAME, max_size=3), st.dictionaries(NAME, VALUE, max_size=3))
def test_a_written_spec_reads_back(
    name: str, target: str | None, items: list[str], options: dict[str, str]
) -> None:
    spec = Spec(name, target, None, tuple(items), options)
    assert parse(str(spec)) == spec


@given(st.text(max_size=60))
def test_any_text_is_a_spec_or_an_error(text: str) -> None:
    try:
        spec = parse(text)
    except UserError:
        return
    assert parse(str(spec)) == spec


def test_options_become_what_the_search_takes() -> None:
    plan = build_search("zero-order(neighbors=2,cosine=.95,elitist=false)")
    assert isinstance(plan, partial)
    assert plan.keywords == {"neighbors": 2, "cosine": 0.95, "elitist": False}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("zero_order", "search: unknown search 'zero_order'; did you mean 'zero-order'?"),
        ("xyzzy", "known: beam, diverse, paths, prune, random, revise, steps, zero-order"),
        ("prune(kep=1)", "search prune: unknown option 'kep'; did you mean 'keep'?"),
        ("steps(a=1)", "search steps: unknown option 'a'; it takes none"),
        ("zero-order(cosine=2)", "search zero-order: cosine=2: input should be less than"),
        ("prune(at=0.5+x)", "search prune: at=0.5+x: input should be a valid number"),
        ("random:x", "options are given as key=value"),
        ("random(", "search: parentheses do not match"),
    ],
)
def test_errors_say_what_is_right(text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        build_search(text)
    assert said in str(caught.value)


def test_a_name_is_checked_by_kind() -> None:
    assert check_name("model", "gaussian(dim=4)").options == {"dim": "4"}
    with pytest.raises(UserError, match="unknown verifier 'random'"):
        check_name("verifier", "random")
