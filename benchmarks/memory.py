"""What a search holds: its peak beside that of the plain pipeline, and what 500 candidates leave.

Every figure is that of a process of its own. The peak is the highest resident set; what the loaded
pipeline and the code hold, after a first small piece of the same work, is told apart. Blocks of
64 KiB are given back to the system as soon as they are free (``MALLOC_MMAP_THRESHOLD_``), so that
it is what is held and not what malloc keeps in reserve. The pipeline is a tiny Stable Diffusion at
768 x 768, a batch of 4, whose activations pass 200 MB.

    python benchmarks/memory.py
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkpoints of the tests

KIND, BATCH, SIDE, CANDIDATES = "sd15", 4, 768, 64
MANY, WARM = 500, 100
GROWING = ("random", "prune(at=0.5)", "zero-order(neighbors=4)")
MIB = 1 << 20


def main() -> None:
    """Measure and write `benchmarks/results/memory.json`, or print one process's figure."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--only", help="plain, search, or a search whose growth is measured")
    given = options.parse_args()
    if given.only is not None:
        print(json.dumps(alone(given.only)))
        return
    from common import save

    peaks = {name: child(name) for name in ("plain", "search")}
    growth = {name: child(name)["growth_mib"] for name in GROWING}
    record = {
        "peak": {
            **peaks,
            "ratio": round(peaks["search"]["peak_mib"] / peaks["plain"]["peak_mib"], 3),
            "ratio_beyond_loaded": round(beyond_loaded(peaks), 3),
            "wanted": 1.1,
        },
        "growth_mib": {**growth, "candidates": MANY, "after": WARM, "wanted": 20},
    }
    print(json.dumps(record, indent=1), save("memory.json", record), sep="\n")


def beyond_loaded(peaks: Mapping[str, Mapping[str, float]]) -> float:
    """What a search's work holds at its peak, over what the plain pipeline's does."""
    work = {name: peak["peak_mib"] - peak["loaded_mib"] for name, peak in peaks.items()}
    return work["search"] / work["plain"]


def child(name: str) -> dict[str, float]:
    """The figure of a process of its own."""
    words = [sys.executable, __file__, "--only", name]
    exact = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(64 << 10)}
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=exact)  # noqa: S603
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def alone(name: str) -> dict[str, float]:
    """What this process holds: peaks of `plain` and `search`, growth of any other search."""
    import torch

    from tests.pipelines.zoo import KINDS, load

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    kind = KINDS[KIND]
    with tempfile.TemporaryDirectory() as folder:
        pipe = load(kind, Path(folder))
        if name not in ("plain", "search"):
            return {"growth_mib": round(growth(pipe, name), 2)}

        size: dict[str, Any] = {"height": SIDE, "width": SIDE, "guidance_scale": 4.0}

        def work(count: int, out: str, **size: Any) -> None:
            for begin in range(0, count if name == "plain" else 0, BATCH):
                seeds = [torch.Generator().manual_seed(begin + row) for row in range(BATCH)]
                pipe(["a red circle"] * BATCH, num_inference_steps=2, generator=seeds, **size)
            if name == "search":
                search(pipe, "random", count, 2, Path(folder) / out, **size)

        work(
            BATCH, "first", **{**size, "height": 64, "width": 64}
        )  # code is loaded when it is used
        loaded = resident("VmRSS")
        work(CANDIDATES, "run", **size)
        return {"loaded_mib": round(loaded, 1), "peak_mib": round(resident("VmHWM"), 1)}


def growth(pipe: Any, name: str) -> float:
    """MiB by which the process has grown between its candidates `WARM` and `MANY`."""
    marks: dict[int, float] = {}
    seen = 0

    def watch(_: object) -> None:
        nonlocal seen
        seen += 1
        if seen in (WARM, MANY):
            gc.collect()
            ctypes.CDLL("libc.so.6").malloc_trim(0)
            marks[seen] = resident("VmRSS")

    size = {"height": 64, "width": 64, "guidance_scale": 4.0}
    with tempfile.TemporaryDirectory() as folder:
        search(pipe, name, 2 * MANY, 4, Path(folder) / "run", on_candidate=watch, **size)
    return marks[MANY] - marks[WARM]


def search(pipe: Any, name: str, count: int, steps: int, out: Path, **options: Any) -> None:
    """A search for so many candidates, kept in a folder."""
    import noise_search

    noise_search.search(
        pipe,
        "a red circle",
        verifier=contrast,
        search=name,
        budget=f"{count * steps}nfe",
        steps=steps,
        batch=BATCH,
        out=out,
        **options,
    )


def contrast(pictures: list[Any], _: str) -> list[float]:
    """A verifier that holds nothing."""
    return [float(picture.getextrema()[0][1]) for picture in pictures]


def resident(field: str) -> float:
    """MiB of this process's resident set: VmRSS is what it is, VmHWM what it was at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"{field}:")]
    return int(line.split()[1]) * 1024 / MIB


if __name__ == "__main__":
    main()
