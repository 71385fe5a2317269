"""Worker processes: each holds a pipeline of its own and plays whole batches."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Self

from noise_search.ask import Ask
from noise_search.noise import Book, Recipe
from noise_search.problem import Batch
from noise_search.specs import parse
from noise_search.study.settings import Settings

GRACE = 3.0
"""Seconds that workers have to end by themselves."""


class WorkerDiedError(RuntimeError):
    """A worker process ended without an answer; what was played before is in the journal."""


def serve(link: Connection, settings: Settings, folder: Path) -> None:
    """The life of a worker: build a bench, then play what comes until the link is closed."""
    from noise_search.study.bench import build

    book = Book()
    try:
        alone = settings.model_copy(
            update={"evaluate": "none"}
        )  # what is held out judges elsewhere
        problem = build(alone, book, folder).problem
        while True:
            recipes, asks = link.recv()
            for recipe in recipes:
                book.add(recipe)
            link.send(problem.play(asks))
    except (EOFError, ConnectionError):
        return
    except Exception as error:
        link.send(error)


class Workers:
    """A pool of worker processes, used as a player of batches.

    Args:
        count: how many.
        settings: completed settings; every worker builds the same bench.
        folder: where live latents are shared.
        book: the run's recipes; workers are sent the closure of what they play.
    """

    def __init__(self, count: int, settings: Settings, folder: Path, book: Book) -> None:
        self._book = book
        context = get_context("forkserver")
        if parse(settings.model).name not in ("gaussian", "mixture"):
            context.set_forkserver_preload(["torch", "diffusers", "transformers", "open_clip"])
        self._links: dict[Connection, BaseProcess] = {}
        for _ in range(count):
            here, there = context.Pipe()
            process = context.Process(target=serve, args=(there, settings, folder), daemon=True)
            process.start()
            there.close()
            self._links[here] = process

    def play(self, batches: Sequence[Sequence[Ask]]) -> Iterator[tuple[int, Batch]]:
        """Play batches in any order; the index of each with what it brought."""
        waiting = list(enumerate(batches))[::-1]
        links = list(self._links)
        idle = links[:]
        busy: dict[Connection, int] = {}
        while waiting or busy:
            while waiting and idle:
                index, asks = waiting.pop()
                usual = links[index % len(links)]  # what a worker holds of a text is used again
                link = usual if usual in idle else idle[-1]
                idle.remove(link)
                link.send((self._closure(asks), asks))
                busy[link] = index
            for ready in wait(list(busy)):
                link = next(one for one in busy if one is ready)
                try:
                    batch: Batch | Exception = link.recv()
                except (EOFError, ConnectionError):
                    self._links[link].join()
                    code = self._links[link].exitcode
                    raise WorkerDiedError(f"a worker ended with code {code}") from None
                if isinstance(batch, Exception):
                    raise batch
                idle.append(link)
                yield busy.pop(link), batch

    def _closure(self, asks: Sequence[Ask]) -> list[Recipe]:
        names = {ask.noise.name: None for ask in asks}
        names |= {ask.path.name: None for ask in asks}
        names |= {ask.parent.noise.name: None for ask in asks if ask.parent is not None}
        return self._book.closure(names)

    def close(self) -> None:
        """End all workers."""
        for link in self._links:
            link.close()
        # a worker ends by itself when its link is closed, and then leaves nothing behind
        patience = time.monotonic() + GRACE
        for process in self._links.values():
            process.join(max(0.0, patience - time.monotonic()))
        for process in self._links.values():
            process.terminate()
            process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
