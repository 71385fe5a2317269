"""Every kind of the zoo by its name."""

from __future__ import annotations

from tests.pipelines.zoo.dits import DITS
from tests.pipelines.zoo.flows import FLOWS
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.readers import READERS
from tests.pipelines.zoo.unets import UNETS
from tests.pipelines.zoo.videos import VIDEOS

UNLIKE = frozenset({"auraflow", "kandinsky3", "lumina2", "sana-sprint", "sdxl-turbo"})
"""Kinds whose random weights cannot be run yet, or hardly listen to prompt or time."""

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (*UNETS, *FLOWS, *DITS, *READERS, *VIDEOS)
    if kind.name not in UNLIKE
}
