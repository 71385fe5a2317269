"""Folders of process reward models: which convention they follow, and how they are read.

A folder is in transformers' format.  ``process_reward.json`` in it names the convention, as in
``{"format": 1, "convention": "token-classification", "step": "last token"}``; published models,
which have no such file, are known by their architecture.  Nothing is ever downloaded, no code of a
folder is run, and torch files are read as weights alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from noise_search.errors import UserError, nearest
from noise_search.verifiers.process_likelihood import Likelihood
from noise_search.verifiers.process_models import (
    Convention,
    ProcessHead,
    StepTag,
    TokenClassification,
    quietly,
)

__all__ = ["SHIPPED", "ProcessModel", "find_folder", "load", "save", "save_likelihood"]

SHIPPED = Path(__file__).with_name("arithmetic_prm")
"""The process reward model of arithmetic that comes with the package."""

_CARD = "process_reward.json"
_FORMAT = 1
_CONVENTIONS: Mapping[str, type[Convention]] = {
    kind.name: kind for kind in (TokenClassification, Likelihood, StepTag, ProcessHead)
}
_ARCHITECTURES: Mapping[str, type[Convention]] = {
    "MistralForCausalLM": StepTag,
    "Qwen2ForProcessRewardModel": ProcessHead,
}
_WEIGHTS = (".safetensors", ".bin")
_DECIDING = (*_WEIGHTS, ".json", ".jinja", ".model", ".txt")


@dataclass(frozen=True)
class ProcessModel:
    """A loaded model.

    Attributes:
        convention: reads texts.
        name: what it is, for the version string.
        files: the files that decide its scores.
    """

    convention: Convention
    name: str
    files: tuple[Path, ...]

    @cached_property
    def version(self) -> str:
        """Architecture, name and a hash of the weights and of all else that decides the scores."""
        digest = hashlib.sha256()
        for path in self.files:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return f"prm:{self.name} sha256:{digest.hexdigest()[:16]}"


def save(folder: Path, model: Any, tokenizer: Any) -> None:
    """Write a model of one label a token as :func:`load` reads it.

    Args:
        folder: is made where it is missing.
        model: transformers' model for token classification, with its weights' own number type.
        tokenizer: a fast one.

    Raises:
        UserError: the model has not one label, or the tokenizer is not a fast one.
    """
    _write(folder, TokenClassification(model, tokenizer))


def save_likelihood(folder: Path, convention: Likelihood) -> None:
    """Write a language model and the head on it as :func:`load` reads them."""
    _write(folder, convention)
    convention.write_head(folder)


def _write(folder: Path, convention: TokenClassification) -> None:
    convention.model.save_pretrained(folder)
    convention.tokenizer.save_pretrained(folder)
    card = {"format": _FORMAT, "convention": convention.name, "step": convention.step}
    (folder / _CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> ProcessModel:
    """The float32 model of a folder, ready to be used.

    Raises:
        UserError: it is missing, incomplete, or not a process reward model of a known convention.
    """
    if not folder.is_dir():
        raise UserError(f"no folder {str(folder)!r} to load a process reward model from")
    try:
        architecture = _architecture(folder)
        kind = _recognise(folder, architecture)
        if not any(path.suffix in _WEIGHTS for path in folder.iterdir()):
            raise UserError("no weights (*.safetensors)")
        local = {"local_files_only": True, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        convention = kind(_network(kind, folder), tokenizer)
        if isinstance(convention, Likelihood):
            convention.read_head(folder)
    except UserError as error:
        raise UserError(f"{str(folder)!r}: {error}") from error
    except Exception as error:  # whatever the libraries raise at files that others wrote
        said = f"cannot load a process reward model from {str(folder)!r}: {error}"
        raise UserError(said[:400]) from error
    files = tuple(sorted(path for path in folder.iterdir() if path.suffix in _DECIDING))
    return ProcessModel(convention, f"{architecture}/{folder.name}", files)


def find_folder(name: str) -> Path:
    """A folder by its path, or the copy of a model of the hub in the local cache.

    Raises:
        UserError: it is neither.
    """
    folder = Path(name).expanduser()
    if folder.is_dir() or name[0] in "./~" or name.count("/") != 1:
        return folder
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(huggingface_hub.snapshot_download(name, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        raise UserError(f"no folder {name!r}, and no model of this name is on the disk") from None


def _architecture(folder: Path) -> str:
    if not (folder / "config.json").is_file():
        raise UserError("no config.json")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return str((config.get("architectures") or ["?"])[0])


def _recognise(folder: Path, architecture: str) -> type[Convention]:
    """The convention of a folder, by its card or else by its architecture."""
    if not (folder / _CARD).is_file():
        if architecture not in _ARCHITECTURES:
            known = " or ".join(_ARCHITECTURES)
            raise UserError(f"expected {_CARD}, or an architecture {known}, not {architecture}")
        return _ARCHITECTURES[architecture]
    card = json.loads((folder / _CARD).read_text(encoding="utf-8"))
    name = str(card.get("convention")) if isinstance(card, dict) else ""
    if name not in _CONVENTIONS:
        raise UserError(f"{_CARD}: unknown convention {name!r}{nearest(name, _CONVENTIONS)}")
    wanted = {"format": _FORMAT, "convention": name, "step": _CONVENTIONS[name].step}
    if card != wanted:
        raise UserError(f"{_CARD}: expected {json.dumps(wanted, ensure_ascii=False)}")
    return _CONVENTIONS[name]


def _network(kind: type[Convention], folder: Path) -> Any:
    """The model with all of its weights; those of other heads are left out."""
    with quietly():
        model, found = kind.network().from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            weights_only=True,
            output_loading_info=True,
        )
    # The library makes up what a file lacks.
    missing = sorted(found["missing_keys"])
    if missing:
        raise UserError(f"the weights lack {', '.join(missing[:3])}; expected {kind.name}")
    model.config.use_cache = False
    return model.eval().requires_grad_(False)
