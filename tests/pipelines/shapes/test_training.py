"""The trainer in small: batches, optimiser, losses, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from noise_search.pipelines.shapes.components import ddim_scheduler, new_tokenizer
from noise_search.pipelines.shapes.data import EARLY_WEIGHTS, LATE_WEIGHTS, SceneBatches
from noise_search.pipelines.shapes.export import export
from noise_search.pipelines.shapes.losses import NoiseLoss, flow_loss, new_denoiser
from noise_search.pipelines.shapes.optim import (
    ExponentialAverage,
    Optimizers,
    learning_rate_factor,
)
from noise_search.pipelines.shapes.pipeline import ShapesPipeline
from noise_search.pipelines.shapes.scenes import CATEGORIES, held_out
from noise_search.pipelines.shapes.train import Recipe, train

TINY = Recipe(steps=4, decay=2, muon=1e-3, adamw=1e-3, seed=0, batch=4)


def test_batches_are_seeded_and_hold_out_what_is_held_out() -> None:
    tokenizer = new_tokenizer()
    first, second = (SceneBatches(tokenizer, EARLY_WEIGHTS, seed=1).draw(64) for _ in range(2))
    assert torch.equal(first.pixels, second.pixels)
    assert first.pixels.shape == (64, 3, 32, 32)
    assert float(first.pixels.abs().max()) <= 1.0
    texts = [str(tokenizer.decode(row, skip_special_tokens=True)) for row in first.ids]
    assert 0 < texts.count("") < 16
    assert not any(held_out(text) for text in texts if text)
    for weights in (EARLY_WEIGHTS, LATE_WEIGHTS):
        assert tuple(weights) == CATEGORIES
        assert sum(weights.values()) == pytest.approx(1.0)


def test_the_learning_rate_warms_up_stays_and_falls() -> None:
    factors = [learning_rate_factor(step, 1000, 500) for step in (0, 99, 300, 500, 750, 999)]
    assert factors == pytest.approx([0.01, 1.0, 1.0, 1.0, 0.5, 0.002])


def test_the_average_follows_the_weights() -> None:
    layer = nn.Linear(2, 2)
    average = ExponentialAverage(layer, decay=0.5)
    nn.init.constant_(layer.weight, 1.0)
    for _ in range(40):
        average.update(layer)
    assert float((average.weights["weight"] - 1.0).abs().max()) < 1e-6
    with pytest.raises(ValueError, match="weight average"):
        average.load({"steps": "1", "weights": {}})


def test_an_untrained_model_predicts_nothing() -> None:
    model = new_denoiser(seed=0)
    batch = SceneBatches(new_tokenizer(), LATE_WEIGHTS, seed=0).draw(8)
    generator = torch.Generator().manual_seed(0)
    # The flow's target is noise - x0: unit variance plus the squared pixels.
    expected = 1.0 + float((batch.pixels**2).mean())
    assert flow_loss(model, batch, generator).item() == pytest.approx(expected, rel=0.05)


def test_the_noise_process_ends_short_of_pure_noise() -> None:
    kept = ddim_scheduler().alphas_cumprod
    assert float(kept[0].sqrt()) == pytest.approx(1.0, abs=1e-4)
    assert float(kept[-1].sqrt()) == pytest.approx(0.03, abs=1e-3)
    noise_level = (1 - kept).sqrt() / (kept.sqrt() + (1 - kept).sqrt())
    # Time nearly names the flow's noise level, so a flow's weights are a good start.
    assert float((noise_level - torch.arange(1, 1001) / 1000).abs().max()) < 0.07


@pytest.mark.parametrize("loss", [flow_loss, NoiseLoss(ddim_scheduler())])
def test_gradients_reach_every_part(loss: Any) -> None:
    model: Any = new_denoiser(seed=0)
    nn.init.normal_(model.transformer.proj_out.weight, std=0.1)
    for block in model.transformer.transformer_blocks:
        nn.init.normal_(block.attn2.to_out[0].weight, std=0.1)
    batch = SceneBatches(new_tokenizer(), LATE_WEIGHTS, seed=0).draw(2)
    loss(model, batch, torch.Generator().manual_seed(0)).backward()
    assert any(p.grad is not None and p.grad.any() for p in model.text_encoder.parameters())
    Optimizers(model, 1e-3, 1e-3).step(1.0)


def test_an_interrupted_training_goes_on(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    file = tmp_path / "checkpoints" / "flow.pt"
    first = new_denoiser(seed=0)
    before = {name: value.clone() for name, value in first.state_dict().items()}
    train(first, flow_loss, TINY, file, every=0.0)
    saved = torch.load(file, weights_only=True)
    assert saved["step"] == TINY.steps == 4
    assert any(not torch.equal(before[k], v) for k, v in first.state_dict().items())
    # A finished training has nothing left to do and gives the averaged weights at once.
    again = new_denoiser(seed=1)
    train(again, flow_loss, TINY, file, every=0.0)
    assert all(torch.equal(v, first.state_dict()[k]) for k, v in again.state_dict().items())
    assert torch.get_num_threads() == threads


def test_export_writes_a_pipeline(tmp_path: Path) -> None:
    export(new_denoiser(seed=0), "ddim", tmp_path)
    for file in tmp_path.rglob("*.json"):
        assert "TokenizersBackend" not in file.read_text("utf-8")
    pipeline = ShapesPipeline.from_pretrained(tmp_path, dtype=torch.float32)
    assert pipeline.scheduler.config.prediction_type == "epsilon"
