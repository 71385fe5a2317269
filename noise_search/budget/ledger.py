"""The ledger: what may be spent and what has been. Ledgers nest."""

from __future__ import annotations

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
