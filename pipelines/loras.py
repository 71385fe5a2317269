"""LoRA (Hu et al. 2106.09685) of a model that is named by a spec: `lora=FOLDER`, `lora=FILE@0.6`.

Files of safetensors alone, from the disk or the hub's cache. Several are joined by `+`, each with
a strength of its own after `@`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from warnings import catch_warnings, filterwarnings

from noise_search.errors import UserError
from noise_search.pipelines.files import HUB, is_whole, snapshot
from noise_search.specs import Spec

__all__ = ["Lora", "add_loras", "hub_loras", "loras_of"]

USUAL = "pytorch_lora_weights.safetensors"
"""The file that is meant where a folder holds several."""
MOST = 10.0
"""Strengths lie between minus this and this."""


@dataclass(frozen=True)
class Lora:
    """One LoRA of a model.

    Attributes:
        target: as it was named.
        scale: its strength; 1 is as it was trained.
        file: where its weights lie.
    """

    target: str
    scale: float
    file: Path


def loras_of(spec: Spec) -> list[Lora]:
    """The LoRAs that the spec of a model names; none are loaded.

    Raises:
        UserError: one is not there, is no safetensors, or has no strength.
    """
    named = _named(spec)
    if named and find_spec("peft") is None:
        raise UserError(f"model {spec}: lora needs PEFT: pip install 'noise-search[lora]'")
    return [Lora(target, scale, _file(spec, target)) for target, scale in named]


def hub_loras(spec: Spec) -> list[str]:
    """Those that are named as on the hub, and are not on the disk under that name."""
    return [name for name, _ in _named(spec) if HUB.fullmatch(name) and not Path(name).exists()]


def _named(spec: Spec) -> list[tuple[str, float]]:
    parts = spec.options.get("lora", "").split("+")
    return [_part(spec, part.strip()) for part in parts if "lora" in spec.options]


def _part(spec: Spec, text: str) -> tuple[str, float]:
    """A LoRA's place and strength."""
    target, at, strength = text.rpartition("@")
    target = target if at else text
    try:
        scale = float(strength) if at else 1.0
    except ValueError:
        scale = math.nan
    if not target or not -MOST <= scale <= MOST:
        raise UserError(
            f"model {spec}: lora={text[:200]}: write lora=FOLDER, or with a strength of at most "
            f"{MOST:.0f} lora=FOLDER@0.6"
        )
    return target, scale


def _file(spec: Spec, target: str) -> Path:
    """The file of a LoRA's weights: named itself, in a folder, or in the hub's cache."""
    said = f"model {spec}: lora={target[:200]}"
    try:
        place = Path(target).expanduser()
        there = place.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{said}: {error}") from None
    if not there:
        if not HUB.fullmatch(target):
            raise UserError(f"{said}: there is no such file or folder")
        place = snapshot(target, None)
    folder = place if place.is_dir() else place.parent
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    safe = [file.name for file in files if file.suffix == ".safetensors" and file.is_file()]
    if not safe:
        raise UserError(f"{said}: it holds no .safetensors; other files may run code when read")
    if len(safe) > 1 and USUAL not in safe:
        raise UserError(f"{said}: it holds {len(safe)} files; name one, such as {safe[0]}")
    file = folder / (USUAL if USUAL in safe else safe[0])
    if not is_whole(file):
        raise UserError(f"{said}: {file.name} is cut off, or stands for a file of Git LFS")
    return file


def add_loras(pipe: Any, spec: Spec, loras: Sequence[Lora]) -> None:
    """Add LoRAs to a loaded pipeline, each with its strength.

    Args:
        pipe: the pipeline.
        spec: of the model, for errors.
        loras: to add.

    Raises:
        UserError: the pipeline takes none, or one does not fit it.
    """
    kind = type(pipe).__name__
    if loras and not hasattr(pipe, "load_lora_weights"):
        raise UserError(f"model {spec}: {kind} takes no LoRA")
    names = [f"lora{i}" for i in range(len(loras))]
    for name, lora in zip(names, loras, strict=True):
        said = f"model {spec}: lora={lora.target[:200]}"
        try:
            with catch_warnings():
                filterwarnings("ignore", "Already found a `peft_config`")  # several are meant
                pipe.load_lora_weights(
                    str(lora.file.parent),
                    weight_name=lora.file.name,
                    adapter_name=name,
                    local_files_only=True,
                    use_safetensors=True,
                )
        except Exception as error:  # a file can be wrong in any way
            why = " ".join(str(error).split())[:200]
            raise UserError(f"{said}: cannot be loaded into {kind}: {why}") from None
        if not any(name in found for found in pipe.get_list_adapters().values()):
            raise UserError(f"{said}: it holds nothing that fits {kind}")
    if loras:
        pipe.set_adapters(names, [lora.scale for lora in loras])
