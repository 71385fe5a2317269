"""The zoo's pipelines are fit to test with: small, deterministic, and deaf to nothing."""

from __future__ import annotations

import inspect
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.pipelines.zoo import KINDS, Kind, load, save
from tests.pipelines.zoo.calling import Pictures, condition, networks, plain_call
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]

TIMES = ("timestep", "timesteps", "t")  # what denoisers call the time
each_kind = pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, id=kind.name, marks=[] if kind.each_commit else pytest.mark.nightly)
        for kind in KINDS.values()
    ],
)


class Zoo:
    """Pipelines saved and loaded once a session, and what plain calls make of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pipe = cache(self._pipe)
        self.pictures = cache(self._pictures)

    def _pipe(self, name: str) -> Any:
        return load(KINDS[name], self.root)

    def _pictures(self, name: str, prompt: int = 0, seed: int = 0) -> Pictures:
        kind = KINDS[name]
        return plain_call(kind, self.pipe(name), kind.prompts[prompt], seed)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    return Zoo(tmp_path_factory.mktemp("zoo"))


def test_six_kinds_run_on_each_commit() -> None:
    often = [kind.name for kind in KINDS.values() if kind.each_commit]
    assert sorted(often) == ["dit", "flux", "sd15", "sd3", "sdxl", "wan"]


def test_building_is_deterministic_and_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    first, second = KINDS["sd15"].make(), KINDS["sd15"].make()
    assert torch.equal(torch.random.get_rng_state(), state)
    for a, b in zip(first.unet.parameters(), second.unet.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_folder_is_written_once(tmp_path: Path) -> None:
    kind = KINDS["dit"]
    times = [(save(kind, tmp_path) / "model_index.json").stat().st_mtime_ns for _ in range(2)]
    assert times[0] == times[1]


def test_pipelines_load_in_half_precision(zoo: Zoo) -> None:
    [network] = networks(load(KINDS["flux"], zoo.root, torch.bfloat16))
    assert network.dtype == torch.bfloat16


@each_kind
def test_a_plain_call_gives_pictures(zoo: Zoo, kind: Kind) -> None:
    pictures = zoo.pictures(kind.name)
    frames = pictures.shape[1:-3]
    assert len(frames) == (1 if kind.video else 0)
    assert pictures.shape[0] == 1
    assert pictures.shape[-1] == 3
    assert np.isfinite(pictures).all()
    assert 0.02 < pictures.std() < 0.4
    assert np.mean((pictures == 0) | (pictures == 1)) < 0.2


@each_kind
def test_pictures_follow_from_seed_and_prompt(zoo: Zoo, kind: Kind) -> None:
    first = zoo.pictures(kind.name)
    again = plain_call(kind, zoo.pipe(kind.name), kind.prompts[0], 0)
    assert np.array_equal(first, again)
    assert distance(first, zoo.pictures(kind.name, seed=1)) > 0.01
    if condition(zoo.pipe(kind.name), kind.prompts[0]):  # some are told nothing
        assert distance(first, zoo.pictures(kind.name, prompt=1)) > 0.005


@each_kind
def test_the_denoiser_listens_to_time(zoo: Zoo, kind: Kind) -> None:
    pipe = zoo.pipe(kind.name)
    signature = inspect.signature(networks(pipe)[0].forward)

    def halve(_: Any, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
        bound = signature.bind(*args, **named)
        (time,) = (name for name in TIMES if name in bound.arguments)
        bound.arguments[time] = bound.arguments[time] / 2
        return bound.args, bound.kwargs

    hooks = [n.register_forward_pre_hook(halve, with_kwargs=True) for n in networks(pipe)]
    try:
        late = plain_call(kind, pipe, kind.prompts[0], 0)
    finally:
        for hook in hooks:
            hook.remove()
    assert distance(zoo.pictures(kind.name), late) > 0.005


def distance(a: Pictures, b: Pictures) -> float:
    return float(np.abs(a - b).mean())
