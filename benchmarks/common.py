"""What the benchmarks share: where results go, on what machine they were made, which prompts."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from noise_search.budget import SPOKEN
from noise_search.candidate import Candidate
from noise_search.pipelines.shapes.scenes import CATEGORIES, parse
from noise_search.study.statistics import Band

RESULTS = Path(__file__).parent / "results"
RUNS = Path("runs") / "benchmarks"


def machine() -> dict[str, Any]:
    """The machine and the versions that a figure depends on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def command() -> str:
    """What was typed to get the result."""
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def save(name: str, record: Mapping[str, Any]) -> Path:
    """Write a result with the machine it was made on."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / name
    whole = {"command": command(), "machine": machine(), **record}
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
    return path


def by_rule(texts: Sequence[str], count: int) -> list[str]:
    """So many captions, as even over the categories as there are, in order of CRC-32.

    The rule knows no result: every category in turn gives its next caption, until it has none.
    """
    ordered = sorted(texts, key=lambda text: zlib.crc32(text.encode()))
    queues = [[t for t in ordered if parse(t).category == kind] for kind in CATEGORIES]
    chosen: list[str] = []
    while len(chosen) < count and any(queues):
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(queue.pop(0))
    return chosen


def share(found: Band | None) -> str:
    """A share in percent with its band."""
    if found is None or found.low is None or found.high is None:
        return "-"
    return f"{100 * found.mean:.0f} [{100 * found.low:.0f}, {100 * found.high:.0f}]"


def points(found: Band | None) -> str:
    """A difference of shares in points, with its band."""
    if found is None or found.low is None or found.high is None:
        return "-"
    return f"{100 * found.mean:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


class Progress:
    """A watcher that prints a line every half minute."""

    def __init__(self, every: float = 30.0) -> None:
        self._every = every

    def begin(self, label: str, total: int | None, unit: str = "nfe") -> None:
        """Count anew."""
        self._label, self._total, self._unit = label, total, unit
        self._said_unit = SPOKEN[unit].split()[0]
        self._spent = 0
        self._began = self._said = time.monotonic()
        print(f"{label}, about {total or 0:,} {self._said_unit}", flush=True)

    def candidate(self, candidate: Candidate) -> None:
        """Count, and say so now and then."""
        self._spent += getattr(candidate.cost, self._unit)
        now = time.monotonic()
        if now - self._said >= self._every:
            self._said = now
            speed = self._spent / (now - self._began)
            left = (self._total or self._spent) - self._spent
            print(
                f"{self._spent:,} {self._said_unit}, {speed:.0f} a second, "
                f"{left / speed / 60:.0f} min left",
                flush=True,
            )

    def end(self) -> None:
        """Say where it got."""
        seconds = time.monotonic() - self._began
        print(f"{self._label}: {self._spent:,} {self._said_unit} in {seconds:.0f} s", flush=True)
