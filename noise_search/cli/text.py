"""Texts of unknown origin, made fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """One line, without control characters that a file or a prompt may have brought."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
