"""What may be spent, and what has been."""

from noise_search.budget.cost import SPOKEN, UNITS, ZERO, Cost, Limits, read_limits
from noise_search.budget.ledger import Ledger, Purse, Reserve

__all__ = ["SPOKEN", "UNITS", "ZERO", "Cost", "Ledger", "Limits", "Purse", "Reserve", "read_limits"]
