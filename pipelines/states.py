"""Where latents are kept between moves: in memory, and in a folder that processes share.

A state is a small mapping of arrays, all that is needed to go on from a candidate. Losing one
costs denoiser evaluations and never a result: it is made again from the path its noise names.
"""

from __future__ import annotations

import os
import time
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from noise_search.errors import UserError
from noise_search.noise import Name, digest

__all__ = ["State", "States"]

State = Mapping[str, Any]
"""Arrays by their part in a state; all NumPy, or all torch on the CPU."""

Framework = Literal["numpy", "torch"]

_ENDING = ".safetensors"
_TORN = ".part"
_ABANDONED = 3600.0  # Seconds after which a half-written file has no writer any more.
_SCAN_EVERY = 32  # Batches between two looks at how much all processes have written.


class States:
    """States by candidate name; the oldest are let go when there are too many bytes.

    Args:
        folder: where to keep one safetensors file a batch; None keeps states in memory alone.
        memory: bytes kept in memory; by default 256 MiB, or 16 MiB beside a folder.
        disk: bytes kept in the folder, by all processes together.
    """

    def __init__(
        self, folder: Path | None = None, *, memory: int | None = None, disk: int = 8 << 30
    ) -> None:
        self.folder = folder
        usual = 256 << 20 if folder is None else 16 << 20
        self._memory = usual if memory is None else memory
        self._disk = disk
        self._kept: OrderedDict[Name, State] = OrderedDict()
        self._bytes = 0
        self._files: dict[Name, Path] = {}
        self._seen: set[str] = set()
        self._written = 0
        if folder is not None:
            _make(folder)

    def put(self, states: Mapping[Name, State]) -> None:
        """Keep the states of one batch; with a folder, they are on the disk before this returns.

        Raises:
            UserError: the folder cannot be written.
        """
        if not states:
            return
        if self.folder is not None:
            self._write(self.folder, states)
        for name, state in states.items():
            self._remember(name, state)

    def get(self, name: Name, framework: Framework) -> State | None:
        """The state of a candidate, or None if it was lost, torn, or changed on the disk."""
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        if self.folder is None:
            return None
        if name not in self._files:
            self._scan(self.folder)
        path = self._files.get(name)
        state = None if path is None else _read(path, name, framework)
        if state is None:
            self._files.pop(name, None)
        else:
            self._remember(name, state)
        return state

    def _remember(self, name: Name, state: State) -> None:
        self._forget(name)
        self._kept[name] = state
        self._bytes += _size(state)
        while self._bytes > self._memory and self._kept:
            self._forget(next(iter(self._kept)))

    def _forget(self, name: Name) -> None:
        if name in self._kept:
            self._bytes -= _size(self._kept.pop(name))

    def _write(self, folder: Path, states: Mapping[Name, State]) -> None:
        data = _encode(states)
        path = folder / f"{digest(*states)}{_ENDING}"
        # The process id keeps two writers of one batch apart.
        torn = path.with_suffix(f".{os.getpid()}{_TORN}")
        try:
            with torn.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            torn.replace(path)
        except OSError as error:
            raise UserError(f"{folder}: {error.strerror}") from None
        self._files.update(dict.fromkeys(states, path))
        self._seen.add(path.name)
        self._written += 1
        if self._written % _SCAN_EVERY == 1 or len(data) * _SCAN_EVERY > self._disk:
            self._trim(folder, keep=path)

    def _trim(self, folder: Path, keep: Path) -> None:
        """Let the oldest files go until the folder holds no more than it may."""
        files = sorted(_listing(folder))
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= self._disk:
                break
            if path != keep:
                path.unlink(missing_ok=True)
                total -= size

    def _scan(self, folder: Path) -> None:
        """Learn what other processes have written since the last scan."""
        for _, _, path in sorted(_listing(folder)):
            if path.name not in self._seen:
                self._seen.add(path.name)
                self._files.update(dict.fromkeys(_names(path), path))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob(f"*{_TORN}"):
            if time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink(missing_ok=True)
    except FileNotFoundError:
        return  # Another process cleared the same half-written file.
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}") from None


def _listing(folder: Path) -> list[tuple[float, int, Path]]:
    """Time, size and path of every whole file; those another process removes are left out."""
    found: list[tuple[float, int, Path]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_ENDING):
                try:
                    stat = entry.stat()
                except FileNotFoundError:
                    continue
                found.append((stat.st_mtime, stat.st_size, Path(entry.path)))
    return found


def _size(state: State) -> int:
    return sum(int(array.nbytes) for array in state.values())


def _checksum(array: Any) -> str:
    import numpy as np  # here, so that prices are known without it

    if not isinstance(array, np.ndarray):
        import torch

        array = array.contiguous().reshape(-1).view(torch.uint8).numpy()
    return f"{zlib.crc32(np.ascontiguousarray(array).tobytes()):08x}"


def _encode(states: Mapping[Name, State]) -> bytes:
    arrays = {f"{n}/{part}": a for n, state in states.items() for part, a in state.items()}
    checksums = {key: _checksum(array) for key, array in arrays.items()}
    import numpy as np

    if all(isinstance(array, np.ndarray) for array in arrays.values()):
        from safetensors import numpy as numpy_files

        return bytes(numpy_files.save(arrays, metadata=checksums))
    from safetensors import torch as torch_files

    return bytes(torch_files.save(_unshared(arrays), metadata=checksums))


def _unshared(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors without common memory, as their file wants them: siblings share what they inherit."""
    found: dict[str, Any] = {}
    places: set[int] = set()
    for key, array in arrays.items():
        found[key] = array.clone() if array.data_ptr() in places else array
        places.add(array.data_ptr())
    return found


def _names(path: Path) -> set[Name]:
    """The candidates of a file; none of a torn or foreign one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {key.partition("/")[0] for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError):
        return set()


def _read(path: Path, name: Name, framework: Framework) -> State | None:
    from safetensors import SafetensorError, safe_open

    state: dict[str, Any] = {}
    try:
        with safe_open(path, framework="pt" if framework == "torch" else "numpy") as file:
            checksums = file.metadata() or {}
            for key in file.keys():  # noqa: SIM118 - not a mapping
                owner, _, part = key.partition("/")
                if owner != name:
                    continue
                array = file.get_tensor(key)
                # Own memory: a mapped file could be let go by another process.
                state[part] = array.clone() if framework == "torch" else array
                if checksums.get(key) != _checksum(state[part]):
                    return None
    except (OSError, SafetensorError):
        return None
    return state or None
