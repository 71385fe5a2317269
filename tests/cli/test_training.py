"""`train-prm` on the command line: what it refuses, what it says beforehand, what it prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Call, contents
from tests.cli.test_bad_input import refused

QUESTIONS = "".join(f"{a} + {b} * 2\n" for a in range(1, 5) for b in range(2, 8))
HEAVY = ("torch", "numpy", "transformers", "matplotlib")
ASKED = ("train-prm", "--model", "arithmetic", "--prompts", "questions.txt")
FOREIGN = ("train-prm", "--model", "hf:./nowhere", "--prompts", "questions.txt")

BAD: list[tuple[tuple[str, ...], str]] = [
    (("train-prm",), "prompts"),
    (("train-prm", "--prompts", "absent.txt"), "model"),
    (("train-prm", "--model", "arithmetic", "--prompts", "absent.txt"), "absent.txt"),
    (("train-prm", "--model", "arithmetic", "--prompts", "one.txt"), "prompts: of 1 questions"),
    (("train-prm", "--model", "arithmetic", "--prompts", "words.txt"), "two red dogs"),
    (("train-prm", "--model", "shapes", "--prompts", "questions.txt"), "model: shapes writes no"),
    (("train-prm", "--model", "aritmetic", "--prompts", "questions.txt"), "arithmetic"),
    (FOREIGN, "evaluate"),
    ((*FOREIGN, "--evaluate", "exact"), "evaluate exact"),
    ((*ASKED, "--evaluate", "prm"), "evaluate: prm"),
    ((*ASKED, "--evaluate", "shapes"), "evaluate: shapes"),
    ((*ASKED, "--evaluate", "none"), "evaluate"),
    ((*ASKED, "--evaluate", "exat"), "exact"),
    *(((*ASKED, f"--{flag}", value), flag.replace("-", "_"))
      for flag in ("samples", "rollouts", "epochs", "train-batch")
      for value in ("0", "-1", "1.5", "x", "", "99999999", "true")),
    *(((*ASKED, "--lr", value), "lr") for value in ("0", "-1", "nan", "inf", "2", "x", "")),
    ((*ASKED, "--temperature", "-1"), "temperature"),
    ((*ASKED, "--steps", "0"), "steps"),
    ((*ASKED, "--split", "lines"), "split"),
    ((*ASKED, "--device", "gpu"), "device"),
    ((*ASKED, "--dtype", "float16"), "dtype"),
    ((*ASKED, "--base", "./absent"), "base"),
    ((*ASKED, "--base", ""), "base"),
    ((*ASKED, "--base", "~nobody-of-that-name/x"), "base"),
    ((*ASKED, "--out", "questions.txt"), "out"),
    ((*ASKED, "--out", "full"), "out"),
    ((*ASKED, "--budget", "2ktok"), "--budget"),
    ((*ASKED, "--sample", "2"), "--samples"),
]  # fmt: skip


@pytest.fixture
def files(here: Path) -> Path:
    (here / "questions.txt").write_text(QUESTIONS)
    (here / "one.txt").write_text("3 + 4 * 2\n")
    (here / "words.txt").write_text(QUESTIONS + "two red dogs\n")
    (here / "full").mkdir()
    (here / "full" / "notes.md").write_text("mine")
    return here


@pytest.mark.parametrize(("argv", "key"), BAD, ids=lambda word: ascii(word)[:60])
def test_it_is_refused_in_one_line_that_names_the_key(
    argv: tuple[str, ...], key: str, call: Call, files: Path
) -> None:
    before = contents(files)
    refused(call(*argv), key)
    assert contents(files) == before


def test_a_dry_run_bounds_the_rollouts_and_loads_nothing(files: Path) -> None:
    program = (
        "import sys; from noise_search.cli.main import main; code = main(sys.argv[1:]);"
        f"print('loaded', *(n for n in {HEAVY!r} if n in sys.modules)); sys.exit(code)"
    )
    argv = (*ASKED, "--samples", "2", "--rollouts", "3", "--dry-run")
    before = contents(files)
    done = subprocess.run(
        [sys.executable, "-c", program, *argv],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    rows = dict(line.split("  ", 1) for line in done.stdout.splitlines() if "  " in line)
    assert rows["prompts"].strip() == "24"
    # 12 steps and 3 rollouts of all but the last, twice
    assert rows["candidates"].strip() == f"at most {24 * 2 * (12 + 11 * 3):,}"
    assert "at most" in rows["tokens written"]
    assert done.stdout.splitlines()[-1] == "loaded"
    assert contents(files) == before


def test_what_is_missing_on_the_disk_is_said_before_a_folder_is_made(
    call: Call, files: Path
) -> None:
    argv = ("train-prm", "--model", "hf:./nowhere", "--prompts", "questions.txt")
    refused(call(*argv, "--evaluate", "arithmetic", "--out", "run", "--quiet"), "nowhere")
    assert not (files / "run").exists()
