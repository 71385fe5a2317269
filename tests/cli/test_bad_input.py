"""Bad input: exit 2, at most three lines that name the key, nothing written, torch not loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cli.bad_inputs import COMPARE, GENERATE, MODEL, VALUES, Case, cases, put
from tests.cli.conftest import Call, Said, contents

CASES = list(cases())
HEAVY = {"torch", "diffusers", "transformers"}


def refused(said: Said, key: str) -> None:
    assert said.code == 2, said
    assert said.out == ""
    assert said.err.startswith("noise-search: ")
    assert said.err.count("\n") == 1
    assert len(said.err) < 700
    assert "Traceback" not in said.err
    assert key in said.err


def python(*words: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
        check=False,
    )


def test_there_are_200_of_them() -> None:
    assert len(CASES) >= 200
    assert len({(case.argv, *case.files.values()) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(" ".join(case.argv))[:60])
def test_it_is_refused_in_one_line_that_names_the_key(case: Case, call: Call, here: Path) -> None:
    put(here, case)
    before = contents(here)
    loaded = set(sys.modules)
    refused(call(*case.argv), case.key)
    assert contents(here) == before
    assert not HEAVY & (set(sys.modules) - loaded)


def test_a_third_of_them_load_no_torch_in_a_process_of_their_own(here: Path) -> None:
    program = f"""if True:
        import os, sys
        from pathlib import Path
        from noise_search.cli.main import main
        from tests.cli.bad_inputs import cases, put
        codes = set()
        for number, case in enumerate([*cases()][::3]):
            folder = Path({str(here)!r}, str(number))
            put(folder, case)
            os.chdir(folder)
            codes.add(main(case.argv))
        print(codes, sorted({HEAVY!r} & set(sys.modules)))
    """
    done = python("-c", program)
    assert done.stdout.strip() == "{2} []", done.stderr[-2000:]


@pytest.mark.parametrize(
    "argv",
    [
        ("generate", "two red dogs"),
        ("generate", "hello", *MODEL, "--serch", "random"),
        ("generate", "hello", *MODEL, "--budget", "4nfe"),
    ],
)
def test_a_process_says_the_same(argv: tuple[str, ...], here: Path) -> None:
    done = python("-m", "noise_search.cli.main", *argv)
    refused(Said(done.returncode, done.stdout, done.stderr), "noise-search")
    assert contents(here) == {}


def test_a_folder_with_a_run_of_other_settings_is_left_alone(call: Call, here: Path) -> None:
    assert call(*GENERATE, "--out", "run", "--quiet").code == 0
    before = contents(here)
    for more, key in [
        (("--seed", "1"), "seed=0, not 1"),
        (("--search", "zero-order"), "search=random, not zero-order"),
        (("--budget", "128nfe"), "budget=64nfe, not 128nfe"),
        (("--steps", "9"), "steps=8, not 9"),
        (("--batch", "4"), "batch=8, not 4"),
        (("--fast",), "fast=False, not True"),
        (("--dry-run", "--seed", "1"), "seed"),
    ]:
        refused(call(*GENERATE, "--out", "run", *more), key)
    refused(call("generate", "others", *MODEL, "--out", "run"), "other prompts")
    refused(call(*COMPARE, "--out", "run"), "holds")
    assert contents(here) == before
    assert call(*GENERATE, "--out", "run", "--quiet").code == 0


WORDS = st.text(max_size=40) | st.sampled_from(
    ["nan", "-1", "1e999", "prune(at=0.5", "640nfe+90s+", "../../x", "a,b", "=", "#", "'", "\0"]
)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str]:
    """An option with a value that is damaged, or made up."""
    option = draw(st.sampled_from(sorted(VALUES)))
    good = {"--search": "prune(at=0.25+0.5)", "--budget": "640nfe+90s", "--model": "mixture(dim=4)"}
    value = good.get(option, "8")
    if draw(st.booleans()):
        at = draw(st.integers(0, len(value)))
        cut = draw(st.integers(0, 2))
        value = value[:at] + draw(st.text(max_size=3)) + value[at + cut :]
    else:
        value = draw(WORDS)
    return option, value


FEW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MANY = settings(FEW, max_examples=1000)


def check_option(call: Call, here: Path, option: str, value: str) -> None:
    command = ("generate", "hello") if option == "--model" else GENERATE
    said = call(*command, f"{option}={value}", "--dry-run")
    if said.code == 0:
        assert said.err == ""
    elif option == "--model" and "shapes" in value:
        refused(said, "prompt")
    else:
        refused(said, option[2:].replace("-", "_"))
    assert contents(here) == {}


def check_file(call: Call, here: Path, content: bytes, ending: str) -> None:
    file = here / f"file{ending}"
    file.write_bytes(content)
    option = "--config" if ending == ".yaml" else "--prompts"
    said = call("generate", *MODEL, option, file.name, "--dry-run")
    if said.code == 0:
        assert said.err == ""
    else:
        refused(said, "noise-search")
    assert contents(here) == {file.name: content}
    file.unlink()


ENDINGS = st.sampled_from([".txt", ".csv", ".tsv", ".jsonl", ".yaml"])
CONTENTS = st.binary(max_size=300) | st.text(
    "prompt,seedbugt:\n\t #'\"[]{}&*!-|>0123456789.nfe\\u", max_size=200
).map(str.encode)


@given(mutated())
@FEW
def test_mutated_options_are_taken_or_refused(
    call: Call, here: Path, mutation: tuple[str, str]
) -> None:
    check_option(call, here, *mutation)


@given(CONTENTS, ENDINGS)
@FEW
def test_arbitrary_files_are_taken_or_refused(
    call: Call, here: Path, content: bytes, ending: str
) -> None:
    check_file(call, here, content, ending)


@pytest.mark.nightly
@given(mutated())
@MANY
def test_many_mutated_options(call: Call, here: Path, mutation: tuple[str, str]) -> None:
    check_option(call, here, *mutation)


@pytest.mark.nightly
@given(CONTENTS, ENDINGS)
@MANY
def test_many_arbitrary_files(call: Call, here: Path, content: bytes, ending: str) -> None:
    check_file(call, here, content, ending)
