"""Spend inference-time compute well: search the noise of diffusion models."""

from __future__ import annotations

__version__ = "0.1.0"
