"""Search algorithms: one file a family, each a generator of moves that reads like its paper."""

from noise_search.searches.beam import beam
from noise_search.searches.compose import finished, refined
from noise_search.searches.diverse import diverse
from noise_search.searches.paths import search_over_paths
from noise_search.searches.prune import prune
from noise_search.searches.random import random_search
from noise_search.searches.revise import revise
from noise_search.searches.steps import more_steps
from noise_search.searches.zero_order import zero_order

__all__ = [
    "beam",
    "diverse",
    "finished",
    "more_steps",
    "prune",
    "random_search",
    "refined",
    "revise",
    "search_over_paths",
    "zero_order",
]
