"""Endless training batches: captions by category weight, each picture drawn fresh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from noise_search.pipelines.shapes.components import MAX_TOKENS
from noise_search.pipelines.shapes.scenes import (
    RELATIONS,
    Scene,
    parse,
    render_batch,
    training_captions,
)

__all__ = ["EARLY_WEIGHTS", "LATE_WEIGHTS", "Batch", "SceneBatches"]

EARLY_WEIGHTS: Mapping[str, float] = {
    # Relations are learnt last and need most of the pictures; one object is learnt at once.
    "single": 0.03,
    "count": 0.14,
    "pair": 0.18,
    "position": 0.33,
    "mixed": 0.32,
}
LATE_WEIGHTS: Mapping[str, float] = {
    # By then relations hold, and keeping the number of objects right is what fails most.
    "single": 0.02,
    "count": 0.53,
    "pair": 0.22,
    "position": 0.11,
    "mixed": 0.12,
}


@dataclass(frozen=True)
class Batch:
    """Pixels (B, 3, 32, 32) in [-1, 1], token ids and mask (B, L)."""

    pixels: Tensor
    ids: Tensor
    mask: Tensor


class SceneBatches:
    """Batches from the training captions; a fraction ``drop`` of them loses its text.

    ``weights`` shares the pictures among the categories, evenly within each.  A fraction
    ``confusion`` of the relations is drawn at random, whatever the text says: in pictures from
    the web captions are as loose, and a model that never errs leaves nothing to search for.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        weights: Mapping[str, float],
        seed: int,
        drop: float = 0.1,
        confusion: float = 0.0,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._drop = drop
        self._confusion = confusion
        texts = training_captions()
        self._scenes: list[Scene] = [parse(text) for text in texts]
        encoded = tokenizer(
            ["", *texts], padding="longest", max_length=MAX_TOKENS, return_tensors="pt"
        )
        self._ids, self._mask = encoded["input_ids"], encoded["attention_mask"]
        categories = [scene.category for scene in self._scenes]
        shares = [weights[name] / categories.count(name) for name in categories]
        self._shares = np.array(shares) / np.sum(shares)

    def draw(self, size: int) -> Batch:
        """The next ``size`` pictures with their texts."""
        rows = self._rng.choice(len(self._scenes), size=size, p=self._shares)
        images = render_batch([self._drawn(self._scenes[row]) for row in rows], self._rng)
        # Row 0 of the token table is the empty text of classifier-free guidance.
        kept = np.where(self._rng.random(size) < self._drop, 0, rows + 1)
        index = torch.from_numpy(kept)
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        return Batch(pixels.contiguous(), self._ids[index], self._mask[index])

    def _drawn(self, scene: Scene) -> Scene:
        if scene.relation is None or self._rng.random() >= self._confusion:
            return scene
        return replace(scene, relation=str(self._rng.choice(RELATIONS)))
