"""The CLIP verifier: cosine of the features of a picture and of a sentence.

CLIP is Radford et al. 2021 (arXiv:2103.00020), SigLIP is Zhai et al. 2023 (arXiv:2303.15343);
CLIPScore is ``2.5 * max(cosine, 0)`` with the prompt "A photo depicts ..." (Hessel et al. 2021,
arXiv:2104.08718).  Loads a folder in open_clip's or in transformers' format, or one of open_clip's
published models where its weights are on the disk.  Nothing is ever downloaded.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noise_search.errors import UserError, nearest

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

__all__ = ["CLIPSCORE_PREFIX", "CLIPSCORE_SCALE", "Clip", "Towers", "shipped_folder"]

CLIPSCORE_PREFIX = "A photo depicts "
CLIPSCORE_SCALE = 2.5

_SHIPPED = {"shapes-clip": "shapes_clip", "shapes-clip-weak": "shapes_clip_weak"}
_WEIGHTS = (".safetensors", ".bin", ".pth", ".pt")

Features = NDArray[np.float64]


def shipped_folder(name: str) -> Path:
    """The folder of a verifier that comes with the package: ``shapes-clip``, ``shapes-clip-weak``.

    Raises:
        UserError: there is none of this name.
    """
    if name not in _SHIPPED:
        raise UserError(
            f"no CLIP verifier {name!r} comes with the package{nearest(name, _SHIPPED)}"
        )
    return Path(__file__).resolve().parent / _SHIPPED[name]


@dataclass(frozen=True)
class Towers:
    """A loaded model.

    Attributes:
        pixels: one picture to the tower's input (3, H, W), by the model's own preprocessing.
        image: pixels (B, 3, H, W) to features (B, D).
        text: one sentence to features (D,).
        name: what it is, for the version string.
        files: the files that decide its scores.
    """

    pixels: Callable[[Image.Image], Tensor]
    image: Callable[[Tensor], Tensor]
    text: Callable[[str], Tensor]
    name: str
    files: tuple[Path, ...]


class Clip:
    """Scores pictures against prompts in fp32; the same row gives the same bits in any company.

    The last bits of a matrix product depend on how many rows it has, so pictures always run
    ``batch`` at a time: short batches are padded, long ones sliced.

    Args:
        towers: the model; see :meth:`from_directory` and :meth:`from_open_clip`.
        batch: pictures a call of the image tower, always.
        prefix: put before every prompt; CLIPScore uses :data:`CLIPSCORE_PREFIX`.
        scale: None for the raw cosine, else ``scale * max(cosine, 0)``.
        memory: how many prompts' features are kept.
    """

    def __init__(
        self,
        towers: Towers,
        *,
        batch: int = 8,
        prefix: str = "",
        scale: float | None = None,
        memory: int = 1024,
    ) -> None:
        if batch < 1 or memory < 1:
            raise UserError(f"batch and memory must be at least 1, not {batch} and {memory}")
        self._towers = towers
        self._batch = batch
        self._prefix = prefix
        self._scale = scale
        self._memory = memory
        self._texts: OrderedDict[str, Features] = OrderedDict()

    @classmethod
    def from_directory(cls, folder: str | Path, **options: Any) -> Clip:
        """Load a folder of open_clip (``open_clip_config.json``) or transformers (CLIP, SigLIP).

        Raises:
            UserError: the folder is missing or is neither.
        """
        return cls(_load_directory(Path(folder)), **options)

    @classmethod
    def from_open_clip(cls, name: str, tag: str, **options: Any) -> Clip:
        """Load one of open_clip's published models, e.g. ``"ViT-B-32", "openai"``, from the disk.

        Raises:
            UserError: the model is unknown, or its weights are not in the local caches.
        """
        return cls(_load_published(name, tag), **options)

    @classmethod
    def shipped(cls, name: str = "shapes-clip", **options: Any) -> Clip:
        """Load a verifier that comes with the package; an ordinary open_clip folder."""
        return cls.from_directory(shipped_folder(name), **options)

    @cached_property
    def version(self) -> str:
        """What decides the scores: model, weights, order of preprocessing, precision, formula."""
        digest = hashlib.sha256()
        for path in self._towers.files:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        formula = "cosine" if self._scale is None else f"{self._scale:g}*max(cosine,0)"
        return (
            f"clip:{self._towers.name} sha256:{digest.hexdigest()[:16]} fp32"
            f" own-preprocessing(uint8) batch:{self._batch} prefix:{self._prefix!r} {formula}"
        )

    def similarity(
        self, images: Sequence[Image.Image | NDArray[np.uint8]], prompts: Sequence[str]
    ) -> list[float]:
        """The score of each picture (PIL, or uint8 of H x W x 3) with its own prompt.

        Raises:
            ValueError: not as many prompts as pictures.
        """
        if len(images) != len(prompts):
            raise ValueError(f"{len(images)} pictures but {len(prompts)} prompts")
        features = self._image_features(images)
        return [
            self._score(image, self._text_features(prompt))
            for image, prompt in zip(features, prompts, strict=True)
        ]

    def _score(self, image: Features, text: Features) -> float:
        # The features are fp32; two unit vectors lose nothing more in double.
        cosine = float((image * text).sum())
        if self._scale is None:
            return cosine
        # A comparison, not max(): max(0.0, nan) would turn a broken score into a low one.
        return 0.0 if cosine < 0 else self._scale * cosine

    def _image_features(self, images: Sequence[Image.Image | NDArray[np.uint8]]) -> list[Features]:
        import torch

        rows = [self._towers.pixels(_picture(image)) for image in images]
        found: list[Features] = []
        with torch.inference_mode():
            for start in range(0, len(rows), self._batch):
                part = rows[start : start + self._batch]
                padding = [torch.zeros_like(part[0])] * (self._batch - len(part))
                features = self._towers.image(torch.stack([*part, *padding]))
                found += [_unit(row) for row in features[: len(part)]]
        return found

    def _text_features(self, prompt: str) -> Features:
        if prompt in self._texts:
            self._texts.move_to_end(prompt)
            return self._texts[prompt]
        import torch

        with torch.inference_mode():
            # One sentence at a time: its features do not depend on which others were asked for.
            features = _unit(self._towers.text(self._prefix + prompt))
        self._texts[prompt] = features
        if len(self._texts) > self._memory:
            self._texts.popitem(last=False)
        return features


def _unit(row: Tensor) -> Features:
    values: Features = row.detach().cpu().double().numpy()
    return values / max(float(np.sqrt((values * values).sum())), 1e-12)


def _picture(image: Image.Image | NDArray[np.uint8]) -> Image.Image:
    from PIL import Image

    return Image.fromarray(image) if isinstance(image, np.ndarray) else image


def _weights(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(p for p in folder.iterdir() if p.suffix in _WEIGHTS))


def _load_directory(folder: Path) -> Towers:
    if not folder.is_dir():
        raise UserError(f"no folder {str(folder)!r} to load a CLIP model from")
    if not _weights(folder):
        raise UserError(f"no weights (*.safetensors) in {str(folder)!r}")
    try:
        if (folder / "open_clip_config.json").is_file():
            return _load_open_clip(folder)
        if (folder / "config.json").is_file():
            return _load_transformers(folder)
    except (OSError, KeyError, RuntimeError, json.JSONDecodeError) as error:
        raise UserError(f"cannot load a CLIP model from {str(folder)!r}: {error}") from error
    raise UserError(f"neither open_clip_config.json nor config.json in {str(folder)!r}")


def _load_open_clip(folder: Path) -> Towers:
    import open_clip

    where = f"local-dir:{folder}"
    config: Any = open_clip.get_model_config(where)
    _need_text_config(config, folder.name)
    model, _, pixels = open_clip.create_model_and_transforms(where)
    tokens = open_clip.get_tokenizer(where)
    files = (folder / "open_clip_config.json", *_weights(folder), *folder.glob("tokenizer.json"))
    return _open_clip_towers(model, pixels, tokens, f"open_clip/{folder.name}", files)


def _open_clip_towers(
    model: Any, pixels: Any, tokens: Any, name: str, files: tuple[Path, ...]
) -> Towers:
    model.eval().requires_grad_(False)

    def text(sentence: str) -> Tensor:
        features: Tensor = model.encode_text(tokens([sentence]))[0]
        return features

    return Towers(pixels, model.encode_image, text, name, files)


def _need_text_config(config: dict[str, Any], name: str) -> None:
    """Refuse a model whose text tower open_clip would fetch from the hub."""
    import huggingface_hub

    source = config.get("text_cfg", {}).get("hf_model_name")
    if source and not huggingface_hub.try_to_load_from_cache(source, "config.json"):
        raise UserError(f"{name!r} needs {source!r}, which is not on the disk")


def _load_published(name: str, tag: str) -> Towers:
    import open_clip

    config = open_clip.get_model_config(name)
    if config is None:
        raise UserError(f"open_clip has no model {name!r}{_near(name, open_clip.list_models())}")
    known = open_clip.list_pretrained_tags_by_model(name)
    source = open_clip.get_pretrained_cfg(name, tag)
    if not source:
        raise UserError(f"open_clip has no weights {tag!r} of {name!r}{_near(tag, known)}")
    weights = _cached_weights(source)
    if weights is None:
        raise UserError(f"the weights {tag!r} of {name!r} are not on the disk")
    _need_text_config(config, name)
    model, _, pixels = open_clip.create_model_and_transforms(
        name,
        pretrained=str(weights),
        force_quick_gelu=bool(source.get("quick_gelu", False)),
        image_mean=source.get("mean"),
        image_std=source.get("std"),
        image_interpolation=source.get("interpolation"),
        image_resize_mode=source.get("resize_mode"),
    )
    local: dict[str, Any] = (
        {"local_files_only": True} if "hf_tokenizer_name" in config["text_cfg"] else {}
    )
    try:
        tokens = open_clip.get_tokenizer(name, **local)
    except OSError as error:
        raise UserError(f"the tokenizer of {name!r} is not on the disk") from error
    return _open_clip_towers(model, pixels, tokens, f"open_clip/{name}/{tag}", (weights,))


def _near(word: str, known: Sequence[str]) -> str:
    """The nearest names; open_clip knows far too many to list them all."""
    close = difflib.get_close_matches(word, known, n=3)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def _cached_weights(source: dict[str, Any]) -> Path | None:
    """Where open_clip keeps these weights, or None."""
    import huggingface_hub

    if "file" in source:
        return Path(source["file"]) if Path(source["file"]).is_file() else None
    repository, _, file = source.get("hf_hub", "").rpartition("/")
    stem = Path(file or "open_clip_pytorch_model.bin").stem
    for candidate in (f"{stem}.safetensors", "open_clip_model.safetensors", file, f"{stem}.bin"):
        if repository and candidate:
            found = huggingface_hub.try_to_load_from_cache(repository, candidate)
            if isinstance(found, str):
                return Path(found)
    url = source.get("url", "")
    path = Path("~/.cache/clip").expanduser() / url.rpartition("/")[2]
    return path if url and path.is_file() else None


def _load_transformers(folder: Path) -> Towers:
    import torch
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    local = {"local_files_only": True, "trust_remote_code": False}
    model = AutoModel.from_pretrained(str(folder), dtype=torch.float32, **local)
    if not hasattr(model, "get_image_features") or not hasattr(model, "get_text_features"):
        raise UserError(f"the model in {str(folder)!r} has no image and text features")
    model.eval().requires_grad_(False)
    processor = AutoImageProcessor.from_pretrained(str(folder), **local)
    tokenizer = AutoTokenizer.from_pretrained(str(folder), **local)
    length = model.config.text_config.max_position_embeddings

    def pixels(image: Image.Image) -> Tensor:
        found: Tensor = processor(images=image.convert("RGB"), return_tensors="pt").pixel_values[0]
        return found

    def text(sentence: str) -> Tensor:
        # SigLIP was trained on full-length padding; CLIP masks it.
        tokens = tokenizer(
            [sentence],
            padding="max_length",
            truncation=True,
            max_length=length,
            return_tensors="pt",
        )
        names = ("input_ids", "attention_mask")
        return _pooled(model.get_text_features(**{k: tokens[k] for k in names if k in tokens}))[0]

    def image(values: Tensor) -> Tensor:
        return _pooled(model.get_image_features(pixel_values=values))

    files = (folder / "config.json", *_weights(folder), *folder.glob("p*processor_config.json"))
    return Towers(pixels, image, text, f"transformers/{folder.name}", files)


def _pooled(output: Any) -> Tensor:
    """Features (B, D); transformers 5 wraps them as the pooled output, 4 returned them bare."""
    features: Tensor = getattr(output, "pooler_output", output)
    return features
