"""Watchers for people: a live line on a terminal, a plain one now and then elsewhere.

Nothing is ever written to stdout, which belongs to results.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from noise_search.budget import SPOKEN
from noise_search.candidate import Candidate
from noise_search.study.watch import Silent, Watcher

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

EVERY = 10.0
"""Seconds between plain lines."""
WINDOW = 20.0
"""Seconds over which speed is measured; what a resumed run recalls drops out of it soon."""

BATCHES = 16
"""But over so many candidates at least: slow runs file few of them."""

Clock = Callable[[], float]


@dataclass
class Tally:
    """What was seen of a run so far.

    Attributes:
        label: what is run.
        total: how much the budgets allow, or None.
        prompts: how many there are, or 0 if that is not known.
        unit: what is counted: a field of `Cost`.
        spent: how much was spent.
        best: the best score of each prompt that has a finished sample.
    """

    label: str
    total: int | None
    prompts: int
    unit: str = "nfe"
    spent: int = 0
    best: dict[str, float] = field(default_factory=dict[str, float])
    recent: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])

    def add(self, candidate: Candidate, now: float) -> None:
        """Count a candidate."""
        self.spent += getattr(candidate.cost, self.unit)
        self.recent.append((now, self.spent))
        while len(self.recent) > BATCHES and now - self.recent[0][0] > WINDOW:
            self.recent.popleft()
        score = next(iter(candidate.scores.values()), None)
        if candidate.finished and score is not None:
            self.best[candidate.prompt] = max(score, self.best.get(candidate.prompt, score))

    @property
    def speed(self) -> float | None:
        """How much is spent a second, of late."""
        if not self.recent:
            return None
        (began, before), (now, after) = self.recent[0], self.recent[-1]
        return (after - before) / (now - began) if now - began > 0.5 else None

    @property
    def seconds_left(self) -> float | None:
        """Until the budgets are spent at this speed."""
        if self.total is None or not self.speed:
            return None
        return max(0, self.total - self.spent) / self.speed

    def words(self) -> list[str]:
        """What there is to say, in short."""
        said, unit = list[str](), SPOKEN[self.unit].split()[0]
        if self.total or self.spent:
            of = f"/{self.total:,}" if self.total else ""
            said.append(f"{self.spent:,}{of} {unit}")
        if self.best:
            mean = sum(self.best.values()) / len(self.best)
            said.insert(0, f"best {mean:.4g}" if len(self.best) == 1 else f"mean best {mean:.4g}")
        if self.prompts > 1 and (self.total or self.recent):
            said.append(f"{len(self.best)}/{self.prompts} prompts have a sample")
        if self.speed:
            said.append(f"{self.speed:,.0f} {unit}/s")
        if self.seconds_left is not None:
            minutes, seconds = divmod(round(self.seconds_left), 60)
            said.append(f"{minutes}:{seconds:02d} left")
        return said


class Lines:
    """A plain line every ten seconds, for logs and pipes.

    Args:
        prompts: how many prompts there are.
        stream: where lines go; stderr by default.
        clock: seconds that only go forward.
    """

    def __init__(
        self, prompts: int, stream: TextIO | None = None, clock: Clock = time.monotonic
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._prompts = prompts
        self._tally = Tally("", None, prompts)
        self._said = 0.0

    def begin(self, label: str, total: int | None, unit: str = "nfe") -> None:
        """Count anew."""
        self._tally = Tally(label, total, self._prompts, unit)
        self._said = self._clock()

    def candidate(self, candidate: Candidate) -> bool | None:
        """Count, and say so now and then."""
        now = self._clock()
        self._tally.add(candidate, now)
        if now - self._said >= EVERY:
            self._said = now
            self._say()
        return None

    def end(self) -> None:
        """Say where it got."""
        self._say()

    def _say(self) -> None:
        words = ", ".join(self._tally.words())
        self._stream.write(f"{self._tally.label}{': ' if words else ''}{words}\n")
        self._stream.flush()


class LiveLine:
    """One line that keeps itself up to date, for a terminal.

    Args:
        prompts: how many prompts there are.
    """

    def __init__(self, prompts: int) -> None:
        self._prompts = prompts
        self._tally = Tally("", None, prompts)
        self._live: Live | None = None

    def begin(self, label: str, total: int | None, unit: str = "nfe") -> None:
        """Show the line."""
        from rich.console import Console
        from rich.live import Live

        self._tally = Tally(label, total, self._prompts, unit)
        self._live = Live(
            console=Console(stderr=True), get_renderable=self._line, refresh_per_second=4
        )
        self._live.start()

    def candidate(self, candidate: Candidate) -> bool | None:
        """Count; the line follows by itself."""
        self._tally.add(candidate, time.monotonic())
        return None

    def end(self) -> None:
        """Leave the line as it is."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _line(self) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        tally = self._tally
        row = [Text(tally.label, style="bold"), Text("  ".join(tally.words()))]
        if tally.total:
            done = min(tally.spent, tally.total)
            row.insert(1, ProgressBar(tally.total, done, width=20))  # type: ignore[arg-type]
        line = Table.grid(padding=(0, 1))
        line.add_row(*row)
        return line


def watcher(prompts: int, *, quiet: bool) -> Watcher:
    """The watcher that suits where stderr goes.

    Args:
        prompts: how many prompts there are, or 0 if that is not known.
        quiet: show nothing.
    """
    if quiet:
        return Silent()
    return LiveLine(prompts) if sys.stderr.isatty() else Lines(prompts)
