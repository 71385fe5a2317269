"""Train the CLIP-like verifiers of the shapes on freshly drawn pictures.

``python -m noise_search.pipelines.shapes.train_clip --out FOLDER`` trains ``shapes-clip``;
``--weak`` trains ``shapes-clip-weak``, which has seen no near misses, no flaws and little else, and
cannot tell left from right: selecting hard by it shows how a search exploits its verifier.  Only
training sentences are used.

Loss: InfoNCE in both directions (CLIP, arXiv:2103.00020).  A sentence must rank its own picture
above the pictures of its near misses and above its own spoilt picture, all at one strength of
blur and noise: that is the question which a search puts to a verifier.  For training only, a linear
probe names the objects at each place of the third layer's map: without it, outlines come late.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from noise_search.pipelines.shapes import clip_model
from noise_search.pipelines.shapes.clip_augment import degrade
from noise_search.pipelines.shapes.clip_measure import hard_negative_accuracy
from noise_search.pipelines.shapes.clip_optim import optimizers
from noise_search.pipelines.shapes.clip_scenes import (
    Objects,
    census,
    directions,
    near_misses,
    occupancy,
    paint,
    place_scenes,
    spoil,
    truth,
)
from noise_search.pipelines.shapes.scenes import COLORS, SHAPES, Scene, parse, training_captions
from noise_search.verifiers.clip import Clip

__all__ = ["Batch", "Plan", "draw_batch", "main", "train"]


@dataclass(frozen=True)
class Plan:
    """How long, on what and how.

    Attributes:
        size: one of the sizes of ``clip_model``.
        steps: batches of ``groups`` sentences and their near misses.
        groups: sentences drawn independently.
        misses: near misses of each; 0 means clean pictures only, none spoilt.
        spoilt: spoilt pictures of each sentence.
        kernels: rate of Muon on convolutions.
        matrices: rate of Muon on the matrices of the text blocks.
        rest: rate of AdamW on everything else.
        warmup: steps of linear warm-up.
        ramp: share of the steps over which blur and noise grow to full strength; starting with
            them left outlines and relations unlearnt for long.
        probe: weight of the loss of the probe of places.
        facts: weight of the loss of the probe of directions and counts.
        seed: of weights and batches.
    """

    size: dict[str, Any]
    steps: int
    groups: int
    misses: int
    spoilt: int = 2
    kernels: float = 1e-2
    matrices: float = 3e-3
    rest: float = 2e-3
    warmup: int = 50
    ramp: float = 0.35
    probe: float = 0.3
    facts: float = 0.3
    seed: int = 0


@dataclass(frozen=True)
class Batch:
    """N sentences, their pictures and, where near misses are used, K N spoilt pictures.

    ``images`` is (N + K N, 32, 32, 3) in [0, 1]; ``shows`` (N, N) says whether picture i shows
    sentence j: 1 yes, 0 no, -1 undecided.
    """

    texts: list[str]
    images: NDArray[np.float32]
    shows: NDArray[np.int8]
    objects: Objects
    scenes: list[Scene]


class Sentences:
    """The sentences one may draw and the near misses of each."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = list(texts)
        allowed = frozenset(texts)
        self.misses = {text: near_misses(text, allowed) for text in texts}
        kinds: dict[str, list[str]] = {}
        for text in texts:
            kinds.setdefault(parse(text).category, []).append(text)
        self.kinds = list(kinds.values())

    def group(self, misses: int, rng: np.random.Generator) -> list[str]:
        """A sentence and its near misses, all different where the language allows."""
        pool = self.texts
        if rng.random() < 0.4:  # Singles and counts are few: visit them more than their share.
            pool = self.kinds[int(rng.integers(len(self.kinds)))]
        first = pool[int(rng.integers(len(pool)))]
        group, kinds = [first], self.misses[first]
        for _ in range(misses):
            kind = kinds[int(rng.integers(len(kinds)))] if kinds else self.texts
            fresh = [text for text in kind if text not in group] or self.texts
            group.append(fresh[int(rng.integers(len(fresh)))])
        return group


def draw_batch(sentences: Sentences, plan: Plan, amount: float, rng: np.random.Generator) -> Batch:
    """Draw sentences, pictures and spoilt pictures; members of a group lie ``groups`` apart."""
    groups = [sentences.group(plan.misses, rng) for _ in range(plan.groups)]
    texts = [text for members in zip(*groups, strict=True) for text in members]
    scenes = [parse(text) for text in texts]
    if not plan.misses:
        objects = place_scenes(scenes, rng)
        return Batch(texts, paint(objects, rng), truth(scenes, objects), objects, scenes)
    objects = place_scenes(scenes * (1 + plan.spoilt), rng)
    shows = truth(scenes, objects)
    spare = Objects(*(getattr(objects, f.name)[len(texts) :] for f in fields(objects)))
    spoil(spare, [sum(g.count for g in scene.groups) for scene in scenes] * plan.spoilt, rng)
    images = paint(objects, rng)
    hops = rng.integers(1, len(images) // plan.groups, len(images)) * plan.groups
    partners = (np.arange(len(images)) + hops) % len(images)
    return Batch(texts, degrade(images, partners, plan.groups, amount, rng), shows, objects, scenes)


def _pixels(images: NDArray[np.float32], side: int) -> Tensor:
    """What the model's own preprocessing makes of (B, 32, 32, 3) in [0, 1]: (B, 3, side, side)."""
    tensor = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    # With ``antialias`` torch uses the same cubic as PIL, which is what preprocessing runs.
    tensor = functional.interpolate(
        tensor, size=(side, side), mode="bicubic", antialias=True
    ).clamp(0, 1)
    tensor = (tensor - clip_model.MEAN) / clip_model.STD
    return tensor.contiguous(memory_format=torch.channels_last)


def _probe(plan: Plan) -> nn.Module:
    """A linear map from the third layer to the kinds of objects, for training only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        return nn.Conv2d(plan.size["width"] * 16, len(COLORS) * len(SHAPES), 1)


def _facts(plan: Plan) -> nn.Module:
    """A linear map from features to a direction a colour and a count a kind, for training only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        return nn.Linear(plan.size["embed_dim"], len(COLORS) * (2 + len(SHAPES)))


def _look(visual: Any, probe: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Features (B, D) and the probe's logits (B, 18, C, C) on the map of the third layer."""
    middle = visual.layer3(visual.layer2(visual.layer1(visual.stem(pixels))))
    return visual.attnpool(visual.layer4(middle)), probe(middle)


def _facts_loss(facts: nn.Module, image: Tensor, text: Tensor, batch: Batch) -> Tensor:
    """One linear map must read the same facts from clean pictures and from sentences.

    The facts are a direction for each colour and half the count of each colour and outline.
    Without them, relations and "which outline has which colour" are learnt last or never.
    """
    counts = torch.from_numpy(census(batch.scenes)) / 2
    total = torch.zeros(())
    for features, found in zip(
        (image[: len(text)], text), directions(batch.scenes, batch.objects), strict=True
    ):
        target = torch.from_numpy(found).flatten(1)
        known = (target.reshape(*found.shape).abs().sum(-1, keepdim=True) > 0).expand(found.shape)
        read = facts(features * features.shape[1] ** 0.5)
        away = (read[:, : target.shape[1]] - target).square() * known.flatten(1)
        total = total + away.sum() / known.sum().clamp(min=1) * 2
        total = total + (read[:, target.shape[1] :] - counts).square().sum(dim=1).mean()
    return total


def _probe_loss(logits: Tensor, objects: Objects) -> Tensor:
    """Binary cross entropy of what lies where, summed over cells and kinds, an object a unit."""
    target = torch.from_numpy(occupancy(objects, logits.shape[-1]))
    entropy = functional.binary_cross_entropy_with_logits
    return entropy(logits.float(), target, reduction="sum") / target.sum()


def _loss(image: Tensor, text: Tensor, scale: Tensor, shows: NDArray[np.int8]) -> Tensor:
    """InfoNCE over unit features: image (N + K N, D), text (N, D)."""
    count = len(text)
    logits = scale * image @ text.T
    own = torch.eye(count, dtype=torch.bool)
    skip = torch.from_numpy(shows != 0) & ~own
    clean = logits[:count].masked_fill(skip, -math.inf)
    target = torch.arange(count)
    columns = clean.T
    if len(image) > count:
        # A spoilt picture is certainly wrong for its own sentence only.
        spoilt = logits[count:].reshape(-1, count, count).diagonal(dim1=1, dim2=2)
        columns = torch.cat([columns, spoilt.T], dim=1)
    entropy = functional.cross_entropy
    return 0.5 * (entropy(clean, target) + entropy(columns, target))


def _rate(step: int, plan: Plan) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    if step < plan.warmup:
        return (step + 1) / plan.warmup
    return 0.5 * (1 + math.cos(math.pi * (step - plan.warmup) / (plan.steps - plan.warmup)))


class Trainer:
    """The model, its probe and their optimisers; :meth:`step` learns from one fresh batch."""

    def __init__(self, plan: Plan, out: Path) -> None:
        import open_clip

        clip_model.write_config(out, plan.size)
        self._plan = plan
        self._tokens = open_clip.get_tokenizer(f"local-dir:{out}")
        self.model = clip_model.build(plan.size, plan.seed).train()
        self.model.visual.to(memory_format=torch.channels_last)
        self._probe = _probe(plan)
        self._facts = _facts(plan)
        modules = {"model": self.model, "probe": self._probe, "facts": self._facts}
        self._optimizers = optimizers(modules, plan.kernels, plan.matrices, plan.rest)
        self._rates = [
            torch.optim.lr_scheduler.LambdaLR(part, lambda n: _rate(n, plan))
            for part in self._optimizers
        ]
        self._sentences = Sentences(training_captions())
        self._rng = np.random.default_rng(plan.seed)

    def step(self, number: int) -> NDArray[np.float64]:
        """Step ``number`` (from 1); returns the losses of the features and of the probe."""
        plan, model, unit = self._plan, self.model, functional.normalize
        amount = min(1.0, number / (plan.ramp * plan.steps)) if plan.ramp else 1.0
        batch = draw_batch(self._sentences, plan, amount, self._rng)
        with torch.autocast("cpu", torch.bfloat16):
            pixels = _pixels(batch.images, plan.size["image_size"])
            image, where = _look(model.visual, self._probe, pixels)
            text = model.encode_text(self._tokens(batch.texts))
        features = unit(image.float(), dim=-1), unit(text.float(), dim=-1)
        fits = _loss(*features, model.logit_scale.exp(), batch.shows)
        seen = _probe_loss(where, batch.objects)
        told = _facts_loss(self._facts, *features, batch)
        for module in (model, self._probe, self._facts):
            module.zero_grad()
        (fits + plan.probe * seen + plan.facts * told).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, rate in zip(self._optimizers, self._rates, strict=True):
            optimizer.step()
            rate.step()
        model.logit_scale.data.clamp_(max=math.log(100))
        return np.array([float(part.detach()) for part in (fits, seen, told)])


def train(plan: Plan, out: Path, every: int = 500) -> None:
    """Train, writing the folder ``out`` every ``every`` steps and at the end."""
    trainer = Trainer(plan, out)
    begun, total = time.monotonic(), np.zeros(3)
    for number in range(1, plan.steps + 1):
        total += trainer.step(number)
        if number % 100 == 0:
            fits, seen, told = total / 100
            took = f"{time.monotonic() - begun:.0f} s"
            print(f"step {number} {fits:.4f} probe {seen:.4f} facts {told:.4f} {took}", flush=True)
            total[:] = 0
        if number % every == 0 or number == plan.steps:
            clip_model.save(trainer.model, out)


def plan_of(weak: bool, steps: int | None) -> Plan:
    """The plan of the shipped verifiers."""
    if weak:
        return Plan(clip_model.WEAK, steps or 300, groups=64, misses=0, facts=0.0)
    return Plan(clip_model.STRONG, steps or 4000, groups=6, misses=3)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--weak", action="store_true", help="train the deliberately weak verifier")
    parser.add_argument("--steps", type=int, help="steps of training (default: as shipped)")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)  # One thread: the sums, and so the weights, do not vary.
    train(plan_of(options.weak, options.steps), options.out)
    for name, share in hard_negative_accuracy(Clip.from_directory(options.out)).items():
        print(f"near misses of held-out sentences told apart, {name}: {share:.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
