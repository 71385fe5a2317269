"""Models on the disk: a folder, or what the hub's cache holds. Nothing here reaches the network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import StringConstraints

from noise_search.errors import UserError
from noise_search.pipelines.options import Options
from noise_search.pipelines.signatures import DECODERS
from noise_search.problem import Pipeline
from noise_search.registry import names
from noise_search.specs import Spec, parse

__all__ = [
    "HUB",
    "check_files",
    "diffusers",
    "index_of",
    "is_whole",
    "model_spec",
    "place_of",
    "snapshot",
]

HUB = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
"""How a model of the hub is named."""
INDEX, CONFIG = "model_index.json", "config.json"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_VARIANT = re.compile(r"[\w-]+\.([A-Za-z0-9_]+?)(?:-\d{5}-of-\d{5})?\.safetensors")
_LIST = re.compile(r"[\w-]+\.safetensors\.index(?:\.(\w+))?\.json")
_MOST = 1 << 24
Revision = Annotated[str, StringConstraints(pattern=r"^[\w./-]{1,200}$")]
Variant = Annotated[str, StringConstraints(pattern=r"^\w{1,40}$")]


@dataclass(frozen=True)
class Index:
    """What a folder of a pipeline says of itself.

    Attributes:
        folder: where it lies.
        kind: the name of its class.
        components: library and class of each; those that are left out are not among them.
        foreign: what needs code that lies with the model, or None.
    """

    folder: Path
    kind: str
    components: Mapping[str, tuple[str, str]]
    foreign: str | None

    @cached_property
    def decodes(self) -> bool:
        """Whether latents are decoded."""
        return any(name in self.components for name in DECODERS)


def model_spec(text: str) -> str:
    """The spec of what may be a bare folder, or a name of the hub.

    >>> model_spec("shapes:flow")
    'shapes:flow'

    Raises:
        UserError: there is no model of that name.
    """
    head = text.strip().partition("(")[0]
    known = names("model")
    if head.partition(":")[0] in known or not _is_place(head):
        return text
    target = parse(f"diffusers:{text.strip()}").target or head
    folder = place_of(target, None)
    if (folder / INDEX).is_file():
        return f"diffusers:{text.strip()}"
    if (folder / CONFIG).is_file():
        return f"hf:{text.strip()}"
    raise UserError(
        f"model: {head} holds neither {INDEX} (a diffusers pipeline) "
        f"nor {CONFIG} (a language model)"
    )


def _is_path(text: str) -> bool:
    return text.startswith((".", "/", "~")) or _is_folder(text)


def _is_folder(text: str) -> bool:
    try:
        return any((_folder(text) / name).is_file() for name in (INDEX, CONFIG))
    except (OSError, ValueError):  # too long, or a NUL
        return False


def _is_place(text: str) -> bool:
    return "\0" not in text and (_is_path(text) or HUB.fullmatch(text) is not None)


def _folder(target: str) -> Path:
    try:
        return Path(target).expanduser()
    except RuntimeError:  # nobody's home
        return Path(target)


def place_of(target: str, revision: str | None) -> Path:
    """The folder of a target: a path, or where the hub's cache holds a model of that name.

    Raises:
        UserError: it is a name of the hub that the cache does not hold.
    """
    hub = not _is_path(target) and HUB.fullmatch(target) and not _folder(target).is_dir()
    return snapshot(target, revision) if hub else _folder(target)


def snapshot(name: str, revision: str | None) -> Path:
    """Where the hub's cache holds a model.

    Raises:
        UserError: it does not.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        found = snapshot_download(name, revision=revision, local_files_only=True)
        return Path(found)
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        at = "" if revision is None else f" --revision {revision}"
        raise UserError(
            f"model: {name}{at.replace(' --', ' at ')} is not on this machine; "
            f"noise-search prefetch {name}{at} downloads it"
        ) from None


def index_of(spec: Spec) -> Index:
    """What there is to know of a pipeline before it is loaded.

    Raises:
        UserError: there is none.
    """
    if spec.target is None or spec.part is not None or spec.items:
        raise UserError(f"model {spec}: name a folder or a model of the hub, diffusers:./folder")
    folder = place_of(spec.target, spec.options.get("revision"))
    record = _read_json(spec, folder / INDEX)
    kind, rest = record.get("_class_name"), {k: v for k, v in record.items() if k[:1] != "_"}
    pairs = {k: v for k, v in rest.items() if isinstance(v, list) and len(v) == 2 and all(v)}
    foreign = None if isinstance(kind, str) else "the pipeline"
    if isinstance(kind, list) and kind and isinstance(kind[-1], str):
        kind = kind[-1]
    if not isinstance(kind, str):
        raise UserError(f"model {spec}: {folder / INDEX} names no class of a pipeline")
    for name, (library, _) in pairs.items():
        if not name.isidentifier():  # it is a folder's name too: none leads out of the model's
            raise UserError(f"model {spec}: {folder / INDEX}: {name[:60]!r} is no component's name")
        if not _is_known(str(library)):
            foreign = foreign or f"its {name}"
    components = {name: (str(v[0]), str(v[1])) for name, v in pairs.items()}
    return Index(folder, kind, components, foreign)


def _read_json(spec: Spec, path: Path) -> dict[str, Any]:
    try:
        size = path.stat().st_size
        if not path.is_file():  # a pipe may never end
            raise UserError(f"model {spec}: {path}: not a file")
        if size > _MOST:
            raise UserError(f"model {spec}: {path}: larger than {_MOST >> 20} MiB")
        record: object = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"model {spec}: {path}: {error.strerror}") from None
    except UserError:
        raise
    except (ValueError, RecursionError):
        raise UserError(f"model {spec}: {path} is no JSON") from None
    if not isinstance(record, dict):
        raise UserError(f"model {spec}: {path} is no JSON object")
    return cast("dict[str, Any]", record)


def _is_known(library: str) -> bool:
    """Whether a component's class comes with diffusers or transformers."""
    package = find_spec("diffusers")
    places = package.submodule_search_locations if package else None
    own = [Path(place) / "pipelines" / library for place in places or ()]
    return library in ("diffusers", "transformers") or any(
        re.fullmatch(r"\w+", library) and (p.is_dir() or p.with_suffix(".py").is_file())
        for p in own
    )


def check_files(spec: Spec, *, trust: bool = False) -> Index:
    """Refuse a pipeline whose files are not all there, or that would run code of its own.

    Args:
        spec: of a pipeline.
        trust: whether code that lies with it may run.

    Raises:
        UserError: it cannot be loaded; neither torch nor weights were.
    """
    index = index_of(spec)
    if index.foreign is not None and not trust:
        raise UserError(
            f"model {spec}: {index.foreign} needs code that lies with the model; "
            "--trust-remote-code, or search(..., trust_remote_code=True), runs it"
        )
    for name, (_, kind) in index.components.items():
        place = index.folder / name
        if not place.is_dir() or not any(place.iterdir()):
            raise UserError(f"model {spec}: its {name} ({kind}) is missing from {index.folder}")
        if (place / CONFIG).is_file():
            _check_weights(spec, name, place)
    return index


def _check_weights(spec: Spec, name: str, place: Path) -> None:
    """Refuse weights that are not there, or are pickles."""
    files = [path.name for path in place.iterdir() if path.is_file()]  # no link to nowhere
    safe = sorted(file for file in files if file.endswith(".safetensors"))
    if not safe:
        pickles = [file for file in files if file.endswith(_PICKLES)]
        what = f"as a pickle alone ({pickles[0]}), which" if pickles else "nowhere, which"
        ending = "may run code when it is read; convert it" if pickles else "must be safetensors"
        raise UserError(f"model {spec}: the weights of its {name} are there {what} {ending}")
    variants = [_VARIANT.fullmatch(file) for file in safe]
    told = {match.group(1) for match in variants if match}
    if all(variants) and spec.options.get("variant") is None:
        one = min(told)
        raise UserError(f"model {spec}: its {name} comes as {one} alone; add (variant={one})")
    for file in _shards(spec, place, files):
        if file not in files:
            raise UserError(f"model {spec}: {name}/{file[:200]} is missing")
    for file in safe:
        if not is_whole(place / file):
            raise UserError(
                f"model {spec}: {name}/{file} is cut off, or stands for a file of Git LFS; "
                "fetch it again"
            )


def is_whole(path: Path) -> bool:
    """Whether a safetensors file is at least as long as its own header says that this is."""
    with path.open("rb") as file:
        length = file.read(8)
    return len(length) == 8 and int.from_bytes(length, "little") + 8 <= path.stat().st_size


def _shards(spec: Spec, place: Path, files: list[str]) -> Iterator[str]:
    """The files that the lists of a component's shards name."""
    variant = spec.options.get("variant")
    # where a component has no files of the variant, its usual ones are loaded
    found = (_VARIANT.fullmatch(file) for file in files)
    wanted = variant if any(match and match.group(1) == variant for match in found) else None
    for file in files:
        match = _LIST.fullmatch(file)
        if match is None or match.group(1) != wanted:
            continue
        shards: object = _read_json(spec, place / file).get("weight_map")
        if not isinstance(shards, dict):
            raise UserError(f"model {spec}: {place / file} names no files of weights")
        yield from sorted({str(shard) for shard in cast("dict[str, object]", shards).values()})


def diffusers(
    spec: Spec,
    options: Options,
    /,
    revision: Revision | None = None,
    variant: Variant | None = None,
    lora: str = "",
) -> Pipeline:
    """A pipeline of diffusers: `diffusers:./folder`, or `diffusers:ORG/NAME` from the hub's cache.

    Args:
        spec: as written.
        options: the run's.
        revision: branch, tag or commit, of the hub.
        variant: of the weights' files, such as fp16.
        lora: LoRA to add: `./style`, or several with strengths, `./style@0.6+ORG/NAME`.
    """
    from noise_search.pipelines.loading import put, quietly, wrap
    from noise_search.pipelines.loras import add_loras, loras_of

    index = check_files(spec, trust=options.trust_remote_code)
    loras = loras_of(spec) if lora else []
    try:
        with quietly():
            pipe = _load(index, options, variant)
    except Exception as error:  # a folder can be wrong in any way
        said = " ".join(str(error).split())[:200]
        raise UserError(f"model {spec}: cannot be loaded: {said}") from None
    with quietly():
        add_loras(pipe, spec, loras)
    put(pipe, options.device, options.offload)
    return wrap(pipe, options)


def _load(index: Index, options: Options, variant: str | None) -> Any:
    import torch
    from diffusers import DiffusionPipeline

    kind: Any = DiffusionPipeline
    if index.kind == "ShapesPipeline":
        from noise_search.pipelines.shapes.pipeline import ShapesPipeline

        kind = ShapesPipeline
    return kind.from_pretrained(
        index.folder,
        dtype=getattr(torch, options.dtype),
        variant=variant,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=options.trust_remote_code,
    )
