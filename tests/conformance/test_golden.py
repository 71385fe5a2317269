"""Every search makes the moves that it was once seen to make, name by name.

`python -m tests.conformance.transcripts` writes the stored transcripts anew.
"""

from __future__ import annotations

import pytest

from noise_search.registry import SEARCHES
from noise_search.specs import parse
from tests.conformance.conftest import Place
from tests.conformance.transcripts import FOLDER, SCENES, transcript

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("name", SCENES)
def test_a_search_makes_the_moves_of_its_golden_transcript(name: str, placed: Place) -> None:
    assert transcript(SCENES[name], placed) == (FOLDER / f"{name}.jsonl").read_text()


def test_every_built_in_search_has_a_transcript_and_no_other_is_left() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(SCENES)
    assert {parse(scene.spec).name for scene in SCENES.values()} == set(SEARCHES)
