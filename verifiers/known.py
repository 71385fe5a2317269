"""What can be said of the built-in verifiers without loading any: for lists, and told truly.

Tests compare this table with what the verifiers declare themselves once they are loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from noise_search.verifiers.weights import DEFAULTS, TOWER, Published, has

__all__ = ["KNOWN", "Known", "held", "lacking", "missing", "versions_of"]


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a verifier by its name alone.

    Attributes:
        low: the least possible score, or None where there is no bound.
        high: the greatest, or None.
        licence: of the weights that it has by default, or of the package that it needs; None
            where that depends on the spec.
        named: whether its spec has to name what judges; nothing is known of that.
        needs: a module that an extra installs, and the extra; None where nothing else is needed.
        ms: an image, measured in a batch of 16 on one core of a CPU; None where it was not.
    """

    low: float | None = None
    high: float | None = None
    licence: str | None = None
    named: bool = False
    needs: tuple[str, str] | None = None
    ms: float | None = None


OWN = "Apache-2.0"
"""The licence of the package and of the weights that come with it."""
PYIQA = "PolyForm-Noncommercial-1.0.0 (pyiqa); weights have licences of their own"

KNOWN: Mapping[str, Known] = {
    "aesthetic": Known(low=-12.8, high=23.2, licence="Apache-2.0 (head), MIT (tower)"),
    "arithmetic": Known(low=0, high=1, licence=OWN),
    "classifier": Known(named=True),
    "clip": Known(low=-1, high=1, licence="MIT"),
    "exact": Known(low=0, high=1, licence=OWN),
    "first": Known(named=True),
    "hps": Known(low=-1, high=1, licence="Apache-2.0"),
    "image-reward": Known(licence="Apache-2.0"),
    "iqa": Known(licence=PYIQA, named=True, needs=("pyiqa", "iqa")),
    "judge": Known(low=0, high=100, named=True),
    "math": Known(low=0, high=1, licence=OWN, needs=("math_verify", "math")),
    "pick": Known(low=-100, high=100, licence="MIT"),
    "prm": Known(low=0, high=1, licence=OWN),
    "prm-random": Known(low=0, high=1, licence=OWN),
    "rank": Known(named=True),
    "reward": Known(licence=OWN),
    "self": Known(low=-1, high=1, named=True),
    "shapes": Known(low=0, high=1, licence=OWN, ms=3.8),
    "shapes-clip": Known(low=-1, high=1, licence=OWN, ms=1.8),
    "shapes-clip-weak": Known(low=-1, high=1, licence=OWN, ms=1.0),
    "vqa": Known(low=0, high=1, licence="Apache-2.0"),
    "weighted": Known(named=True),
}
"""By name; of other packages' verifiers nothing is known."""


def missing(name: str) -> str | None:
    """The extra that has to be installed for a verifier, or None."""
    needs = KNOWN[name].needs if name in KNOWN else None
    return None if needs is None or find_spec(needs[0]) is not None else needs[1]


def versions_of(name: str) -> list[str]:
    """Specs of a verifier that have other weights than it has by default."""
    usual = DEFAULTS.get(name)
    return [key for key in DEFAULTS if key.startswith(f"{name}:") and DEFAULTS[key] != usual]


def lacking(key: str) -> list[Published] | None:
    """What of a spec's published weights is not on the disk; None where it has none to look for.

    Args:
        key: a name, or one of `versions_of`.
    """
    wanted = DEFAULTS.get(key)
    return None if wanted is None else [one for one in wanted if not held(one)]


def held(published: Published) -> bool:
    """Whether these files are in the hub's cache, or where older tools have put them.

    It looks at folders alone: asking the hub's own library takes longer than a list may.
    """
    if any(has(folder, published.files) for folder in _snapshots(published)):
        return True
    if published is not TOWER:
        return False
    # open_clip reads any of these, and so does `clip`
    others = ("open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
    files = [folder / name for folder in _snapshots(published) for name in others]
    return any(file.is_file() for file in (*files, _home() / "clip" / "ViT-L-14.pt"))


def _snapshots(published: Published) -> Iterator[Path]:
    """Where the main branch of a repository lies, under each of its names."""
    for repository in (published.repository, *published.also):
        folder = _hub() / f"models--{repository.replace('/', '--')}"
        try:
            commit = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            continue
        yield folder / "snapshots" / commit


def _hub() -> Path:
    """The hub's cache, by the hub's own rules."""
    for key in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if found := os.environ.get(key):
            return Path(os.path.expandvars(found)).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or str(Path(base) / "huggingface")
    return Path(os.path.expandvars(home)).expanduser() / "hub"


def _home() -> Path:
    return Path("~/.cache").expanduser()
