"""What may be spent, and what has been."""

from noise_search.budget.cost import (
    JUDGING,
    SPOKEN,
    UNITS,
    ZERO,
    Cost,
    Limits,
    check_judging,
    read_limits,
)
from noise_search.budget.ledger import Ledger, Purse, Reserve

__all__ = [
    "JUDGING",
    "SPOKEN",
    "UNITS",
    "ZERO",
    "Cost",
    "Ledger",
    "Limits",
    "Purse",
    "Reserve",
    "check_judging",
    "read_limits",
]
