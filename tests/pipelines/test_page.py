"""The guide to pipelines tells of every kind that is tested, and what it says to write runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Call, call, here
from tests.pipelines.zoo import KINDS, save
from tests.pipelines.zoo.edits import mask
from tests.pipelines.zoo.pictures import picture
from tests.pipelines.zoo.warnings import KNOWN

__all__ = ["call", "here"]
pytestmark = [*KNOWN]
PAGE = Path(__file__).parents[2] / "docs" / "pipelines.md"


def test_every_kind_has_its_row_and_no_row_tells_of_a_failure() -> None:
    _, _, rest = PAGE.read_text(encoding="utf-8").partition("<!-- measured:")
    table, _, _ = rest.partition("<!-- end -->")
    rows = [row for row in table.splitlines() if row.startswith("| `")]
    assert [re.findall(r"`([^`]+)`", row)[0] for row in rows] == list(KINDS)
    assert not [row for row in rows if "fails" in row or "differs" in row]


@pytest.fixture
def painting(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place with what the guide's lines name."""
    save(KINDS["sd15-inpaint"], here).rename(here / "inpainting")
    picture().save(here / "photo.png")
    mask().save(here / "mask.png")
    monkeypatch.chdir(here)
    return here


def lines(kind: str) -> str:
    """What the guide says to write in a language."""
    [found] = re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return str(found)


def test_a_part_is_painted_as_the_guide_says(painting: Path) -> None:
    exec(compile(lines("python"), PAGE.name, "exec"), {})  # noqa: S102 - the guide's own code
    with Image.open(painting / "painted.png") as painted:
        assert painted.size == (64, 64)


def test_the_command_that_paints_a_part_is_accepted(painting: Path, call: Call) -> None:
    words = shlex.split(lines("bash").replace("\\\n", " "))[1:]
    told = call(*words, "--dry-run")
    assert told.code == 0, told.err
