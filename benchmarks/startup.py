"""How long the commands take that only speak, beside a bare start of Python.

    python benchmarks/startup.py

Prints the median wall time and processor time of each, and their ratio to `python -c pass`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

REPEATS = 7
COMMAND = [sys.executable, "-m", "noise_search.cli.main"]
SPOKEN = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "--version": [*COMMAND, "--version"],
    "--help": [*COMMAND, "--help"],
    "generate --help": [*COMMAND, "generate", "--help"],
    "list": [*COMMAND, "list"],
    "generate --dry-run": [*COMMAND, "generate", "a red circle", "--dry-run"],
    "compare --dry-run": [*COMMAND, "compare", "a red circle", "--dry-run"],
    "a bad option": [*COMMAND, "generate", "--sede", "3"],
}


def measure(command: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of one call."""
    began, before = time.perf_counter(), os.times()
    subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own commands
    after = os.times()
    used = sum(after[2:4]) - sum(before[2:4])
    return time.perf_counter() - began, used


def main() -> None:
    """Measure all, interleaved, so that a busy machine slows them alike."""
    rounds = [{name: measure(command) for name, command in SPOKEN.items()} for _ in range(REPEATS)]
    bare = statistics.median(taken["python -c pass"][1] for taken in rounds)
    print(f"{'':<20}{'wall s':>8}{'cpu s':>8}{'ratio':>7}")
    for name in SPOKEN:
        wall = statistics.median(taken[name][0] for taken in rounds)
        cpu = statistics.median(taken[name][1] for taken in rounds)
        print(f"{name:<20}{wall:>8.3f}{cpu:>8.3f}{cpu / bare:>7.1f}")


if __name__ == "__main__":
    main()
