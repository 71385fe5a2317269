"""States survive restarts, are shared by processes, and are never trusted when changed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from noise_search.errors import UserError
from noise_search.pipelines.states import States

NUMPY: Literal["numpy"] = "numpy"


def some(seed: int, size: int = 100) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {"x": generator.standard_normal(size), "out": generator.standard_normal(2)}


def same(found: Any, wanted: Any) -> None:
    assert found is not None
    assert set(found) == set(wanted)
    for part, array in wanted.items():
        assert found[part].dtype == array.dtype
        assert bool((found[part] == array).all())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_memory_is_bounded_and_the_oldest_go() -> None:
    states = States(memory=3 * 816)
    for i in range(5):
        states.put({str(i): some(i)})
    assert [states.get(str(i), NUMPY) is not None for i in range(5)] == [False] * 2 + [True] * 3
    states.get("2", NUMPY)
    states.put({"5": some(5)})
    assert states.get("3", NUMPY) is None
    same(states.get("2", NUMPY), some(2))


def test_a_state_is_put_again() -> None:
    states = States(memory=2 * 816)
    for _ in range(5):
        states.put({"a": some(1), "b": some(2)})
    same(states.get("a", NUMPY), some(1))
    same(states.get("b", NUMPY), some(2))
    assert states.get("c", NUMPY) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_folder_holds_a_file_a_batch(tmp_path: Path, dtype: torch.dtype) -> None:
    batch = {str(i): {"x": torch.randn(3, 4).to(dtype)} for i in range(4)}
    states = States(tmp_path / "latents")
    states.put(batch)
    states.put({})
    assert len(names(tmp_path / "latents")) == 1
    again = States(tmp_path / "latents")
    for name, wanted in batch.items():
        same(again.get(name, "torch"), wanted)
    states.put(batch)
    assert len(names(tmp_path / "latents")) == 1


def test_what_another_instance_writes_is_found(tmp_path: Path) -> None:
    one, other = States(tmp_path), States(tmp_path)
    for i in range(5):
        one.put({f"{i}": some(i), f"{i}b": some(i + 100)})
        same(other.get(f"{i}b", NUMPY), some(i + 100))
    assert other.get("nobody", NUMPY) is None


WRITER = """
import sys
from pathlib import Path
import numpy as np
from noise_search.pipelines.states import States
states, index = States(Path(sys.argv[1])), int(sys.argv[2])
for i in range(10):
    states.put({f"{index}-{i}": {"x": np.full(3, 100.0 * index + i)}})
assert "torch" not in sys.modules
"""


def test_processes_share_a_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    workers = [subprocess.Popen([*command, str(index)]) for index in range(2)]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    states = States(tmp_path)
    for index in range(2):
        for i in range(10):
            same(states.get(f"{index}-{i}", NUMPY), {"x": np.full(3, 100.0 * index + i)})


def test_a_file_torn_or_changed_anywhere_is_never_believed(tmp_path: Path) -> None:
    States(tmp_path).put({"a": some(1, 3)})
    [path] = tmp_path.iterdir()
    whole = path.read_bytes()
    for end in range(0, len(whole), 3):
        path.write_bytes(whole[:end])
        assert States(tmp_path).get("a", NUMPY) is None
    for position in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[position] ^= 1
        path.write_bytes(bytes(changed))
        found = States(tmp_path).get("a", NUMPY)
        if found is not None:  # a change that means nothing, or another key: never other numbers
            for part, array in found.items():
                if part in some(1, 3):
                    assert np.array_equal(array, some(1, 3)[part])
    path.write_bytes(whole)
    same(States(tmp_path).get("a", NUMPY), some(1, 3))


def test_foreign_and_half_written_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "model.safetensors").write_bytes(b"not one")
    (tmp_path / "a.1.part").write_bytes(b"fresh")
    (tmp_path / "b.1.part").write_bytes(b"abandoned")
    old = time.time() - 7200
    os.utime(tmp_path / "b.1.part", (old, old))
    states = States(tmp_path)
    assert states.get("a", NUMPY) is None
    assert names(tmp_path) == ["a.1.part", "model.safetensors", "notes.txt"]


def test_the_disk_is_bounded_and_the_oldest_files_go(tmp_path: Path) -> None:
    states = States(tmp_path, memory=0, disk=5000)
    for i in range(12):
        states.put({str(i): some(i)})
        for age, path in enumerate(sorted(tmp_path.iterdir(), key=lambda p: p.stat().st_mtime_ns)):
            os.utime(path, ns=(age + 1, age + 1))  # clocks of file systems are coarse
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 5000
    assert states.get("0", NUMPY) is None
    same(states.get("11", NUMPY), some(11))


def test_a_file_that_another_process_let_go_is_a_miss(tmp_path: Path) -> None:
    states = States(tmp_path, memory=0)
    states.put({"a": some(1)})
    for path in tmp_path.iterdir():
        path.unlink()
    assert states.get("a", NUMPY) is None
    states.put({"a": some(1)})
    same(states.get("a", NUMPY), some(1))


def test_a_folder_that_cannot_be_written_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        States(tmp_path / "file")
    states = States(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UserError, match="gone: No such file"):
        states.put({"a": some(1)})
