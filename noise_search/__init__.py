"""Spend inference-time compute well: search noise, and the texts of language models.

The names below are imported when they are first used, so that importing the package loads
neither torch nor numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noise_search.ask import Prompt
    from noise_search.candidate import Candidate
    from noise_search.errors import UserError
    from noise_search.moves import END, Continue, Move, Plan, Search, Spent, Start
    from noise_search.noise import Gaussian, Neighbor, Recipe, Revision, Splice, Tokens
    from noise_search.problem import Pipeline, Sample, Score, Verifier
    from noise_search.study.prompts import read_prompts
    from noise_search.study.reproduce import Reproduction, reproduce
    from noise_search.study.result import Result
    from noise_search.study.score import score
    from noise_search.study.search import search
    from noise_search.study.sets import measure
    from noise_search.task import Task
    from noise_search.text import Step, Text

__version__ = "0.1.0"

_HOMES = {
    "END": "moves",
    "Candidate": "candidate",
    "Continue": "moves",
    "Gaussian": "noise",
    "Move": "moves",
    "Neighbor": "noise",
    "Pipeline": "problem",
    "Plan": "moves",
    "Prompt": "ask",
    "Recipe": "noise",
    "Reproduction": "study.reproduce",
    "Result": "study.result",
    "Revision": "noise",
    "Sample": "problem",
    "Score": "problem",
    "Search": "moves",
    "Spent": "moves",
    "Splice": "noise",
    "Start": "moves",
    "Step": "text",
    "Task": "task",
    "Text": "text",
    "Tokens": "noise",
    "UserError": "errors",
    "Verifier": "problem",
    "measure": "study.sets",
    "read_prompts": "study.prompts",
    "reproduce": "study.reproduce",
    "score": "study.score",
    "search": "study.search",
}

__all__ = [
    "END",
    "Candidate",
    "Continue",
    "Gaussian",
    "Move",
    "Neighbor",
    "Pipeline",
    "Plan",
    "Prompt",
    "Recipe",
    "Reproduction",
    "Result",
    "Revision",
    "Sample",
    "Score",
    "Search",
    "Spent",
    "Splice",
    "Start",
    "Step",
    "Task",
    "Text",
    "Tokens",
    "UserError",
    "Verifier",
    "measure",
    "read_prompts",
    "reproduce",
    "score",
    "search",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
