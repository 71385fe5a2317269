"""Denoisers that cache: whole paths are right, and what would be wrong is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest

from noise_search.errors import UserError
from noise_search.moves import Start
from noise_search.noise import Gaussian
from noise_search.study.search import search
from tests.pipelines.passing import PROMPTS, equals_the_plain_call, player, rows_of
from tests.pipelines.zoo.flows import GUIDED, flux
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]
library: Any = diffusers
STEPS = 4
BLOCKS = ("transformer_blocks", "single_transformer_blocks")
CACHES: dict[str, Callable[[Any], Any]] = {
    "first block": lambda _: library.FirstBlockCacheConfig(threshold=10.0),
    "broadcast": lambda pipe: library.PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2,
        spatial_attention_timestep_skip_range=(0, 1001),
        current_timestep_callback=lambda: pipe.current_timestep,
        spatial_attention_block_identifiers=BLOCKS,
    ),
    "taylor": lambda _: library.TaylorSeerCacheConfig(
        cache_interval=2, disable_cache_before_step=1, max_order=1
    ),
}

each_cache = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == "taylor" else pytest.mark.nightly) for n in CACHES]
)


def cached(name: str) -> Any:
    pipe = flux()
    pipe.set_progress_bar_config(disable=True)
    pipe.transformer.enable_cache(CACHES[name](pipe))
    return pipe


@each_cache
def test_whole_paths_are_those_of_plain_calls_one_after_the_other(name: str) -> None:
    pipe, bare = cached(name), flux()
    for _ in range(2):  # nothing is left over from one candidate to the next
        equals_the_plain_call(pipe, GUIDED, STEPS)
    found = [player(p, GUIDED, STEPS).one(Start(Gaussian(7)), PROMPTS[0]) for p in (pipe, bare)]
    assert not np.array_equal(found[0].pixels, found[1].pixels), "it caches nothing"


@each_cache
def test_cut_paths_and_shared_batches_are_refused_before_anything_is_spent(name: str) -> None:
    pipe = cached(name)
    alone, wide = player(pipe, GUIDED, STEPS), player(pipe, GUIDED, STEPS, width=2)
    with rows_of(pipe.transformer) as rows:
        with pytest.raises(UserError, match=r"no path can be cut; .* pipe.transformer.disable_cac"):
            alone.pipeline.price(alone.ask(Start(Gaussian(7), until=2), PROMPTS[0]))
        with pytest.raises(UserError, match="depend on each other; --batch 1"):
            wide.pipeline.price(wide.ask(Start(Gaussian(7)), PROMPTS[0]))
    assert rows == []
    pipe.transformer.disable_cache()
    made = wide.one(Start(Gaussian(7), until=2), PROMPTS[0])
    assert made.played.failure is None


def test_a_search_over_final_noises_runs_and_one_that_cuts_paths_is_refused(
    tmp_path: Path,
) -> None:
    pipe = cached("taylor")

    def run(plan: str) -> Any:
        more: Any = GUIDED
        return search(
            pipe,
            "a red circle",
            verifier=lambda pictures, _: [float(np.asarray(p).mean()) for p in pictures],
            search=plan,
            budget=f"{3 * STEPS}nfe",
            steps=STEPS,
            batch=1,
            out=tmp_path / plan.partition("(")[0],
            **more,
        )

    assert run("random").spent.nfe == 3 * STEPS
    with rows_of(pipe.transformer) as rows, pytest.raises(UserError, match="no path can be cut"):
        run("prune(at=0.5)")
    assert rows == []
