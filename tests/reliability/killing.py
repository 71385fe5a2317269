"""Kills runs and lets them go on: `python -m tests.reliability.killing OUT MODULE... < ordeals`.

Every life of a run is a fork of this process, which has done the importing: a kill costs
milliseconds, and thousands of them can be had in one night.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from noise_search.ask import Prompt
from noise_search.study.generate import generate
from noise_search.study.settings import Settings
from tests.conformance.folders import files, results

OPERATIONS = frozenset(
    ["open", "os.mkdir", "os.remove", "os.rename", "os.scandir", "os.listdir", "shutil.rmtree"]
)
"""What Python tells of when it is about to be done."""


@dataclass(frozen=True)
class Ordeal:
    """One run, to be killed so often before it may come to its end.

    Attributes:
        name: of its folders.
        prompts: fields of the prompts.
        settings: fields of the settings.
        workers: how many processes play it.
        growth: kill each life when it has added up to so many lines, not at any moment.
        operation: kill each life at its operation on files of this number, not at any moment.
        kills: how often.
        seed: of the moments of the kills.
        whole: folder of the same run left alone, if it is there already.
    """

    name: str
    prompts: list[dict[str, Any]]
    settings: dict[str, Any]
    workers: int = 1
    growth: int = 0
    operation: int = 0
    kills: int = 3
    seed: int = 0
    whole: str = ""


@dataclass
class Fate:
    """What came of an ordeal.

    Attributes:
        name: the ordeal's.
        kept: whole lines of the journal after each kill.
        early: kills that came when the run was over.
        kept_all: whether each kill left what the one before it had left.
        ended: whether the last life came to its end, at the first try.
        differing: files that are not as in a run nobody killed.
    """

    name: str
    kept: list[int] = field(default_factory=list[int])
    early: int = 0
    kept_all: bool = True
    ended: bool = False
    differing: list[str] = field(default_factory=list[str])


def live(ordeal: Ordeal, out: Path, operation: int = 0) -> int:
    """Begin a life of a run in a process of its own, or go on with it; its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        if operation:
            die_at(operation, out)
        prompts = [Prompt(**fields) for fields in ordeal.prompts]
        generate(prompts, Settings.of(ordeal.settings), out, workers=ordeal.workers)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def die_at(number: int, folder: Path) -> None:
    """Kill this process at its operation of this number on files of a folder."""
    numbers = itertools.count(1)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in OPERATIONS and str(folder) in str(arguments) and next(numbers) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def lines_of(journal: Path) -> int:
    """Whole lines of a journal."""
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def wait_for(lines: int, journal: Path) -> None:
    """Look at a journal until it has so many lines."""
    while lines_of(journal) < lines:
        time.sleep(0.001)


def end_of(child: int) -> int:
    """The exit code of a life; that of a signal is its negative."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed(ordeal: Ordeal, out: Path, rng: random.Random, span: float) -> int:
    """The exit code of a life that was killed, or 0 if it was over before."""
    child = live(ordeal, out, ordeal.operation)
    if ordeal.operation:
        return end_of(child)
    if ordeal.growth:
        wait_for(lines_of(out / "journal") + rng.randint(1, ordeal.growth), out / "journal")
    else:
        time.sleep(rng.uniform(0, span))
    os.kill(child, signal.SIGKILL)
    return end_of(child)


def endure(ordeal: Ordeal, root: Path) -> Fate:
    """Kill a run again and again, let it end, and compare it with one that was left alone."""
    rng, fate = random.Random(ordeal.seed), Fate(ordeal.name)
    whole, out = root / (ordeal.whole or f"{ordeal.name}-whole"), root / ordeal.name
    began = time.monotonic()
    if not whole.exists() and end_of(live(ordeal, whole)) != 0:
        return fate
    span = time.monotonic() - began
    journal = b""
    while len(fate.kept) < ordeal.kills:
        code = killed(ordeal, out, rng, span)
        if code > 0:
            return fate
        if code == 0:
            fate.early += 1
            if ordeal.operation:
                break
            shutil.rmtree(out)  # begin anew, and kill sooner
            fate.kept, journal = [], b""
            span *= 0.8
            continue
        path = out / "journal"
        now = path.read_bytes() if path.exists() else b""
        fate.kept_all &= now.startswith(journal)
        journal = now[: now.rfind(b"\n") + 1]
        fate.kept.append(journal.count(b"\n"))
    fate.ended = end_of(live(ordeal, out)) == 0
    look = files if ordeal.workers == 1 else results
    fate.differing = sorted({name for name, _ in look(out).items() ^ look(whole).items()})
    return fate


def main() -> None:
    """Put the runs of standard input to their ordeals; their fates, one a line."""
    for module in sys.argv[2:]:
        importlib.import_module(module)
    for fields in json.load(sys.stdin):
        fate = endure(Ordeal(**fields), Path(sys.argv[1]))
        sys.stdout.write(json.dumps(asdict(fate)) + "\n")


def endured(
    ordeals: Sequence[Ordeal], root: Path, environment: Mapping[str, str], modules: Sequence[str]
) -> list[Fate]:
    """The fates of runs, found out in a process of its own that imports modules first."""
    said = subprocess.run(
        [sys.executable, "-m", __name__, str(root), *modules],
        input=json.dumps([asdict(ordeal) for ordeal in ordeals]),
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    return [Fate(**json.loads(line)) for line in said.stdout.splitlines()]


if __name__ == "__main__":
    main()
