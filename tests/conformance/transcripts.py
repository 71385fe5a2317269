"""Writes the golden transcripts anew: `python -m tests.conformance.transcripts`.

Do so when a search is meant to make other moves than before, and read the difference.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from noise_search.candidate import Candidate
from noise_search.journal import candidate_record
from tests.conformance.folders import driven
from tests.conformance.worlds import GAUSSIAN

FOLDER = Path(__file__).parent / "golden"
DIGITS = 9  # of a score; the last ones are the machine's
SPECS = {  # every option is named, so that other defaults change no transcript
    "random": "random(batch=8)",
    "zero-order": "zero-order(neighbors=4,cosine=0.8,elitist=true)",
    "zero-order-free": "zero-order(neighbors=3,cosine=0.5,elitist=false)",
    "paths": "paths(paths=2,width=4,start=0.5,forward=0.125,backward=0.25)",
    "prune": "prune(at=0.25+0.5,keep=0.5)",
    "steps": "steps",
}


def line(candidate: Candidate) -> dict[str, Any]:
    """What a transcript says of a candidate."""
    record = candidate_record(candidate)
    scores = {name: round(score, DIGITS) for name, score in candidate.scores.items()}
    keys = ("candidate", "parent", "stage", "stages", "cost")
    return {key: record[key] for key in keys} | {"noise": candidate.noise.line(), "scores": scores}


def transcript(spec: str) -> str:
    """All that a search asks for in the gaussian world, in order."""
    [outcome] = driven(GAUSSIAN.prompts[:1], GAUSSIAN.settings(spec, "60nfe", seed=7)).outcomes
    return "".join(json.dumps(line(c)) + "\n" for c in outcome.candidates)


def main() -> None:
    """Write all transcripts."""
    FOLDER.mkdir(exist_ok=True)
    for name, spec in SPECS.items():
        (FOLDER / f"{name}.jsonl").write_text(transcript(spec))


if __name__ == "__main__":
    main()
