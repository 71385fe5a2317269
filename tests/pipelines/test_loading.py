"""Specs lead to pipelines, with defaults and prices known before anything heavy is loaded."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from noise_search.ask import Prompt
from noise_search.budget import Cost
from noise_search.errors import UserError
from noise_search.moves import Continue, Move, Start
from noise_search.noise import Book, Gaussian
from noise_search.pipelines.analytic.world import Analytic
from noise_search.pipelines.diffusers import DiffusersPipeline
from noise_search.pipelines.loading import (
    Defaults,
    Options,
    check_prompts,
    defaults,
    defaults_of,
    load,
    price_only,
    wrap,
)
from noise_search.pipelines.states import States
from tests.pipelines.conftest import Load
from tests.pipelines.playing import Player

LIGHT = """
import sys
from noise_search.pipelines.loading import check_prompts, defaults, price_only
from noise_search.problem import Prompt
for model in ("shapes", "shapes:ddim", "gaussian", "mixture(dim=3)"):
    defaults(model)
    price_only(model)
check_prompts("shapes", [Prompt("a", "a red circle")])
print([name for name in ("torch", "diffusers", "transformers") if name in sys.modules])
from noise_search.noise import Book
from noise_search.pipelines.loading import Options, load
load("gaussian", Options(book=Book()))
print([name for name in ("torch", "diffusers", "transformers") if name in sys.modules])
"""


def options(**more: Any) -> Options:
    return Options(book=Book(), **more)


def test_neither_prices_nor_analytic_worlds_load_torch() -> None:
    found = subprocess.run(
        [sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True
    )
    assert found.stdout == "[]\n[]\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("shapes", Defaults("shapes-clip", "shapes", 8, 2.0)),
        ("shapes:ddim", Defaults("shapes-clip", "shapes", 8, 2.0)),
        ("gaussian(dim=3)", Defaults("reward", "reward", 8)),
        ("mixture", Defaults("reward", "reward", 8)),
    ],
)
def test_defaults(text: str, wanted: Defaults) -> None:
    assert defaults(text) == wanted


def test_a_loaded_pipeline_brings_its_own_defaults(load_tiny: Load) -> None:
    assert defaults_of(load_tiny("flow")) == defaults("shapes")

    class Other:
        vae = object()

        def __call__(
            self, prompt: str, num_inference_steps: int = 28, guidance_scale: float = 7.0
        ) -> None:
            """Its signature is all that is looked at."""

    own = defaults_of(Other())
    assert (own.steps, own.guidance_scale, own.decoder) == (28, 7.0, True)
    assert own.budget == "448nfe", "16 samples"
    assert own.budgets == ("224nfe", "448nfe", "896nfe")
    with pytest.raises(UserError, match="object is no diffusers pipeline"):
        defaults_of(object())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shapse", "unknown model 'shapse'; did you mean 'shapes'"),
        ("shapes:flwo", "model shapes:flwo: unknown variant 'flwo'; did you mean 'flow'"),
        ("shapes:flow#x", "unknown variant"),
        ("shapes(dim=3)", "unknown option 'dim'; it takes none"),
        ("gaussian:3", "takes options alone, as in gaussian"),
        ("gaussian(dims=3)", "unknown option 'dims'; did you mean 'dim'"),
        ("gaussian(dim=0)", "dim=0: input should be greater than or equal to 1"),
        ("gaussian(scale=-1)", "scale=-1: input should be greater than 0"),
        ("mixture(path=cosine)", "path=cosine: input should be 'linear' or 'vp'"),
    ],
)
def test_specs_that_lead_nowhere(text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        load(text, options())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_analytic_worlds() -> None:
    pipeline: Any = load("gaussian(dim=3,mean=2,scale=0.5,path=vp)", options(eta=0.5, width=2))
    assert isinstance(pipeline, Analytic)
    assert pipeline.stochastic
    data: Any = pipeline.distribution
    assert data.mean.tolist() == [2, 2, 2]
    assert data.scale.tolist() == [0.5] * 3
    assert (pipeline.path, pipeline.width, pipeline.eta) == ("vp", 2, 0.5)
    mixed: Any = load("mixture(dim=2,apart=3,weight=0.25)", options())
    assert mixed.distribution.means.tolist() == [[3, 0], [-3, 0]]
    assert mixed.distribution.weights.tolist() == [0.25, 0.75]
    assert load("gaussian(mean=1)", options()).describe() != load("gaussian", options()).describe()


MOVES: list[Move] = [
    Start(Gaussian(1)),
    Start(Gaussian(1), until=3),
    Start(Gaussian(1), until=3, lookahead=2),
    Start(Gaussian(1), until=7, lookahead=5),
    Start(Gaussian(1), until=3, lookahead=2, look=False),
    Start(Gaussian(1), steps=5),
]


@pytest.mark.parametrize(
    ("model", "scale"), [("shapes", None), ("shapes", 1.0), ("shapes", 3.0), ("gaussian", None)]
)
def test_prices_are_those_of_the_pipeline(load_tiny: Load, model: str, scale: float | None) -> None:
    prices = price_only(model, guidance_scale=scale)
    own = options(guidance_scale=2.0 if model == "shapes" and scale is None else scale)
    pipeline = load(model, own) if model == "gaussian" else wrap(load_tiny("flow"), own)
    play = Player(pipeline, own.book, 8)
    half = play.start(1, 4).candidate
    guided = model == "shapes" and scale != 1.0
    for move in [*MOVES, Continue(half, Gaussian(2)), Continue(half, Gaussian(2), 5, rewind=2)]:
        ask = play.ask(move)
        assert prices.price(ask) == pipeline.price(ask) == play.one(move).cost
        assert prices.price(ask).forwards == prices.price(ask).nfe * (1 + guided)
        assert prices.lane(ask) == pipeline.lane(ask)
    assert prices.most_steps == pipeline.most_steps
    assert prices.stochastic == pipeline.stochastic
    with pytest.raises(TypeError, match="plays nothing"):
        prices.play([])


def test_analytic_worlds_are_not_guided() -> None:
    with pytest.raises(UserError, match="gaussian has no guidance_scale"):
        price_only("gaussian", guidance_scale=3.0)
    with pytest.raises(UserError, match="mixture has no guidance_scale"):
        load("mixture", options(guidance_scale=3.0))
    ask = Player(load("gaussian", options()), Book(), 8).ask(Start(Gaussian(1)))
    assert price_only("gaussian").price(ask) == Cost(nfe=8, forwards=8)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        (Prompt("a", "a purple circle"), "does not know 'purple'; it knows: a, above, an,"),
        (Prompt("a", "red circle"), "not a sentence of the shapes language"),
        (Prompt("a", "a red circles"), "disagree in number"),
        (Prompt("a", ""), "not a sentence"),
        (Prompt("a", "a red circle", "a dog"), "does not know 'dog'"),
    ],
)
def test_prompts_outside_the_language_are_refused(prompt: Prompt, said: str) -> None:
    with pytest.raises(UserError) as caught:
        check_prompts("shapes:ddim", [Prompt("b", "a red circle", "blue"), prompt])
    assert said in str(caught.value)
    assert "--model takes another model" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_models_take_any_prompt() -> None:
    check_prompts("gaussian", [Prompt("a", "a purple circle")])


def test_a_users_pipeline_is_wrapped_as_it_is(load_tiny: Load) -> None:
    pipe = load_tiny("flow", torch.bfloat16)
    states = States()
    own = options(width=3, eta=0.2, guidance_scale=4.0, states=states, fast=True)
    pipeline = wrap(pipe, own)
    assert isinstance(pipeline, DiffusersPipeline)
    assert pipeline.pipe is pipe
    assert pipeline.states is states
    assert (pipeline.width, pipeline.eta, pipeline.fast) == (3, 0.2, True)
    assert pipeline.arguments == {"guidance_scale": 4.0}
    assert pipe.transformer.dtype == torch.bfloat16
    with pytest.raises(UserError, match=r"pipeline.strength: ShapesPipeline takes no such"):
        wrap(pipe, options(arguments={"strength": 1.0}))


@pytest.fixture
def shipped(tiny_folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny weights in the place of the package's own."""
    monkeypatch.setattr(
        "noise_search.pipelines.shapes.loading._folder", lambda kind: tiny_folders[kind]
    )


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize("text", ["shapes", "shapes:flow", "shapes:ddim"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_built_in_model(text: str, dtype: Any, capfd: pytest.CaptureFixture[str]) -> None:
    own = options(dtype=dtype, width=2)
    pipeline: Any = load(text, own)
    assert type(pipeline.pipe.scheduler).__name__.startswith("DDIM") == text.endswith("ddim")
    assert pipeline.arguments == {"guidance_scale": 2.0}
    assert str(pipeline.pipe.transformer.dtype) == f"torch.{dtype}"
    assert pipeline.pipe.text_encoder.dtype == pipeline.pipe.transformer.dtype
    made = Player(pipeline, own.book, 2).start(1)
    assert np.asarray(made.pixels).shape == (32, 32, 3)
    assert capfd.readouterr() == ("", "")
    assert load(text, options(guidance_scale=5.0)).describe()["arguments"] == {
        "guidance_scale": 5.0
    }


def test_missing_weights_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(
        "noise_search.pipelines.shapes.loading._folder", lambda kind: tmp_path / kind
    )
    with pytest.raises(UserError, match=r"shapes:ddim: its weights are missing from .*ddim"):
        load("shapes:ddim", options())


def test_threads_are_set_where_they_are_asked_for(load_tiny: Load) -> None:
    before = torch.get_num_threads()
    try:
        assert wrap(load_tiny("flow"), options(threads=3)).describe()["threads"] == 3
        wrap(load_tiny("flow"), options())
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
