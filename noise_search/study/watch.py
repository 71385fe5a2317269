"""Watching a run: what it tells whoever looks on, and how they may stop it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from noise_search.candidate import Candidate
from noise_search.errors import Stop


class Watcher(Protocol):
    """Looks on while a run goes; results do not depend on it, unless it stops the run."""

    def begin(self, label: str, total: int | None, unit: str = "nfe") -> None:
        """The run, or one part of a comparison, begins.

        Args:
            label: what is run, in a few words.
            total: how much its budgets allow, or None where that is not limited.
            unit: of what: a field of `Cost`.
        """
        ...

    def candidate(self, candidate: Candidate) -> bool | None:
        """A candidate is filed; False asks the run to stop and to keep what it has."""
        ...

    def end(self) -> None:
        """What was begun has ended, well or not."""
        ...


def listening(watch: Watcher) -> Callable[[Candidate], None]:
    """Tells a watcher of each candidate, and raises `Stop` where it asks for that."""

    def listen(candidate: Candidate) -> None:
        if watch.candidate(candidate) is False:
            raise Stop

    return listen


class Silent:
    """A watcher that neither shows nor stops anything."""

    def begin(self, label: str, total: int | None, unit: str = "nfe") -> None:
        """Show nothing."""

    def candidate(self, candidate: Candidate) -> bool | None:
        """Let the run go on."""

    def end(self) -> None:
        """Show nothing."""
