"""The ledger: what may be spent and what has been. Ledgers nest."""

from __future__ import annotations

from collections.abc import Sequence

from noise_search.budget.cost import ZERO, Cost, Limits


class Ledger:
    """Counts what is spent under limits; a charge is a charge to every ledger above it too.

    Args:
        limits: upper limits by field of `Cost`; none means no limit of its own.
        parent: the ledger this one is part of.
    """

    def __init__(self, limits: Limits | None = None, parent: Ledger | None = None) -> None:
        self.limits = dict(limits or {})
        self.parent = parent
        self.spent = ZERO

    def affords(self, cost: Cost) -> bool:
        """Whether this cost would pass no limit, here or above."""
        fits = all(
            getattr(self.spent, name) + getattr(cost, name) <= limit
            for name, limit in self.limits.items()
            if getattr(cost, name)
        )
        timely = self.spent.microseconds < self.limits.get("microseconds", 1 << 62)
        return fits and (timely or not cost) and (self.parent is None or self.parent.affords(cost))

    def grant(self, more: Limits) -> None:
        """Raise the limits to what is spent and so much more."""
        self.limits = {name: getattr(self.spent, name) + n for name, n in more.items()}

    def charge(self, cost: Cost) -> None:
        """Add what was really spent."""
        self.spent += cost
        if self.parent is not None:
            self.parent.charge(cost)

    def left(self) -> dict[str, int]:
        """What remains of this ledger's own limits, by field."""
        return {
            name: max(0, limit - getattr(self.spent, name)) for name, limit in self.limits.items()
        }


class Reserve(Ledger):
    """A view of another ledger, of which so much is kept back until it is released.

    Args:
        whole: what really pays; whoever charges this one charges that too.
        kept: what is kept back.
    """

    def __init__(self, whole: Ledger, kept: Cost) -> None:
        super().__init__()
        self.whole = whole
        self.kept = kept

    def affords(self, cost: Cost) -> bool:
        """Whether this cost would leave what is kept back."""
        return not cost or self.whole.affords(cost + self.kept)

    def left(self) -> dict[str, int]:
        """What remains of the whole, less what is kept back."""
        return {n: max(0, left - getattr(self.kept, n)) for n, left in self.whole.left().items()}

    def release(self) -> None:
        """Keep nothing back any more."""
        self.kept = ZERO


class Purse:
    """One budget for many searches, given out in epochs of equal parts.

    Every search is held to its own part until all that go on are held up; then what is left is
    given out among those. So what a search gets depends neither on timing nor on the order of
    searches. It ends when an epoch pays for nothing.

    Args:
        limits: what all may spend together, by field of `Cost`.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = dict(limits)
        self.ledgers: list[Ledger] = []

    def open(self, ledgers: Sequence[Ledger]) -> None:
        """Begin the first epoch."""
        self.ledgers = list(ledgers)
        self.give(self.ledgers)

    def left(self) -> dict[str, int]:
        """What nobody has spent."""
        return {
            name: limit - sum(getattr(ledger.spent, name) for ledger in self.ledgers)
            for name, limit in self.limits.items()
        }

    def refill(self, left: Limits) -> None:
        """Let so much be what nobody has spent."""
        self.limits = {
            name: n + sum(getattr(ledger.spent, name) for ledger in self.ledgers)
            for name, n in left.items()
        }

    def give(self, waiting: Sequence[Ledger]) -> None:
        """Begin an epoch: what is left goes to these in equal parts, and to nobody else."""
        part = {name: left // len(waiting) for name, left in self.left().items()}
        for ledger in self.ledgers:
            ledger.grant(part if any(ledger is one for one in waiting) else dict.fromkeys(part, 0))
