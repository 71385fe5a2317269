"""Where CLIP models come from: folders of open_clip and transformers, open_clip's published ones.

CLIP is Radford et al. 2021 (arXiv:2103.00020), SigLIP is Zhai et al. 2023 (arXiv:2303.15343).
Nothing is ever downloaded.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noise_search.errors import UserError, nearest
from noise_search.verifiers.models import Place
from noise_search.verifiers.weights import Published, quietly, settled, told, weights_in

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

__all__ = [
    "SHIPPED",
    "Towers",
    "load_directory",
    "load_published",
    "open_clip_towers",
    "published",
    "shipped_folder",
]

SHIPPED = {"shapes-clip": "shapes_clip", "shapes-clip-weak": "shapes_clip_weak"}
"""Folders of the models that come with the package."""
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def shipped_folder(name: str) -> Path:
    """The folder of a verifier that comes with the package: ``shapes-clip``, ``shapes-clip-weak``.

    Raises:
        UserError: there is none of this name.
    """
    if name not in SHIPPED:
        raise UserError(f"no CLIP verifier {name!r} comes with the package{nearest(name, SHIPPED)}")
    return Path(__file__).resolve().parent / SHIPPED[name]


@dataclass(frozen=True)
class Towers:
    """A loaded model.

    Attributes:
        pixels: one picture to the tower's input (3, H, W), by the model's own preprocessing.
        image: pixels (B, 3, H, W) to features (B, D).
        text: one sentence to features (D,).
        name: what it is, for the version string.
        files: the files that decide its scores.
        scale: the factor of the cosine that it was trained with.
        prepared: how pictures are preprocessed, for the version string.
    """

    pixels: Callable[[Image.Image], Tensor]
    image: Callable[[Tensor], Tensor]
    text: Callable[[str], Tensor]
    name: str
    files: tuple[Path, ...]
    scale: float
    prepared: str = "own-preprocessing(uint8)"


def load_directory(folder: Path, place: Place, words: Path | None = None) -> Towers:
    """Load a folder of open_clip (``open_clip_config.json``) or transformers (CLIP, SigLIP).

    Args:
        folder: with the weights.
        place: how it is run.
        words: another folder that holds the processor of a model of transformers.

    Raises:
        UserError: the folder is missing or is neither.
    """
    if not folder.is_dir():
        raise UserError(f"no folder {str(folder)!r} to load a CLIP model from")
    if not weights_in(folder):
        raise UserError(f"no weights (*.safetensors) in {str(folder)!r}")

    import torch

    what = f"cannot load a CLIP model from {str(folder)!r}"
    with told(what), quietly(), torch.random.fork_rng(devices=[]):  # a fresh model draws weights
        if (folder / "open_clip_config.json").is_file():
            return _load_open_clip(folder, place)
        if (folder / "config.json").is_file():
            return _load_transformers(folder, place, words or folder)
    raise UserError(f"neither open_clip_config.json nor config.json in {str(folder)!r}")


def _load_open_clip(folder: Path, place: Place) -> Towers:
    import open_clip

    where = f"local-dir:{folder}"
    config: Any = open_clip.get_model_config(where)
    _need_text_config(config, folder.name)
    model, _, pixels = open_clip.create_model_and_transforms(where)
    tokens = open_clip.get_tokenizer(where)
    files = (folder / "open_clip_config.json", *weights_in(folder), *folder.glob("tokenizer.json"))
    return open_clip_towers((model, pixels, tokens), place, f"open_clip/{folder.name}", files)


def open_clip_towers(
    parts: tuple[Any, Any, Any],
    place: Place,
    name: str,
    files: tuple[Path, ...],
    prepared: str = Towers.prepared,
) -> Towers:
    """Both towers of a model of open_clip.

    Args:
        parts: the model, what makes a picture its input, and the tokenizer.
        place: how it is run.
        name: see `Towers`.
        files: see `Towers`.
        prepared: see `Towers`.
    """
    model, pixels, tokens = parts
    scale = _scale(model)
    settled(model, place)

    def text(sentence: str) -> Tensor:
        features: Tensor = model.encode_text(tokens([sentence]).to(place.device))[0]
        return features

    def image(values: Tensor) -> Tensor:
        features: Tensor = model.encode_image(values.to(place.device, place.torch_dtype))
        return features

    return Towers(pixels, image, text, name, files, scale, prepared)


def _scale(model: Any) -> float:
    """The factor of the cosine that a model was trained with; 1 where it is not known."""
    logarithm = getattr(model, "logit_scale", None)
    return 1.0 if logarithm is None else float(logarithm.detach().exp())


def _need_text_config(config: dict[str, Any], name: str) -> None:
    """Refuse a model whose text tower open_clip would fetch from the hub."""
    import huggingface_hub

    source = config.get("text_cfg", {}).get("hf_model_name")
    if source and not huggingface_hub.try_to_load_from_cache(source, "config.json"):
        raise UserError(f"{name!r} needs {source!r}, which is not on the disk")


def published(target: str) -> tuple[Published, ...]:
    """The repositories with the files of one of open_clip's models, as ``ViT-B-32/openai``.

    Raises:
        UserError: the model is unknown, or the hub does not have it.
    """
    name, _, tag = target.rpartition("/")
    config, source = _known(name, tag)
    repository, _, file = source.get("hf_hub", "").rpartition("/")
    if not repository:
        raise UserError(f"the weights {tag!r} of {name!r} are not on the hub")
    safe = "open_clip_model.safetensors" if file in ("", "open_clip_pytorch_model.bin") else file
    licence = "MIT" if tag == "openai" or repository.startswith("laion/") else "unknown"
    model = Published(repository, (safe,), licence)
    words = config["text_cfg"].get("hf_tokenizer_name")
    return (model, Published(words, _TOKENIZER, "unknown")) if words else (model,)


def _known(name: str, tag: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What open_clip knows of a model and of its weights.

    Raises:
        UserError: nothing.
    """
    import open_clip

    config = open_clip.get_model_config(name)
    if config is None:
        raise UserError(f"open_clip has no model {name!r}{_near(name, open_clip.list_models())}")
    source = open_clip.get_pretrained_cfg(name, tag)
    if not source:
        known = open_clip.list_pretrained_tags_by_model(name)
        raise UserError(f"open_clip has no weights {tag!r} of {name!r}{_near(tag, known)}")
    return config, source


def load_published(name: str, tag: str, place: Place) -> Towers:
    """Load one of open_clip's published models, e.g. ``"ViT-B-32", "openai"``, from the disk.

    Raises:
        UserError: the model is unknown, or its weights are not in the local caches.
    """
    import open_clip
    import torch

    config, source = _known(name, tag)
    weights = _cached_weights(source)
    if weights is None:
        raise UserError(
            f"the weights {tag!r} of {name!r} are not on the disk; "
            f"noise-search prefetch clip:{name}/{tag} fetches them"
        )
    _need_text_config(config, name)
    with told(f"cannot load {weights.name} of {name!r}"), torch.random.fork_rng(devices=[]):
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
    return open_clip_towers((model, pixels, tokens), place, f"open_clip/{name}/{tag}", (weights,))


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


def _load_transformers(folder: Path, place: Place, words: Path) -> Towers:
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    local = {"local_files_only": True, "trust_remote_code": False}
    model = AutoModel.from_pretrained(str(folder), dtype="float32", **local)
    if not hasattr(model, "get_image_features") or not hasattr(model, "get_text_features"):
        raise UserError(f"the model in {str(folder)!r} has no image and text features")
    scale = _scale(model)  # before half precision can round it
    settled(model, place)
    processor = AutoImageProcessor.from_pretrained(str(words), **local)
    tokenizer = AutoTokenizer.from_pretrained(str(words), **local)
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
        given = {k: tokens[k].to(place.device) for k in names if k in tokens}
        return _pooled(model.get_text_features(**given))[0]

    def image(values: Tensor) -> Tensor:
        given = values.to(place.device, place.torch_dtype)
        return _pooled(model.get_image_features(pixel_values=given))

    files = (folder / "config.json", *weights_in(folder), *words.glob("p*processor_config.json"))
    return Towers(pixels, image, text, f"transformers/{folder.name}", files, scale)


def _pooled(output: Any) -> Tensor:
    """Features (B, D); transformers 5 wraps them as the pooled output, 4 returned them bare."""
    features: Tensor = getattr(output, "pooler_output", output)
    return features
