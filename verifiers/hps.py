"""The verifiers ``hps`` and ``hps:v2.1``: Human Preference Score, trained on ranked pictures.

Wu et al. 2023 (arXiv:2306.09341).  open_clip's ViT-H-14 with weights of its own; the score is the
cosine of a picture and its prompt.  Pictures are made tensors first and resized then, the longer
side to the model's, and the rest of the square is black: other orders give other scores.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noise_search.errors import UserError, nearest
from noise_search.problem import Verifier
from noise_search.specs import Spec
from noise_search.verifiers.card import Card
from noise_search.verifiers.clip import Clip, Encoder
from noise_search.verifiers.clip_files import Towers, open_clip_towers
from noise_search.verifiers.models import Device, Dtype, Models, Place, Width
from noise_search.verifiers.pictures import Pictures
from noise_search.verifiers.weights import (
    fill,
    find_folder,
    naming,
    needed,
    origin,
    read_state,
    told,
)

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

__all__ = ["hps", "prepared"]

VERSIONS = ("v2", "v2.1")
_MODEL = "ViT-H-14"
_CONFIG = "open_clip_config.json"
_MEAN = [0.48145466, 0.4578275, 0.40821073]
_STD = [0.26862954, 0.26130258, 0.27577711]


def hps(
    spec: Spec,
    models: Models,
    /,
    revision: str | None = None,
    device: Device = None,
    dtype: Dtype = "float32",
    batch: Width = 8,
) -> Verifier:
    """HPSv2 and HPSv2.1: `hps`, `hps:v2.1`, or the path of a checkpoint.

    Args:
        spec: as written; a folder may hold the checkpoint of another architecture of open_clip,
            with its `open_clip_config.json`.
        models: of the run.
        revision: a branch, tag or commit of the hub's repository.
        device: where it is computed.
        dtype: of its weights.
        batch: pictures a call, always.
    """
    if spec.part is not None or spec.items:
        raise UserError(f"verifier {spec}: write hps, hps:v2.1 or a path")
    place = models.place(device, dtype, batch, spec)
    file = _file(spec, revision)
    with naming(spec):
        encoder = models.get(("hps", file, place), lambda: Encoder(load(file, place), place))
    model = Clip(encoder)
    card = Card(
        version=model.version,
        low=-1.0,
        high=1.0,
        **origin(spec, file),
        costly=True,
    )
    return Pictures(model.similarity, str(spec), card)


def _file(spec: Spec, revision: str | None) -> Path:
    """The checkpoint, as it was named or in the hub's cache."""
    target = spec.target or VERSIONS[0]
    if target in VERSIONS:
        source = needed("hps", target)[0]
        return find_folder(source, str(spec), revision) / source.files[0]
    path = Path(target).expanduser()
    if target[0] not in "./~" and not path.exists():
        raise UserError(f"verifier {spec}: unknown version {target!r}{nearest(target, VERSIONS)}")
    found = sorted(path.glob("HPS*.pt")) if path.is_dir() else [path]
    if not found or not found[0].is_file():
        what = "HPS*.pt in " if path.is_dir() else ""
        raise UserError(f"verifier {spec}: no file {what}{str(path)!r}")
    if len(found) > 1:
        raise UserError(f"verifier {spec}: name one of {', '.join(p.name for p in found)}")
    return found[0]


def load(file: Path, place: Place) -> Towers:
    """The published checkpoint in open_clip's model.

    Args:
        file: holds a ``state_dict``; the architecture stands in an ``open_clip_config.json``
            beside it, or is ViT-H-14.
        place: how it is run.

    Raises:
        UserError: the file is not what was published.
    """
    import open_clip
    import torch

    state = read_state(file)
    beside = file.with_name(_CONFIG)
    own = beside.is_file()
    with told(beside.name), torch.random.fork_rng(devices=[]):  # a fresh model draws weights
        parts = json.loads(beside.read_bytes()) if own else {}
        config: Any = parts["model_cfg"] if own else open_clip.get_model_config(_MODEL)
        model: Any = open_clip.CLIP(**config)
        tokens = open_clip.get_tokenizer(f"local-dir:{file.parent}" if own else _MODEL)
    fill(model, state, file.name)
    size: Any = model.visual.image_size
    side = size if isinstance(size, int) else int(size[0])
    return open_clip_towers(
        (model, prepared(side), tokens),
        place,
        f"hps/{file.stem}",
        (file, *([beside] if own else [])),
        f"float-resize({side},longer side,bicubic)+pad+normalise",
    )


def prepared(side: int) -> Callable[[Image.Image], Tensor]:
    """Pictures as in training: (3, side, side)."""
    import torch
    from torchvision.transforms import functional

    def pixels(image: Image.Image) -> Tensor:
        values: Any = functional.to_tensor(image.convert("RGB"))
        height, width = values.shape[1:]
        scale = side / max(height, width)
        if scale != 1.0:
            height, width = max(1, round(height * scale)), max(1, round(width * scale))
            bicubic = functional.InterpolationMode.BICUBIC
            values = functional.resize(values, [height, width], bicubic, antialias=True)
        top, left = (side - height) // 2, (side - width) // 2
        square = torch.zeros(3, side, side)
        square[:, top : top + height, left : left + width] = values
        found: Tensor = functional.normalize(square, _MEAN, _STD)
        return found

    return pixels
