"""The verifiers ``aesthetic:v1`` and ``:v2``: how a picture looks, whatever was asked for.

LAION's heads on the unit features of OpenAI's CLIP (Schuhmann et al. 2022, arXiv:2210.08402).  V1
is one linear layer; V2 is five without anything between them, so it too is one affine map, which
is what is computed here.  The heads come with the package; the tower is shared with ``clip``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noise_search.errors import UserError, nearest
from noise_search.problem import Verifier
from noise_search.specs import Spec
from noise_search.verifiers.card import Card
from noise_search.verifiers.clip import TOWER, Encoder, encoder_of
from noise_search.verifiers.models import Device, Dtype, Models, Width
from noise_search.verifiers.pictures import Pictures, Pixels
from noise_search.verifiers.weights import FLOPS, checksum, is_path, naming

__all__ = ["HEADS", "Aesthetic", "Head", "aesthetic"]

HEADS: Mapping[str, Mapping[str, str]] = {
    "v1": {TOWER: "v1_vit_l_14", "ViT-B-32/openai": "v1_vit_b_32"},
    "v2": {TOWER: "v2_vit_l_14"},
}
"""The file of each version's head, by the tower on whose features it was trained."""
_FOLDER = Path(__file__).resolve().parent / "laion_aesthetic"
_LICENCES = {"v1": "MIT", "v2": "Apache-2.0"}


def aesthetic(
    spec: Spec,
    models: Models,
    /,
    tower: str | None = None,
    device: Device = None,
    dtype: Dtype = "float32",
    batch: Width = 8,
) -> Verifier:
    """LAION's aesthetic score, about 0 to 10, without the prompt: `aesthetic:v2`, `aesthetic:v1`.

    Args:
        spec: as written; `aesthetic` alone is `aesthetic:v2`.
        models: what other verifiers have loaded: a tower is shared with `clip` on the same one.
        tower: the CLIP model, ViT-L-14/openai by default; of v1 ViT-B-32/openai too; or the path
            of a folder with one of them.
        device: where the tower runs.
        dtype: of its weights; the head is always computed in double precision.
        batch: pictures a call, always.
    """
    version = spec.target or "v2"
    if version not in HEADS or spec.part is not None or spec.items:
        raise UserError(f"verifier {spec}: unknown version{nearest(version, HEADS)}")
    where, known = tower or TOWER, HEADS[version]
    if not is_path(where) and where not in known:
        raise UserError(f"verifier {spec}: tower={where} has no head{nearest(where, known)}")
    place = models.place(device, dtype, batch, spec)
    with naming(spec):
        judge = Aesthetic(encoder_of(where, models, place), version, where)
    low, high = judge.head.bounds
    card = Card(
        version=judge.version,
        low=low,
        high=high,
        needs=frozenset({"pixels"}),
        flops=FLOPS.get(where),
        licence=f"{_LICENCES[version]} (head), MIT (tower)",
        source=f"the head comes with the package; tower {where}",
    )
    return Pictures(judge.scores, str(spec), card)


@dataclass(frozen=True)
class Head:
    """An affine map from unit features to a score.

    Attributes:
        row: the weights, (D,).
        bias: the score of no features at all.
        file: where it was read from.
    """

    row: NDArray[np.float64]
    bias: float
    file: Path

    @classmethod
    def load(cls, version: str = "v2", tower: str = TOWER) -> Head:
        """A head that comes with the package, its layers joined to one.

        Args:
            version: `v1` or `v2`.
            tower: a key of :data:`HEADS`.
        """
        from safetensors.numpy import load_file

        file = _FOLDER / f"{HEADS[version][tower]}.safetensors"
        state = load_file(file)
        row, bias = np.ones(1), 0.0
        for layer in sorted(
            (n.removesuffix("weight") for n in state if "weight" in n), reverse=True
        ):
            bias += float(row @ state[f"{layer}bias"])
            row = row @ state[f"{layer}weight"].astype(np.float64)
        return cls(row, bias, file)

    def __call__(self, features: ArrayLike) -> list[float]:
        """The scores of unit features, (N, D)."""
        # A sum a row, as the last bits of a matrix product depend on how many rows it has.
        sums = (np.asarray(features, np.float64) * self.row).sum(-1)
        return [float(x) + self.bias for x in sums]

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest score that features of norm 1 can have."""
        length = float(np.linalg.norm(self.row))
        return self.bias - length, self.bias + length


class Aesthetic:
    """A head on a tower.

    Args:
        encoder: of pictures.
        version: of the head.
        tower: what the encoder is, by name, or the folder that it was loaded from.

    Raises:
        UserError: the version has no head for features of this width.
    """

    def __init__(self, encoder: Encoder, version: str, tower: str) -> None:
        self._encoder = encoder
        self._version = version
        named = HEADS[version].get(tower)
        heads = [Head.load(version, name) for name in ([tower] if named else HEADS[version])]
        fitting = [head for head in heads if len(head.row) == encoder.width]
        if not fitting:
            widths = " or ".join(str(len(head.row)) for head in heads)
            raise UserError(
                f"tower={tower} makes {encoder.width} features of a picture; "
                f"the head of {version} was trained on {widths}"
            )
        [self.head] = fitting

    @cached_property
    def version(self) -> str:
        """What decides the scores."""
        head = f"aesthetic:{self._version} sha256:{checksum([self.head.file])}"
        return f"{head} on {self._encoder.version}"

    def scores(self, pictures: Sequence[Pixels], prompts: Sequence[str]) -> list[float]:
        """The score of each picture; what was asked for does not matter."""
        return self.head(self._encoder.pictures(pictures))
