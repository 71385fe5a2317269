"""Exit codes and what is said with them, whatever goes wrong."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from noise_search import __version__
from noise_search.cli import commands
from noise_search.cli.halt import Halted, Terminated, resumable
from noise_search.cli.main import noticed
from noise_search.errors import Notice, UserError
from tests.cli.bad_inputs import GENERATE
from tests.cli.conftest import Call, contents


def test_version(call: Call) -> None:
    assert call("--version") == (0, f"noise-search {__version__}\n", "")


@pytest.mark.parametrize("argv", [(), ("--help",), ("-h",)])
def test_help_lists_all_commands(argv: tuple[str, ...], call: Call) -> None:
    said = call(*argv)
    assert said.code == 0
    for command in ("demo", "generate", "compare", "resume", "reproduce", "list"):
        assert command in said.out


def test_help_of_generate_has_every_flag(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    flags = (
        "prompts prompt-column model search verifier evaluate budget seed steps search-steps "
        "guidance-scale eta batch workers top-k dtype device threads fast no-metadata config out "
        "dry-run quiet"
    )
    out = call("generate", "--help").out
    assert [flag for flag in flags.split() if f"--{flag}" not in out] == []


class Trouble:
    """Stands in for `generate` and raises."""

    def __init__(self, error: BaseException, lines: int = 0) -> None:
        self.error = error
        self.lines = lines

    def __call__(self, prompts: object, settings: object, out: Path, **_: object) -> None:
        out.mkdir(parents=True)
        (out / "journal").write_text("header\n" + "candidate\n" * self.lines)
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("model: its weights are missing"), 2, "model: its weights are missing"),
        (OSError(errno.ENOSPC, "No space left on device", "a"), 1, "a: No space left on device"),
        (RuntimeError("boom\nbang"), 1, "unexpected RuntimeError: boom bang (noise-search --debug"),
        (MemoryError(), 1, "unexpected MemoryError"),
        (KeyboardInterrupt(), 130, "stopped; nothing was made yet"),
        (Terminated(), 143, "stopped; nothing was made yet"),
    ],
)
def test_trouble_before_anything_was_made_leaves_nothing(
    error: BaseException,
    code: int,
    said: str,
    call: Call,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "generate", Trouble(error))
    came = call(*GENERATE, "--out", "deep/run")
    assert came.code == code
    assert came.err.startswith(f"noise-search: {said}")
    assert came.err.count("\n") == 1
    assert contents(here) == {}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1),
        (RuntimeError("boom"), 1),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
    ],
)
def test_trouble_under_way_says_how_to_go_on(
    error: BaseException, code: int, call: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "generate", Trouble(error, lines=3))
    came = call(*GENERATE, "--out", "my run")
    assert came.code == code
    assert came.err.count("\n") == 1
    assert "go on with: noise-search resume 'my run'" in came.err
    assert (here / "my run" / "journal").exists()


@pytest.mark.parametrize("how", ["first", "last", "variable"])
def test_debug_keeps_the_traceback(how: str, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "generate", Trouble(RuntimeError("boom")))
    if how == "variable":
        monkeypatch.setenv("NOISE_SEARCH_DEBUG", "1")
    words = {"first": ("--debug", *GENERATE), "last": (*GENERATE, "--debug")}.get(how, GENERATE)
    with pytest.raises(RuntimeError, match="boom"):
        call(*words)


@pytest.mark.parametrize("device", ["cuda:999", "mps:1"])
def test_a_device_that_is_not_there(device: str, call: Call, here: Path) -> None:
    said = call(*GENERATE, "--device", device)
    assert said.code == 2
    assert f"device={device}" in said.err
    assert contents(here) == {}


def test_control_characters_do_not_reach_the_terminal(call: Call) -> None:
    said = call("generate", "two \x1b]0;title\x07circles\x1b[2J")
    assert said.code == 2
    assert "\x1b" not in said.err
    assert "\x07" not in said.err


def test_sigterm_is_handled_as_before_afterwards(call: Call) -> None:
    before = signal.getsignal(signal.SIGTERM)
    call("--version")
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    def interrupted() -> None:
        with resumable(tmp_path):
            (tmp_path / "journal").write_text("header\n")
            raise KeyboardInterrupt

    with pytest.raises(Halted):
        interrupted()
    assert contents(tmp_path) == {"notes.txt": b"mine"}


STARTED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from noise_search.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_ends_the_run_and_says_how_to_go_on(
    number: signal.Signals, code: int, workers: str, here: Path
) -> None:
    words = [*GENERATE, "--budget", "10000000nfe", "--workers", workers, "--out", "run"]
    with subprocess.Popen(
        [sys.executable, "-c", STARTED, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=here,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        journal = here / "run" / "journal"
        while process.poll() is None and not (
            journal.exists() and journal.read_bytes().count(b"\n") > 20
        ):
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate()
    assert process.returncode == code, err
    assert out == ""
    assert err.count("\n") <= 3
    assert err.endswith("noise-search: stopped; go on with: noise-search resume run\n")


def test_a_reader_that_has_seen_enough_is_no_error(here: Path) -> None:
    command = f"{sys.executable} -m noise_search.cli.main list | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == "Searches:"


def test_a_notice_is_one_line_and_other_warnings_are_as_they_were(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with warnings.catch_warnings(record=True) as others:
        warnings.simplefilter("always")
        with noticed():
            warnings.warn("out of memory: from here on batches of 2", Notice, stacklevel=1)
            warnings.warn("old", DeprecationWarning, stacklevel=1)
    told = capsys.readouterr().err
    assert told == "noise-search: note: out of memory: from here on batches of 2\n"
    assert [other.category for other in others] == [DeprecationWarning]
