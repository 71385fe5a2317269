"""A comparison cut anywhere, killed, stopped or shared by workers ends as the whole one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from noise_search.candidate import Candidate
from noise_search.journal import header
from noise_search.study.compare import Comparison, resume_comparison
from noise_search.study.generate import resume
from noise_search.study.watch import Silent
from tests.study.comparing import apart_from_overhead, contents, record_of, run, whole

__all__ = ["whole"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.37, 0.5, 0.81, 1.0])
def test_cut_anywhere_and_resumed_the_folder_is_identical(
    whole: Comparison, tmp_path: Path, share: float
) -> None:
    data = (whole.out / "journal").read_bytes()
    first = data.index(b"\n") + 1
    (tmp_path / "journal").write_bytes(data[: first + round(share * (len(data) - first))])
    head = header(tmp_path / "journal")
    resume_comparison(tmp_path, head)
    assert apart_from_overhead(tmp_path) == apart_from_overhead(whole.out)


def test_killed_and_resumed_by_the_general_command_it_is_identical(
    whole: Comparison, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    script = (
        "from pathlib import Path; import sys; from tests.study.test_compare import run;"
        "run(Path(sys.argv[1]))"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(out)])
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if (out / "journal").exists() and (out / "journal").stat().st_size > 20_000:
            break
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    resume(out)
    assert contents(out) == contents(whole.out)


def test_two_workers_give_the_same_folder(whole: Comparison, tmp_path: Path) -> None:
    run(tmp_path / "run", workers=2)
    assert contents(tmp_path / "run") == contents(whole.out)


def test_a_stopped_comparison_says_so_and_goes_on_to_the_same_end(
    whole: Comparison, tmp_path: Path
) -> None:
    class Impatient(Silent):
        def __init__(self) -> None:
            self.left = 40

        def candidate(self, candidate: Candidate) -> bool | None:
            self.left -= 1
            return self.left > 0

    run(tmp_path / "run", watch=Impatient())
    assert record_of(tmp_path / "run")["complete"] is False
    assert "stopped" in json.loads((tmp_path / "run/summary.json").read_text())["lines"][0]
    resume(tmp_path / "run")
    assert contents(tmp_path / "run") == contents(whole.out)
