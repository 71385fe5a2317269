"""Every kind of the zoo by its name."""

from __future__ import annotations

from tests.pipelines.zoo.composed import COMPOSED
from tests.pipelines.zoo.dits import DITS
from tests.pipelines.zoo.edits import EDITS
from tests.pipelines.zoo.flows import FLOWS
from tests.pipelines.zoo.frames import FRAMES
from tests.pipelines.zoo.guided import HUNYUAN_IMAGE
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.kolors import KOLORS
from tests.pipelines.zoo.newcomers import NEWCOMERS
from tests.pipelines.zoo.qwens import QWENS
from tests.pipelines.zoo.readers import READERS
from tests.pipelines.zoo.recent import RECENT
from tests.pipelines.zoo.redrawn import REDRAWN
from tests.pipelines.zoo.stages import STAGES
from tests.pipelines.zoo.unconditional import UNCONDITIONAL
from tests.pipelines.zoo.unets import UNETS
from tests.pipelines.zoo.videos import VIDEOS
from tests.pipelines.zoo.wans import WANS
from tests.pipelines.zoo.worlds import WORLDS

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        *UNETS,
        *FLOWS,
        *DITS,
        *READERS,
        *EDITS,
        *QWENS,
        *REDRAWN,
        *NEWCOMERS,
        KOLORS,
        *COMPOSED,
        HUNYUAN_IMAGE,
        *STAGES,
        *UNCONDITIONAL,
        *VIDEOS,
        *WANS,
        *FRAMES,
        *RECENT,
        *WORLDS,
    )
}
