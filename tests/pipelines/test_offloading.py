"""Models that wait elsewhere, and compiled ones: hooks fire, rows are counted, bits are the same.

accelerate's and diffusers' hooks run on any device; here they bring everything to the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import accelerate
import pytest
import torch
from torch._dynamo import reset
from torch._dynamo.utils import counters

from noise_search.moves import Continue, Start
from noise_search.noise import Gaussian
from noise_search.pipelines.loading import put
from tests.pipelines.passing import (
    PROMPTS,
    cut_anywhere_is_whole,
    equals_the_plain_call,
    passes_through,
    player,
)
from tests.pipelines.playing import latents
from tests.pipelines.zoo.flows import GUIDED as EMBEDDED
from tests.pipelines.zoo.flows import flux
from tests.pipelines.zoo.unets import GUIDED, sd15
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]
CPU = torch.device("cpu")


def whole(pipe: Any) -> torch.Tensor:
    play = player(pipe, GUIDED)
    return latents(play, play.one(Start(Gaussian(7)), PROMPTS[0]))


def grouped(pipe: Any, folder: Path) -> None:
    pipe.unet.enable_group_offload(CPU, CPU, offload_type="leaf_level")


def grouped_on_disk(pipe: Any, folder: Path) -> None:
    pipe.unet.enable_group_offload(
        CPU,
        CPU,
        offload_type="block_level",
        num_blocks_per_group=1,
        offload_to_disk_path=str(folder),
    )


WAYS: dict[str, Callable[[Any, Path], object]] = {
    "model": lambda pipe, _: put(pipe, "cpu", "model"),
    "layers": lambda pipe, _: accelerate.cpu_offload(pipe.unet, execution_device=CPU),
    "layers on disk": lambda pipe, folder: accelerate.disk_offload(
        pipe.unet, str(folder), execution_device=CPU
    ),
    "groups": grouped,
    "groups on disk": grouped_on_disk,
}


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(way, marks=[] if way in ("model", "groups on disk") else pytest.mark.nightly)
        for way in WAYS
    ],
)
def test_models_that_wait_elsewhere_make_the_same_samples_and_the_same_record(
    way: str, tmp_path: Path
) -> None:
    bare, pipe = sd15(), sd15()
    WAYS[way](pipe, tmp_path)
    passes_through(pipe, GUIDED)
    assert torch.equal(whole(pipe), whole(bare))
    assert player(pipe, GUIDED).pipeline.describe() == player(bare, GUIDED).pipeline.describe()


def test_the_record_tells_other_weights_that_wait_elsewhere(tmp_path: Path) -> None:
    told: set[object] = set()
    for way in ("layers", "layers on disk", "groups on disk"):
        pipe = sd15()
        with torch.no_grad():
            pipe.unet.conv_out.bias += 1.0
        WAYS[way](pipe, tmp_path / way)
        told.add(player(pipe, GUIDED).pipeline.describe()["weights"])
    assert len(told) == 1
    assert told != {player(sd15(), GUIDED).pipeline.describe()["weights"]}


def test_hooks_fire_on_each_part_and_are_on_the_pipeline_itself_afterwards() -> None:
    pipe = sd15()
    put(pipe, "cpu", "model")
    fired: list[str] = []
    for name in ("text_encoder", "unet", "vae"):
        hook: Any = getattr(pipe, name)._hf_hook
        own = hook.init_hook

        def noted(module: Any, name: str = name, own: Any = own) -> Any:
            fired.append(name)
            return own(module)

        hook.init_hook = noted
    play = player(pipe, GUIDED)
    play.one(Start(Gaussian(7), until=2), PROMPTS[0])
    for name in ("text_encoder", "unet", "vae"):
        module: Any = getattr(pipe, name)
        assert type(module._hf_hook).__name__ == "CpuOffload"
        assert module.forward.args == (module,), "a stand-in was hooked in its place"


def unet_module(pipe: Any) -> None:
    pipe.unet = torch.compile(pipe.unet, backend="eager")


COMPILED: dict[str, tuple[Callable[[], Any], dict[str, Any], Callable[[Any], object]]] = {
    "module": (sd15, GUIDED, unet_module),
    "in place": (sd15, GUIDED, lambda pipe: pipe.unet.compile(backend="eager")),
    "blocks": (
        flux,
        EMBEDDED,
        lambda pipe: pipe.transformer.compile_repeated_blocks(backend="eager"),
    ),
}


@pytest.fixture
def uncompiled() -> Any:
    """torch's compiler as it was at the beginning."""
    reset()
    counters.clear()
    yield
    reset()
    counters.clear()


@pytest.mark.nightly
@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.usefixtures("uncompiled")
def test_compiled_denoisers_pass_through_and_are_told(name: str) -> None:
    make, given, compiled = COMPILED[name]
    bare, pipe = make(), make()
    compiled(pipe)
    passes_through(pipe, given)
    plays = [player(p, given) for p in (bare, pipe)]
    found = [latents(p, p.one(Start(Gaussian(7)), PROMPTS[0])) for p in plays]
    assert torch.equal(*found)  # the backend "eager" changes no bits
    told = [p.pipeline.describe() for p in plays]
    assert [key for key in told[0] if told[0][key] != told[1][key]] == ["switches"]


@pytest.mark.nightly
@pytest.mark.usefixtures("uncompiled")
def test_slices_of_a_path_compile_nothing_anew() -> None:
    pipe = sd15()
    pipe.unet.compile(backend="eager")
    play = player(pipe, GUIDED)
    play.one(Start(Gaussian(1)), PROMPTS[0])
    graphs = counters["stats"]["unique_graphs"]
    assert graphs > 0
    for seed in (2, 3):
        half = play.one(Start(Gaussian(seed), until=1), PROMPTS[1])
        play.one(Continue(half.candidate, Gaussian(seed)), PROMPTS[1])
    assert counters["stats"]["unique_graphs"] == graphs
    assert not counters["recompiles"]


@pytest.mark.nightly
@pytest.mark.usefixtures("uncompiled")
def test_a_denoiser_compiled_to_machine_code_passes_through() -> None:
    pipe = flux()
    pipe.transformer = torch.compile(pipe.transformer)
    equals_the_plain_call(pipe, EMBEDDED)
    cut_anywhere_is_whole(pipe, EMBEDDED)
