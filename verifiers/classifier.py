"""The verifier ``classifier:MODEL#label``: the logit of a label by any classifier of pictures.

The supervised verifier of Ma et al. 2025 (arXiv:2501.09732), who take the logit of the class that
was asked for.  MODEL is any image classifier of transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noise_search.errors import UserError, nearest
from noise_search.problem import Verifier
from noise_search.specs import Spec
from noise_search.verifiers.batches import Batches
from noise_search.verifiers.card import Card
from noise_search.verifiers.models import Device, Dtype, Models, Place, Width
from noise_search.verifiers.pictures import Answer, Pictures, Pixels
from noise_search.verifiers.weights import (
    checksum,
    folder_of,
    naming,
    origin,
    quietly,
    settled,
    told,
    weights_in,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Classifier", "classifier"]


def classifier(
    spec: Spec,
    models: Models,
    /,
    revision: str | None = None,
    device: Device = None,
    dtype: Dtype = "float32",
    batch: Width = 8,
) -> Verifier:
    """The logit of a label: `classifier:ORG/NAME#tabby cat`, or a folder; of the prompt, without.

    Args:
        spec: as written: the label by its name or its number; without one, prompts are labels.
        models: of the run.
        revision: a branch, tag or commit of the hub's repository.
        device: where it is computed.
        dtype: of its weights.
        batch: pictures a call, always.
    """
    if spec.target is None or spec.items:
        raise UserError(
            f"verifier {spec}: write classifier:ORG/NAME#label, or the path of a folder"
        )
    place = models.place(device, dtype, batch, spec)
    folder = folder_of(spec, revision)
    key = ("classifier", folder.resolve(), place)
    with naming(spec):
        model = models.get(key, lambda: Classifier(folder, place))
        label = None if spec.part is None else model.label(spec.part)
    card = Card(
        version=model.version,
        needs=frozenset({"pixels"} if spec.part is not None else {"prompt", "pixels"}),
        **origin(spec, folder),
    )

    def judged(pictures: Sequence[Pixels], prompts: Sequence[str]) -> list[Answer]:
        labels = [label] * len(pictures) if label is not None else map(model.asked, prompts)
        return model.answers(pictures, list(labels))

    return Pictures(judged, str(spec), card)


class Classifier:
    """A loaded model.

    Args:
        folder: as transformers saves it, with the processor of its pictures.
        place: how it is run.

    Raises:
        UserError: the folder is missing, or holds no image classifier.
    """

    def __init__(self, folder: Path, place: Place) -> None:
        from transformers import AutoImageProcessor, AutoModelForImageClassification

        if not folder.is_dir():
            raise UserError(f"no folder {str(folder)!r} to load a classifier from")
        local = {"local_files_only": True, "trust_remote_code": False}
        with told(f"no image classifier in {str(folder)!r}"), quietly():
            self._processor: Any = AutoImageProcessor.from_pretrained(str(folder), **local)
            model: Any = AutoModelForImageClassification.from_pretrained(
                str(folder), dtype=place.torch_dtype, **local
            )
        self._model = settled(model, place)
        self._place = place
        self._files = [*weights_in(folder), *sorted(folder.glob("*config.json"))]
        self._batches = Batches(self._rows, place.batch)
        self._whole = Batches(self._logits, place.batch)
        self._names: Mapping[int, str] = model.config.id2label

    @cached_property
    def version(self) -> str:
        """What decides the logits."""
        return (
            f"classifier {type(self._model).__name__} sha256:{checksum(self._files)} "
            f"{self._place.dtype} own-preprocessing(uint8) batch:{self._place.batch}"
        )

    @cached_property
    def _numbers(self) -> Mapping[str, int]:
        """Labels by their names, and by each of the words that a name lists, as ImageNet's do."""
        words = {w: i for i, n in self._names.items() for w in n.lower().split(", ")}
        return {**words, **{name.lower(): i for i, name in self._names.items()}}

    def label(self, text: str) -> int:
        """The number of a label.

        Args:
            text: its name, in any case, or its number; a name comes first.

        Raises:
            UserError: there is no such label.
        """
        wanted = text.strip().lower()
        if wanted in self._numbers:
            return self._numbers[wanted]
        if wanted.isdecimal():
            if int(wanted) < len(self._names):
                return int(wanted)
            raise UserError(f"label {wanted}: it knows {len(self._names)}, numbered from 0")
        near = nearest(wanted, self._numbers)
        few = near if len(near) < 200 else f"; it knows {len(self._names)} labels"
        raise UserError(f"unknown label {text[:60]!r}{few}")

    def asked(self, prompt: str) -> int | str:
        """The number of the label that a prompt is, or why it is none."""
        try:
            return self.label(prompt)
        except UserError as error:
            return str(error)

    def answers(self, pictures: Sequence[Pixels], labels: Sequence[int | str]) -> list[Answer]:
        """The logit of each picture's own label.

        Args:
            pictures: to be judged.
            labels: numbers, or why there is none, which is the answer then.
        """
        pairs = list(zip(pictures, labels, strict=True))
        due = [(picture, label) for picture, label in pairs if isinstance(label, int)]
        made = iter(self._batches(due))
        return [label if isinstance(label, str) else next(made) for label in labels]

    def probabilities(self, pictures: Sequence[Pixels]) -> list[NDArray[np.float64]]:
        """The probability of every label, (K,), of each picture."""
        return [np.exp(row - np.logaddexp.reduce(row)) for row in self._whole(list(pictures))]

    def _rows(self, pairs: Sequence[tuple[Pixels, int]]) -> list[float]:
        logits = self._logits([picture for picture, _ in pairs])
        return [float(row[label]) for row, (_, label) in zip(logits, pairs, strict=True)]

    def _logits(self, pictures: Sequence[Pixels]) -> list[NDArray[np.float64]]:
        import torch
        from PIL import Image

        with torch.inference_mode():
            # One by one, as pictures of several sizes make no batch before they are resized.
            rows = [self._processor(Image.fromarray(p), return_tensors="pt") for p in pictures]
            pixels = torch.cat([row.pixel_values for row in rows])
            given = pixels.to(self._place.device, self._place.torch_dtype)
            logits: Tensor = self._model(pixel_values=given).logits.double().cpu()
        return list(logits.numpy())
