"""The CLIP verifier: cosine of the features of a picture and of a sentence.

CLIP is Radford et al. 2021 (arXiv:2103.00020); CLIPScore is ``2.5 * max(cosine, 0)`` with the
prompt "A photo depicts ..." (Hessel et al. 2021, arXiv:2104.08718).  Verifiers on one tower share
its `Encoder`, and so what it has made of a picture.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from noise_search.errors import UserError
from noise_search.verifiers.batches import Batches
from noise_search.verifiers.clip_files import (
    Towers,
    load_directory,
    load_published,
    shipped_folder,
)
from noise_search.verifiers.models import Models, Place
from noise_search.verifiers.pictures import Pixels, pixels_of
from noise_search.verifiers.weights import checksum, told

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

__all__ = ["CLIPSCORE_PREFIX", "CLIPSCORE_SCALE", "TOWER", "Clip", "Encoder", "encoder_of"]

CLIPSCORE_PREFIX = "A photo depicts "
CLIPSCORE_SCALE = 2.5
TOWER = "ViT-L-14/openai"
"""The model of a spec that names none."""

Features = NDArray[np.float64]
"""Of one picture or sentence, (D,), of norm 1."""
T = TypeVar("T")


class Encoder:
    """Unit features of pictures and sentences, each made once while it is remembered.

    The last bits of a matrix product depend on how many rows it has, so pictures always run
    ``place.batch`` at a time: short batches are padded, long ones sliced. The same picture has the
    same bits in any company.

    Args:
        towers: the model.
        place: how it is run.
        memory: how many pictures' and how many sentences' features are kept.
    """

    def __init__(self, towers: Towers, place: Place | None = None, memory: int = 1024) -> None:
        self.place = place or Place()
        self._towers = towers
        self._batches = Batches(self._encode, self.place.batch)
        self._pictures: _Recent[Features] = _Recent(memory)
        self._sentences: _Recent[Features] = _Recent(memory)

    @cached_property
    def version(self) -> str:
        """What decides the features: model, weights, preprocessing, number type, width."""
        dtype = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}[self.place.dtype]
        return (
            f"{self._towers.name} sha256:{checksum(self._towers.files)} {dtype}"
            f" {self._towers.prepared} batch:{self.place.batch}"
        )

    @cached_property
    def width(self) -> int:
        """How many features there are of a picture, and of a sentence."""
        with told(f"{self._towers.name} reads no sentences"):
            return len(self.sentence(""))

    @property
    def scale(self) -> float:
        """The factor of the cosine that the model was trained with."""
        return self._towers.scale

    def pictures(self, images: Sequence[Image.Image | Pixels]) -> list[Features]:
        """Features of pictures (PIL, or uint8 of H x W x 3), in order."""
        pixels = [pixels_of(image) for image in images]
        keys = [_digest(one) for one in pixels]
        due = {
            key: one
            for key, one in zip(keys, pixels, strict=True)
            if self._pictures.recall(key) is None
        }
        made = self._batches([self._prepare(one) for one in due.values()])
        found = dict(zip(due, made, strict=True))
        whole = [found[key] if key in found else self._pictures[key] for key in keys]
        for key, features in found.items():
            self._pictures.put(key, features)
        return whole

    def sentence(self, text: str) -> Features:
        """Features of a sentence; they do not depend on which others were asked for."""
        found = self._sentences.recall(text)
        if found is None:
            import torch

            with torch.inference_mode():
                found = _unit(self._towers.text(text))
            self._sentences.put(text, found)
        return found

    def _prepare(self, pixels: Pixels) -> Tensor:
        from PIL import Image

        return self._towers.pixels(Image.fromarray(pixels))

    def _encode(self, rows: Sequence[Tensor]) -> list[Features]:
        import torch

        with torch.inference_mode():
            return [_unit(row) for row in self._towers.image(torch.stack(list(rows)))]


class Clip:
    """Scores pictures against prompts.

    Args:
        encoder: of both; see :meth:`from_directory` and :meth:`from_open_clip`.
        prefix: put before every prompt; CLIPScore uses :data:`CLIPSCORE_PREFIX`.
        scale: None for the raw cosine, else ``scale * max(cosine, 0)``.
    """

    def __init__(self, encoder: Encoder, *, prefix: str = "", scale: float | None = None) -> None:
        self.encoder = encoder
        self._prefix = prefix
        self._scale = scale

    @classmethod
    def from_directory(
        cls, folder: str | Path, *, batch: int = 8, memory: int = 1024, **options: Any
    ) -> Clip:
        """Load a folder of open_clip (``open_clip_config.json``) or transformers (CLIP, SigLIP).

        Raises:
            UserError: the folder is missing or is neither.
        """
        place = Place(batch=batch)
        return cls(Encoder(load_directory(Path(folder), place), place, memory), **options)

    @classmethod
    def from_open_clip(cls, name: str, tag: str, *, batch: int = 8, **options: Any) -> Clip:
        """Load one of open_clip's published models, e.g. ``"ViT-B-32", "openai"``, from the disk.

        Raises:
            UserError: the model is unknown, or its weights are not in the local caches.
        """
        place = Place(batch=batch)
        return cls(Encoder(load_published(name, tag, place), place), **options)

    @classmethod
    def shipped(cls, name: str = "shapes-clip", **options: Any) -> Clip:
        """Load a verifier that comes with the package; an ordinary open_clip folder."""
        return cls.from_directory(shipped_folder(name), **options)

    @property
    def version(self) -> str:
        """What decides the scores: the encoder's, and the formula."""
        formula = "cosine" if self._scale is None else f"{self._scale:g}*max(cosine,0)"
        return f"clip:{self.encoder.version} prefix:{self._prefix!r} {formula}"

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest score there can be."""
        return (-1.0, 1.0) if self._scale is None else (0.0, self._scale)

    def similarity(
        self, images: Sequence[Image.Image | Pixels], prompts: Sequence[str]
    ) -> list[float]:
        """The score of each picture (PIL, or uint8 of H x W x 3) with its own prompt.

        Raises:
            ValueError: not as many prompts as pictures.
        """
        if len(images) != len(prompts):
            raise ValueError(f"{len(images)} pictures but {len(prompts)} prompts")
        features = self.encoder.pictures(images)
        return [
            self._score(image, self.encoder.sentence(self._prefix + prompt))
            for image, prompt in zip(features, prompts, strict=True)
        ]

    def _score(self, image: Features, text: Features) -> float:
        # The features are fp32 at best; two unit vectors lose nothing more in double.
        cosine = float((image * text).sum())
        if self._scale is None:
            return cosine
        # A comparison, not max(): max(0.0, nan) would turn a broken score into a low one.
        return 0.0 if cosine < 0 else self._scale * cosine


def encoder_of(target: str, models: Models, place: Place) -> Encoder:
    """The encoder that a spec names: open_clip's ``MODEL/WEIGHTS``, or the path of a folder.

    Args:
        target: as ``ViT-L-14/openai`` or ``./folder``.
        models: verifiers that name the same one share it.
        place: how it is run.

    Raises:
        UserError: there is no such folder or model, or its weights are not on the disk.
    """
    folder = Path(target).expanduser()
    model, _, weights = target.rpartition("/")
    if folder.is_dir() or target[0] in "./~" or not model:
        key: tuple[object, ...] = ("clip", folder.resolve(), place)
        return models.get(key, lambda: Encoder(load_directory(folder, place), place))
    key = ("clip", model, weights, place)
    return models.get(key, lambda: Encoder(load_published(model, weights, place), place))


class _Recent(OrderedDict[str, T]):
    """What was put in of late, so many at most."""

    def __init__(self, most: int) -> None:
        super().__init__()
        if most < 1:
            raise UserError(f"memory must be at least 1, not {most}")
        self._most = most

    def recall(self, key: str) -> T | None:
        if key not in self:
            return None
        self.move_to_end(key)
        return self[key]

    def put(self, key: str, value: T) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)


def _digest(pixels: Pixels) -> str:
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def _unit(row: Tensor) -> Features:
    values: Features = row.detach().cpu().double().numpy()
    return values / max(float(np.sqrt((values * values).sum())), 1e-12)
