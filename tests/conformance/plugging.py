"""Installs the models and verifiers of `extras`, as pip would, into a folder of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.conformance.extras import ENTRY_POINTS

ROOT = Path(__file__).resolve().parents[2]


def plug_in(site: Path) -> None:
    """Let this process find the entry points of `extras`."""
    record = site / "noise_search_extras-1.0.dist-info"
    record.mkdir(parents=True, exist_ok=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: noise-search-extras\n")
    (record / "entry_points.txt").write_text(ENTRY_POINTS)
    sys.path[:0] = [str(site), str(ROOT)]


def environment(site: Path, **more: str) -> dict[str, str]:
    """What another process needs in order to find them."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]), **more}
