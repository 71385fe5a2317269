"""The guide to pipelines tells of every kind that is tested."""

from __future__ import annotations

import re
from pathlib import Path

from tests.pipelines.zoo import KINDS

PAGE = Path(__file__).parents[2] / "docs" / "pipelines.md"


def test_every_kind_has_its_row_and_no_row_tells_of_a_failure() -> None:
    _, _, rest = PAGE.read_text(encoding="utf-8").partition("<!-- measured:")
    table, _, _ = rest.partition("<!-- end -->")
    rows = [row for row in table.splitlines() if row.startswith("| `")]
    assert [re.findall(r"`([^`]+)`", row)[0] for row in rows] == list(KINDS)
    assert not [row for row in rows if "fails" in row]
