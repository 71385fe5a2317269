"""Watching a run: what it tells whoever looks on, and how they may stop it."""

from __future__ import annotations

from typing import Protocol

from noise_search.candidate import Candidate


class Watcher(Protocol):
    """Looks on while a run goes; results do not depend on it, unless it stops the run."""

    def begin(self, label: str, total_nfe: int | None) -> None:
        """The run, or one part of a comparison, begins.

        Args:
            label: what is run, in a few words.
            total_nfe: evaluations that its budgets allow, or None where they are not limited.
        """
        ...

    def candidate(self, candidate: Candidate) -> bool | None:
        """A candidate is filed; False asks the run to stop and to keep what it has."""
        ...

    def end(self) -> None:
        """What was begun has ended, well or not."""
        ...


class Silent:
    """A watcher that neither shows nor stops anything."""

    def begin(self, label: str, total_nfe: int | None) -> None:
        """Show nothing."""

    def candidate(self, candidate: Candidate) -> bool | None:
        """Let the run go on."""

    def end(self) -> None:
        """Show nothing."""
