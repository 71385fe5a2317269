"""The shapes pipeline as a diffusers pipeline: loading, seeds, latents, callbacks, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import noise_search.pipelines.shapes as home
from noise_search.pipelines.shapes.components import (
    ddim_scheduler,
    flow_scheduler,
    new_text_encoder,
    new_tokenizer,
    new_transformer,
)
from noise_search.pipelines.shapes.evaluate import Accuracy, accuracy_by_category, prompts_of
from noise_search.pipelines.shapes.pipeline import ShapesPipeline
from noise_search.pipelines.shapes.scenes import UnknownWord, captions, held_out, parse

KINDS = ("flow", "ddim")
PROMPT = "two red circles left of a blue square"


def shipped(kind: str) -> Path:
    return Path(str(home.__file__)).resolve().parent / kind


@pytest.fixture(scope="module", params=KINDS)
def pipeline(request: pytest.FixtureRequest) -> Any:
    loaded: Any = ShapesPipeline.from_pretrained(shipped(request.param), dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def seeded(seed: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def draw(pipeline: Any, prompt: Any = PROMPT, **options: Any) -> torch.Tensor:
    options = {"num_inference_steps": 2, "output_type": "latent"} | options
    return torch.as_tensor(pipeline(prompt, **options).images)


def test_it_loads_as_an_ordinary_pipeline(pipeline: Any) -> None:
    assert set(pipeline.components) == {"tokenizer", "text_encoder", "transformer", "scheduler"}
    assert pipeline.transformer.dtype == pipeline.text_encoder.dtype == torch.float32
    picture = pipeline(PROMPT, num_inference_steps=1).images[0]
    assert isinstance(picture, Image.Image)
    assert picture.size == (32, 32)


@pytest.mark.parametrize("kind", KINDS)
def test_the_folders_are_small_and_half_precision(kind: str) -> None:
    folder = shipped(kind)
    assert sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) <= 6_900_000
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    assert index["_class_name"] == "ShapesPipeline"
    half = ShapesPipeline.from_pretrained(folder, dtype=torch.float16)
    assert half.transformer.dtype == torch.float16


def test_a_seed_names_a_noise_and_a_picture(pipeline: Any) -> None:
    one, same, other = (draw(pipeline, generator=seeded(s)) for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    noise = torch.randn((1, 3, 32, 32), generator=seeded(1))
    assert torch.equal(one, draw(pipeline, latents=noise))


def test_generators_in_a_list_equal_single_runs(pipeline: Any) -> None:
    prompts = [PROMPT, "a green square", "a cyan circle above a red triangle"]
    together = draw(pipeline, prompts, generator=[seeded(s) for s in (5, 6, 7)])
    for k, prompt in enumerate(prompts):
        alone = draw(pipeline, prompt, generator=seeded(5 + k))
        torch.testing.assert_close(together[k : k + 1], alone, atol=1e-4, rtol=0)


def test_images_of_a_prompt_lie_together(pipeline: Any) -> None:
    prompts = ["a red circle", "a blue square"]
    noise = torch.randn((4, 3, 32, 32), generator=seeded(0))
    grouped = draw(pipeline, prompts, num_images_per_prompt=2, latents=noise)
    listed = draw(pipeline, [prompts[0]] * 2 + [prompts[1]] * 2, latents=noise)
    torch.testing.assert_close(grouped, listed, atol=1e-5, rtol=0)


def test_spelling_does_not_matter_words_do(pipeline: Any) -> None:
    one = draw(pipeline, "a red circle", generator=seeded(0))
    assert torch.equal(one, draw(pipeline, " One RED circle. ", generator=seeded(0)))
    assert not torch.equal(one, draw(pipeline, "a blue circle", generator=seeded(0)))


def test_guidance_is_skipped_at_one(pipeline: Any) -> None:
    batches: list[int] = []

    def note(_module: Any, inputs: Any, _output: Any) -> None:
        batches.append(inputs[0].shape[0])

    handle = pipeline.transformer.register_forward_hook(note)
    try:
        plain = draw(pipeline, guidance_scale=1.0, generator=seeded(0))
        guided = draw(pipeline, guidance_scale=2.0, generator=seeded(0))
    finally:
        handle.remove()
    assert batches == [1, 1, 2, 2]
    assert not torch.equal(plain, guided)


def test_embeddings_replace_prompts(pipeline: Any) -> None:
    with torch.no_grad():
        wanted, mask, unwanted, unwanted_mask = pipeline.encode_prompt(PROMPT)
    assert wanted.shape == (1, 12, 128)
    assert mask.sum() == 10
    assert unwanted is not None
    assert unwanted_mask is not None
    assert unwanted_mask.sum() == 2
    by_text = draw(pipeline, generator=seeded(0))
    by_embeds = draw(
        pipeline, None, prompt_embeds=wanted, negative_prompt_embeds=unwanted, generator=seeded(0)
    )
    assert torch.equal(by_text, by_embeds)


def test_a_negative_prompt_matters(pipeline: Any) -> None:
    plain = draw(pipeline, generator=seeded(0))
    away = draw(pipeline, negative_prompt="a blue circle", generator=seeded(0))
    assert not torch.equal(plain, away)
    assert torch.equal(plain, draw(pipeline, negative_prompt="", generator=seeded(0)))


@pytest.mark.parametrize(("output_type", "shape"), [("pt", (1, 3, 32, 32)), ("np", (1, 32, 32, 3))])
def test_output_types(pipeline: Any, output_type: str, shape: tuple[int, ...]) -> None:
    options = {"num_inference_steps": 2, "output_type": output_type, "return_dict": False}
    (images,) = pipeline(PROMPT, generator=seeded(0), **options)
    assert images.shape == shape
    assert float(images.min()) >= 0.0
    assert float(images.max()) <= 1.0
    raw = draw(pipeline, generator=seeded(0))
    expected = (raw / 2 + 0.5).clamp(0, 1)
    if output_type == "np":
        expected = expected.permute(0, 2, 3, 1)
    assert np.array_equal(np.asarray(images), expected.numpy())


def test_a_callback_sees_and_replaces_latents(pipeline: Any) -> None:
    seen: list[tuple[int, tuple[str, ...]]] = []

    def zero(_pipe: Any, step: int, _t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append((step, tuple(tensors)))
        return {"latents": torch.zeros_like(tensors["latents"])}

    out = draw(pipeline, num_inference_steps=3, callback_on_step_end=zero, generator=seeded(0))
    assert seen == [(0, ("latents",)), (1, ("latents",)), (2, ("latents",))]
    assert not out.any()


def test_a_callback_interrupts(pipeline: Any) -> None:
    kept: list[torch.Tensor] = []

    def stop(pipe: Any, step: int, _t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        kept.append(tensors["latents"])
        pipe._interrupt = step == 1
        return {}

    out = draw(pipeline, num_inference_steps=5, callback_on_step_end=stop, generator=seeded(0))
    assert len(kept) == 2
    assert torch.equal(out, kept[-1])
    assert pipeline.interrupt
    assert pipeline.num_timesteps == 5
    assert not torch.equal(out, draw(pipeline, num_inference_steps=5, generator=seeded(0)))


def test_an_unknown_word_is_named(pipeline: Any) -> None:
    with pytest.raises(UnknownWord, match="'dog'"):
        pipeline("a red dog")
    with pytest.raises(UnknownWord, match="'cat'"):
        pipeline("a red circle", negative_prompt="a cat")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "prompt or prompt_embeds"),
        ({"prompt": "a red circle", "prompt_embeds": torch.zeros(1, 12, 128)}, "one of the two"),
        ({"prompt": "a red circle", "num_inference_steps": 0}, "at least 1"),
        ({"prompt": "a red circle", "num_images_per_prompt": 0}, "at least 1"),
        ({"prompt": "a red circle", "output_type": "jpeg"}, "output_type"),
        ({"prompt": "a red circle", "latents": torch.zeros(1, 4, 8, 8)}, "latents of shape"),
        ({"prompt": "a red circle", "generator": [seeded(0)] * 2}, "2 generators"),
        ({"prompt": "a red circle", "callback_on_step_end_tensor_inputs": ["x"]}, "callbacks get"),
        ({"prompt": "red " * 11}, "at most 10 words"),
        ({"prompt": 7}, "a string or a list of strings"),
        ({"prompt": ["a red circle"] * 3, "negative_prompt": ["", ""]}, "2 negative prompts"),
    ],
)
def test_calls_that_make_no_sense(pipeline: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipeline(**arguments)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_pipeline_draws_the_same(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    scheduler = flow_scheduler() if kind == "flow" else ddim_scheduler()
    transformer = new_transformer()
    torch.nn.init.normal_(transformer.proj_out.weight, std=0.05)
    made = ShapesPipeline(new_tokenizer(), new_text_encoder().eval(), transformer, scheduler)
    made.save_pretrained(tmp_path)
    again = ShapesPipeline.from_pretrained(tmp_path, dtype=torch.float32)
    for pipe in (made, again):
        pipe.set_progress_bar_config(disable=True)
    assert torch.equal(draw(made, generator=seeded(0)), draw(again, generator=seeded(0)))


def test_step_noise_comes_from_the_generators() -> None:
    pipeline = ShapesPipeline.from_pretrained(shipped("ddim"), dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    calm = draw(pipeline, generator=seeded(0))
    one, same = (draw(pipeline, eta=1.0, generator=seeded(0)) for _ in range(2))
    assert torch.equal(one, same)
    assert not torch.equal(calm, one)


def test_held_out_prompts_of_a_category() -> None:
    prompts = prompts_of("pair", 70, seed=1)
    assert all(held_out(text) and parse(text).category == "pair" for text in prompts)
    assert {prompts.count(text) for text in prompts} <= {2, 3}
    assert prompts == prompts_of("pair", 70, seed=1)
    assert set(prompts_of("single", 40, seed=0, only_held_out=False)) == set(captions()[:18])


def test_the_band_of_a_rate() -> None:
    low, high = Accuracy(45, 100).band
    assert (round(low, 3), round(high, 3)) == (0.356, 0.548)
    assert str(Accuracy(45, 100)) == " 45.0 [35.6, 54.8]  n = 100"


@pytest.mark.parametrize(("kind", "floor"), [("flow", 0.35), ("ddim", 0.25)])
def test_the_shipped_weights_draw_what_is_asked(kind: str, floor: float) -> None:
    pipeline = ShapesPipeline.from_pretrained(shipped(kind), dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    assert accuracy_by_category(pipeline, samples=20, seed=1)["all"].rate >= floor


@pytest.mark.nightly
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("kind", "floors"),
    [
        ("flow", {"all": 0.45, "count": 0.30, "pair": 0.40, "position": 0.50, "mixed": 0.28}),
        ("ddim", {"all": 0.37, "count": 0.45, "pair": 0.50, "position": 0.20, "mixed": 0.10}),
    ],
)
def test_the_floor_of_the_shipped_weights(kind: str, floors: dict[str, float]) -> None:
    pipeline = ShapesPipeline.from_pretrained(shipped(kind), dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    measured = accuracy_by_category(pipeline, samples=300)
    assert {name: measured[name].rate >= floor for name, floor in floors.items()} == dict.fromkeys(
        floors, True
    )
