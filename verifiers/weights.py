"""Which published files each verifier needs, where they lie on the disk, and how they are read.

Nothing here downloads: ``noise-search prefetch SPEC`` does.  Torch files are read as weights alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from noise_search.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from noise_search.specs import Spec
    from noise_search.verifiers.models import Place

__all__ = [
    "DEFAULTS",
    "FLOPS",
    "VISION_LANGUAGE",
    "Published",
    "checksum",
    "fill",
    "find_folder",
    "folder_of",
    "has",
    "is_path",
    "naming",
    "needed",
    "on_disk",
    "origin",
    "quietly",
    "read_state",
    "settled",
    "told",
    "weights_in",
]


@dataclass(frozen=True)
class Published:
    """Files of one repository of the hub.

    Attributes:
        repository: as ``org/name``.
        files: what has to be there, by name or pattern.
        licence: of the weights.
        also: other names under which older tools have fetched the same files.
    """

    repository: str
    files: tuple[str, ...]
    licence: str
    also: tuple[str, ...] = ()


def _hps(file: str) -> Published:
    return Published("xswu/HPSv2", (file,), "Apache-2.0")


BERT = Published(
    "google-bert/bert-base-uncased", ("vocab.txt",), "Apache-2.0", ("bert-base-uncased",)
)
TOWER = Published("timm/vit_large_patch14_clip_224.openai", ("open_clip_model.safetensors",), "MIT")
"""ViT-L-14/openai."""

_PICTURES = ("config.json", "model.safetensors", "preprocessor_config.json")
"""What a model of pictures alone is saved as by transformers."""

PROCESSOR = Published(
    "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
    ("preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"),
    "MIT",
)

VISION_LANGUAGE = ("config.json", "*.safetensors", "*.j[si]*")
"""What a vision-language model is saved as: its weights may be in pieces, its template in jinja."""

DEFAULTS: Mapping[str, tuple[Published, ...]] = {
    "aesthetic": (TOWER,),
    "aesthetic:v1": (TOWER,),
    "aesthetic:v2": (TOWER,),
    "clip": (TOWER,),
    "hps": (_hps("HPS_v2_compressed.pt"),),
    "hps:v2": (_hps("HPS_v2_compressed.pt"),),
    "hps:v2.1": (_hps("HPS_v2.1_compressed.pt"),),
    "image-reward": (
        Published(
            "zai-org/ImageReward",
            ("ImageReward.pt", "med_config.json"),
            "Apache-2.0",
            ("THUDM/ImageReward",),
        ),
        BERT,
    ),
    "pick": (
        Published("yuvalkirstain/PickScore_v1", ("config.json", "model.safetensors"), "MIT"),
        PROCESSOR,
    ),
    "self:clip": (TOWER,),
    "self:dino": (Published("facebook/dinov2-base", _PICTURES, "Apache-2.0"),),
    "vqa": (Published("HuggingFaceTB/SmolVLM-Instruct", VISION_LANGUAGE, "Apache-2.0"),),
}
"""By the name of the verifier, with its target where that is a version; the model comes first."""


FLOPS: Mapping[str, int] = {
    "ViT-B-32/openai": 8_817_623_040,
    "ViT-L-14/openai": 162_025_537_536,
    "facebook/dinov2-base": 46_322_454_528,
    "xswu/HPSv2": 334_590_279_680,
    "yuvalkirstain/PickScore_v1": 334_590_279_680,
}
"""Floating point operations of one picture, counted; a sentence is read once a prompt."""


def needed(
    name: str, target: str | None = None, options: Mapping[str, str] | None = None
) -> tuple[Published, ...]:
    """What a spec reads from the hub's cache: its defaults, or the repository that it names.

    >>> needed("image-reward", "./folder")
    ()
    >>> [p.repository for p in needed("image-reward", "org/model")]
    ['org/model', 'google-bert/bert-base-uncased']
    >>> [p.repository for p in needed("clip", "ViT-B-32/openai")]
    ['timm/vit_base_patch32_clip_224.openai']
    >>> [p.repository for p in needed("aesthetic", "v1", {"tower": "ViT-B-32/openai"})]
    ['timm/vit_base_patch32_clip_224.openai']

    Args:
        name: of the verifier.
        target: what stands behind the colon.
        options: of the spec; `tower` and `model` name what stands in the place of the default.
    """
    given = options or {}
    chosen = given.get("tower", given.get("model")) if name in ("aesthetic", "self") else None
    if chosen is not None:
        return needed("classifier" if target == "dino" else "clip", chosen)
    if name == "classifier":
        named = target is not None and not is_path(target)
        return (Published(str(target), _PICTURES, "unknown"),) if named else ()
    usual = DEFAULTS.get(f"{name}:{target}", DEFAULTS.get(name, ()))
    if target is None or not usual or f"{name}:{target}" in DEFAULTS:
        return usual
    if is_path(target):
        return ()
    if name == "clip":
        from noise_search.verifiers.clip_files import published

        return published(target)
    return (Published(target, usual[0].files, "unknown"), *usual[1:])


class Origin(TypedDict):
    """What a card says of where weights come from."""

    licence: str
    source: str
    flops: int | None


def origin(spec: Spec, path: Path) -> Origin:
    """Where the weights of a spec come from: a repository of the hub, or a path.

    Args:
        spec: as written.
        path: where they lie.
    """
    published = needed(spec.name, spec.target)
    if not published:
        return Origin(licence="unknown", source=str(path), flops=None)
    repository = published[0].repository
    return Origin(licence=published[0].licence, source=repository, flops=FLOPS.get(repository))


def folder_of(spec: Spec, revision: str | None) -> Path:
    """The folder that a spec names, or in the hub's cache that of the repository it names.

    Raises:
        UserError: the cache does not hold it.
    """
    if spec.target is not None and is_path(spec.target):
        return Path(spec.target).expanduser()
    return find_folder(needed(spec.name, spec.target)[0], str(spec), revision)


@contextmanager
def naming(spec: object) -> Iterator[None]:
    """What is refused here is told with the spec that has asked for it."""
    try:
        yield
    except UserError as error:
        raise UserError(f"verifier {spec}: {error}") from None


def is_path(where: str) -> bool:
    """Whether a target names a file or folder, and not a repository of the hub."""
    return where[:1] in "./~" or where.count("/") != 1 or Path(where).expanduser().exists()


def on_disk(published: Published, revision: str | None = None) -> Path | None:
    """The folder in the hub's cache that holds these files, or None where one is missing."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    for repository in (published.repository, *published.also):
        try:
            found = snapshot_download(repository, revision=revision, local_files_only=True)
        except (HFValidationError, LocalEntryNotFoundError):
            continue
        if has(Path(found), published.files):
            return Path(found)
    return None


def has(folder: Path, files: Sequence[str]) -> bool:
    """Whether all of the files, or one of every pattern, are in the folder."""
    return all(any(found.is_file() for found in folder.glob(file)) for file in files)


def find_folder(published: Published, key: str, revision: str | None = None) -> Path:
    """The folder in the hub's cache that holds these files.

    Args:
        published: what is looked for.
        key: the spec that needs it, for the error.
        revision: a branch, tag or commit; the main branch by default.

    Raises:
        UserError: a file is not on the disk.
    """
    folder = on_disk(published, revision)
    if folder is None:
        at = "" if revision is None else f" at {revision}"
        raise UserError(
            f"verifier {key}: {' and '.join(published.files)} of {published.repository}{at} "
            f"are not on the disk; noise-search prefetch '{key}' fetches them"
        )
    return folder


@contextmanager
def quietly() -> Iterator[None]:
    """No bars and no reports while a model is loaded; put back as they were."""
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


@contextmanager
def told(what: str) -> Iterator[None]:
    """Say in one line whatever a library raises at files that others wrote.

    Args:
        what: what failed.

    Raises:
        UserError: something was raised.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        said = " ".join(str(error).split()[:30])[:300] or repr(error)
        raise UserError(f"{what}: {said}") from error


def weights_in(folder: Path) -> tuple[Path, ...]:
    """The files of weights in a folder, in order of names."""
    kinds = (".safetensors", ".bin", ".pth", ".pt")
    return tuple(sorted(p for p in folder.iterdir() if p.suffix in kinds and p.is_file()))


def checksum(files: Sequence[Path]) -> str:
    """Sixteen hexadecimal digits that tell the contents of some files, in order."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a torch file by name; those of a training checkpoint's ``state_dict``.

    Raises:
        UserError: it is not a file of weights alone.
    """
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch raises at a file that others wrote
        said = " ".join(str(error).split()[:30]) or repr(error)
        raise UserError(f"{path.name} is not a file of weights: {said}") from error
    state = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise UserError(f"{path.name} is not a file of weights: expected tensors by name")
    return state


def fill(module: nn.Module, state: Mapping[str, Tensor], file: str) -> None:
    """Put weights into a module, each into its place and none beside.

    Args:
        module: gets them.
        state: tensors by the module's own names.
        file: where they come from, for the error.

    Raises:
        UserError: weights are missing, unexpected, or of another shape.
    """
    own = module.state_dict()
    missing, strange = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing:
        raise UserError(f"{file} lacks {_some(missing)}")
    if strange:
        raise UserError(f"{file} has {_some(strange)}, which the model does not know")
    for name, tensor in own.items():
        if tensor.shape != state[name].shape:
            found, expected = tuple(state[name].shape), tuple(tensor.shape)
            raise UserError(f"{file}: {name} is {found}, expected {expected}")
    module.load_state_dict(dict(state))


def settled(module: Any, place: Place) -> Any:
    """A module ready to judge: on its device, of its number type, without gradients."""
    return module.eval().requires_grad_(False).to(place.device, place.torch_dtype)


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{rest}"
