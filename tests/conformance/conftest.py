from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.plugging import plug_in
from tests.conformance.worlds import World

Place = Callable[[World], World]


@pytest.fixture(scope="session", autouse=True)
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the entry points of the suite's own models and verifiers are installed."""
    folder = tmp_path_factory.mktemp("site")
    plug_in(folder)
    return folder


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder in memory, where there is one: thousands of small runs wait for the disk else."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own in there
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Puts a world where its tiny weights are, making them the first time they are asked for."""
    folders: dict[str, Path] = {}

    def place(world: World) -> World:
        if world.tiny is None:
            return world
        if world.tiny not in folders:
            folders[world.tiny] = _saved(world.tiny, tmp_path_factory.mktemp(world.tiny))
        return world.at(folders[world.tiny])

    return place


def _saved(kind: str, folder: Path) -> Path:
    if kind == "text":
        from tests.conformance.texts import save_tiny_text

        return save_tiny_text(folder)
    from tests.pipelines.tiny import save_tiny

    return save_tiny(kind, folder)
