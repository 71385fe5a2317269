"""The verifiers ``self:clip`` and ``self:dino``: how near a sample is to its own earlier preview.

The self-supervised verifier of Ma et al. 2025 (arXiv:2501.09732): the cosine of the features of the
x0-prediction at low noise and of the final sample, by CLIP or DINO.  It needs no prompt.  They fix
a noise level; here it is a share of the stages, which every pipeline has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import fsum
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Interval

from noise_search.errors import UserError, nearest
from noise_search.problem import Sample, Score, Verifier
from noise_search.specs import Spec
from noise_search.verifiers.card import Card
from noise_search.verifiers.clip import TOWER, Encoder, encoder_of
from noise_search.verifiers.clip_files import Towers
from noise_search.verifiers.models import Device, Dtype, Models, Place, Width
from noise_search.verifiers.pictures import Pixels, frames_of
from noise_search.verifiers.speeds import Stopwatch
from noise_search.verifiers.weights import (
    FLOPS,
    find_folder,
    has,
    is_path,
    naming,
    needed,
    quietly,
    settled,
    told,
    weights_in,
)

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

__all__ = ["OwnPreview", "load_features", "own_preview"]

KINDS = ("clip", "dino")
Share = Annotated[float, Interval(gt=0, lt=1)]


def own_preview(
    spec: Spec,
    models: Models,
    /,
    model: str | None = None,
    at: Share = 0.8,
    revision: str | None = None,
    device: Device = None,
    dtype: Dtype = "float32",
    batch: Width = 8,
) -> Verifier:
    """The cosine of a sample and its own preview at low noise: `self:clip`, `self:dino`.

    Args:
        spec: as written.
        models: what other verifiers have loaded: a tower is shared with `clip` on the same one.
        model: of clip as in `clip:MODEL`, ViT-L-14/openai by default; of dino ORG/NAME or the path
            of a folder, facebook/dinov2-base by default.
        at: after which share of the stages the preview is taken; of an unfinished sample, of
            those that it has, or a little before. A path that is continued carries it along; one
            decoding more is paid for each sample. The first prediction of a path is its own, and
            scores 1; what is made in a single step has none, and fails.
        revision: a branch, tag or commit of the hub's repository of dino.
        device: where it is computed.
        dtype: of its weights.
        batch: pictures a call, always.
    """
    kind = spec.target or ""
    if kind not in KINDS or spec.part is not None or spec.items:
        raise UserError(f"verifier {spec}: compare by self:clip or self:dino{nearest(kind, KINDS)}")
    place = models.place(device, dtype, batch, spec)
    usual = needed("self", kind)[0]
    named = model or (TOWER if kind == "clip" else usual.repository)
    with naming(spec):
        encoder = (
            encoder_of(named, models, place)
            if kind == "clip"
            else _dino(spec, named, revision, models, place)
        )
    card = Card(
        version=f"self:{kind} at:{at:g} cosine of {encoder.version}",
        low=-1.0,
        high=1.0,
        needs=frozenset({"pixels", "preview"}),
        flops=2 * FLOPS[named] if named in FLOPS else None,
        licence=usual.licence if model is None else "unknown",
        source=named,
    )
    return OwnPreview(encoder, str(spec), card, at)


class OwnPreview:
    """Compares samples with what they looked like on the way.

    Args:
        encoder: of pictures.
        name: the spec it was made from.
        card: what it declares.
        earlier: after which share of the stages the preview is taken.
        frames: key frames of a video, at most.

    Attributes:
        stopwatch: told of every call the pictures and the nanoseconds, or None.
    """

    stopwatch: Stopwatch | None = None

    def __init__(
        self, encoder: Encoder, name: str, card: Card, earlier: float, frames: int = 4
    ) -> None:
        self.encoder = encoder
        self.name = name
        self.card = card
        self.earlier = earlier
        self.frames = frames

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score a sample, in order; one that has no earlier preview is a failure."""
        pairs = [self._pair(sample) for sample in samples]
        sound = [pair for pair in pairs if not isinstance(pair, str)]
        shown = [frame for pair in sound for side in pair for frame in side]
        began = perf_counter_ns()
        features = iter(self.encoder.pictures(shown) if shown else [])
        if self.stopwatch is not None and shown:
            self.stopwatch(shown, perf_counter_ns() - began)
        return [
            Score(failure=f"{self.name}: {pair}")
            if isinstance(pair, str)
            else self._score([[next(features) for _ in side] for side in pair], sample)
            for sample, pair in zip(samples, pairs, strict=True)
        ]

    def _pair(self, sample: Sample) -> tuple[list[Pixels], list[Pixels]] | str:
        """The frames of the earlier preview and of the sample, or why they cannot be compared."""
        now = frames_of(sample, self.frames)
        if isinstance(now, str):
            return now
        if sample.earlier is None:
            return "it has no earlier preview: that takes two denoising steps, and a sound one"
        # A preview may rightly be dark.
        before = frames_of(replace(sample, pixels=sample.earlier, stage=-1), self.frames)
        if isinstance(before, str):
            return f"the earlier preview: {before}"
        return (before, now) if len(before) == len(now) else "the earlier preview has other frames"

    def _score(self, pair: Sequence[Sequence[Any]], sample: Sample) -> Score:
        before, now = pair
        cosines = [float((b * n).sum()) for b, n in zip(before, now, strict=True)]
        mean = fsum(cosines) / len(cosines)
        if len(getattr(sample.pixels, "shape", ())) != 4:
            return Score({self.name: mean})
        return Score({self.name: mean, f"{self.name}.min": min(cosines)})


def _dino(spec: Spec, named: str, revision: str | None, models: Models, place: Place) -> Encoder:
    if is_path(named):
        folder = Path(named).expanduser()
    else:
        usual = needed("self", spec.target)[0]
        folder = find_folder(replace(usual, repository=named), str(spec), revision)
    key = ("features", folder.resolve(), place)
    return models.get(key, lambda: Encoder(load_features(folder, place), place))


def load_features(folder: Path, place: Place) -> Towers:
    """A model of pictures alone, as DINO: its features are those of the class token.

    Args:
        folder: as transformers saves it.
        place: how it is run.

    Raises:
        UserError: the folder is missing, or holds no such model.
    """
    from transformers import AutoImageProcessor, AutoModel

    if not has(folder, ("config.json",)):
        raise UserError(f"no config.json in {str(folder)!r}")
    local = {"local_files_only": True, "trust_remote_code": False}
    with told(f"no model of pictures in {str(folder)!r}"), quietly():
        processor: Any = AutoImageProcessor.from_pretrained(str(folder), **local)
        model: Any = AutoModel.from_pretrained(str(folder), dtype=place.torch_dtype, **local)
    settled(model, place)

    def pixels(image: Image.Image) -> Tensor:
        found: Tensor = processor(images=image.convert("RGB"), return_tensors="pt").pixel_values[0]
        return found

    def image(values: Tensor) -> Tensor:
        given = values.to(place.device, place.torch_dtype)
        found: Tensor = model(pixel_values=given).last_hidden_state[:, 0]
        return found

    def text(_: str) -> Tensor:
        raise UserError(f"the model in {str(folder)!r} reads no sentences")

    files = (*weights_in(folder), *sorted(folder.glob("*config.json")))
    return Towers(pixels, image, text, f"transformers/{folder.name}", files, scale=1.0)
