"""Writes the golden transcripts anew: `python -m tests.conformance.transcripts`.

Do so when a search is meant to make other moves than before, and read the difference.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from noise_search.candidate import Candidate
from noise_search.journal import candidate_record
from tests.conformance.folders import driven
from tests.conformance.worlds import GAUSSIAN, GAUSSIAN_SDE, TEXT, VOTES, World

FOLDER = Path(__file__).parent / "golden"
DIGITS = 9  # of a score; the last ones are the machine's


class Scene(NamedTuple):
    """A search, and where it was seen."""

    world: World
    spec: str


BEAM = "beam(draws=4,width=2,lookahead=0,final=best)"
AHEAD = "beam(draws=4,width=2,lookahead=1,final=best)"
REVISE = "revise(sequential=3,parallel=2,final={},cosine=0.5)"
DIVERSE = f"diverse({BEAM},groups=2,final=best)"
SCENES = {  # every option is named, so that other defaults change no transcript
    "random": Scene(GAUSSIAN, "random(batch=8)"),
    "zero-order": Scene(GAUSSIAN, "zero-order(neighbors=4,cosine=0.8,elitist=true)"),
    "zero-order-free": Scene(GAUSSIAN, "zero-order(neighbors=3,cosine=0.5,elitist=false)"),
    "paths": Scene(GAUSSIAN, "paths(paths=2,width=4,start=0.5,forward=0.125,backward=0.25)"),
    "prune": Scene(GAUSSIAN, "prune(at=0.25+0.5,keep=0.5)"),
    "steps": Scene(GAUSSIAN, "steps"),
    "beam": Scene(GAUSSIAN_SDE, BEAM),
    "beam-lookahead": Scene(GAUSSIAN_SDE, AHEAD),
    "revise": Scene(GAUSSIAN, REVISE.format("best")),
    "diverse": Scene(GAUSSIAN_SDE, DIVERSE),
    "text-zero-order": Scene(TEXT, "zero-order(neighbors=2,cosine=0.5,elitist=true)"),
    "text-paths": Scene(TEXT, "paths(paths=2,width=2,start=0.5,forward=0.25,backward=0.5)"),
    "text-prune": Scene(TEXT, "prune(at=0.25+0.5,keep=0.5)"),
    "text-beam": Scene(TEXT, BEAM),
    "text-beam-lookahead": Scene(TEXT, AHEAD),
    "text-revise": Scene(TEXT, REVISE.format("best")),
    "text-revise-weighted": Scene(VOTES, REVISE.format("weighted")),
    "text-diverse": Scene(TEXT, DIVERSE),
    "text-random-weighted": Scene(VOTES, "random(batch=4,final=weighted)"),
    "text-random-majority": Scene(VOTES, "random(batch=4,final=majority)"),
}


def line(candidate: Candidate) -> dict[str, Any]:
    """What a transcript says of a candidate."""
    record = candidate_record(candidate)
    scores = {name: round(score, DIGITS) for name, score in candidate.scores.items()}
    keys = ("candidate", "parent", "stage", "stages", "cost", "ended", "lookahead", "text")
    said = {key: record[key] for key in keys if key in record}
    return said | {"noise": candidate.noise.line(), "scores": scores}


def transcript(scene: Scene, placed: Callable[[World], World]) -> str:
    """All that a search asks for in its world, in order; of texts, then the verdict."""
    world = placed(scene.world)
    settings = world.settings(scene.spec, world.budget(60), seed=7)
    [outcome] = driven(world.prompts[:1], settings).outcomes
    told = [line(c) for c in outcome.candidates]
    if world.writes:
        told.append({"found": [c.name for c in outcome.found]})
    return "".join(json.dumps(one) + "\n" for one in told)


def main() -> None:
    """Write all transcripts."""
    from tests.conformance.plugging import plug_in
    from tests.conformance.texts import save_tiny_text

    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        plug_in(Path(scratch) / "site")
        weights = save_tiny_text(Path(scratch) / "text")
        for name, scene in SCENES.items():
            found = transcript(scene, lambda world: world.at(weights))
            (FOLDER / f"{name}.jsonl").write_text(found)


if __name__ == "__main__":
    main()
