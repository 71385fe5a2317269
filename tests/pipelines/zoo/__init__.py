"""Tiny random diffusers pipelines in the published format, one for each kind of pipeline."""

from __future__ import annotations

from tests.pipelines.zoo.kind import Kind, load, save
from tests.pipelines.zoo.kinds import KINDS

__all__ = ["KINDS", "Kind", "load", "save"]
