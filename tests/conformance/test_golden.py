"""Every search makes the moves that it was once seen to make, name by name.

`python -m tests.conformance.transcripts` writes the stored transcripts anew.
"""

from __future__ import annotations

import pytest

from noise_search.registry import SEARCHES
from noise_search.specs import parse
from tests.conformance.transcripts import FOLDER, SPECS, transcript

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("name", SPECS)
def test_a_search_makes_the_moves_of_its_golden_transcript(name: str) -> None:
    assert transcript(SPECS[name]) == (FOLDER / f"{name}.jsonl").read_text()


def test_every_built_in_search_has_a_transcript_and_no_other_is_left() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(SPECS)
    assert {parse(spec).name for spec in SPECS.values()} == set(SEARCHES)
