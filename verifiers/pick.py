"""The verifier ``pick``: PickScore, trained on what people picked of two pictures.

Kirstain et al. 2023 (arXiv:2305.01569).  A CLIP model of transformers (ViT-H-14 as published); the
score is the cosine times the model's own scale, which is 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from noise_search.errors import UserError
from noise_search.problem import Verifier
from noise_search.specs import Spec
from noise_search.verifiers.card import Card
from noise_search.verifiers.clip import Clip, Encoder
from noise_search.verifiers.clip_files import load_directory
from noise_search.verifiers.models import Device, Dtype, Models, Width
from noise_search.verifiers.pictures import Pictures, Pixels
from noise_search.verifiers.weights import (
    PROCESSOR,
    find_folder,
    folder_of,
    has,
    naming,
    origin,
)

__all__ = ["Pick", "pick"]


def pick(
    spec: Spec,
    models: Models,
    /,
    revision: str | None = None,
    device: Device = None,
    dtype: Dtype = "float32",
    batch: Width = 8,
) -> Verifier:
    """PickScore: `pick`, `pick:ORG/NAME`, or the path of a folder of transformers.

    Args:
        spec: as written.
        models: of the run.
        revision: a branch, tag or commit of the hub's repository.
        device: where it is computed.
        dtype: of its weights.
        batch: pictures a call, always.
    """
    if spec.part is not None or spec.items:
        raise UserError(f"verifier {spec}: write pick, pick:ORG/NAME or a path")
    place = models.place(device, dtype, batch, spec)
    folder = folder_of(spec, revision)
    words = _words(folder, spec.name)
    with naming(spec):
        encoder = models.get(
            ("pick", folder.resolve(), place),
            lambda: Encoder(load_directory(folder, place, words), place),
        )
    model = Pick(encoder)
    card = Card(
        version=model.version,
        low=-encoder.scale,
        high=encoder.scale,
        **origin(spec, folder),
        costly=True,
    )
    return Pictures(model.scores, str(spec), card)


def _words(folder: Path, key: str) -> Path:
    """Where the processor lies: beside the weights, or in the repository they were trained from."""
    if has(folder, PROCESSOR.files) or not has(folder, ("config.json",)):
        return folder
    return find_folder(PROCESSOR, key)


class Pick:
    """A loaded model.

    Args:
        encoder: of pictures and sentences.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._clip = Clip(encoder)
        self._scale = encoder.scale

    @cached_property
    def version(self) -> str:
        """What decides the scores."""
        return f"pick {self._scale:.6g}*cosine of {self._clip.encoder.version}"

    def scores(self, pictures: Sequence[Pixels], prompts: Sequence[str]) -> list[float]:
        """The score of each picture for its own prompt."""
        return [self._scale * cosine for cosine in self._clip.similarity(pictures, prompts)]
