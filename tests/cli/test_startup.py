"""What only speaks starts quickly: torch, numpy and their like are never loaded for it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

HEAVY = ("torch", "numpy", "scipy", "diffusers", "transformers", "open_clip", "matplotlib", "PIL")
PROGRAM = """
import sys
from noise_search.cli.main import main
code = main(sys.argv[1:])
print("loaded:", *sorted(sys.modules))
sys.exit(code)
"""
SPOKEN = [
    ("--help",),
    ("--version",),
    ("generate", "--help"),
    ("compare", "--help"),
    ("train-prm", "--help"),
    ("list",),
    ("list", "verifiers"),
    ("generate", "a red circle", "--dry-run"),
    ("generate", "a red circle", "--search", "prune(at=0.5)", "--budget", "640nfe", "--dry-run"),
    ("compare", "a red circle", "--dry-run"),
]


@pytest.mark.parametrize("argv", SPOKEN, ids=" ".join)
def test_it_loads_nothing_heavy(argv: tuple[str, ...], tmp_path: Path) -> None:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *argv],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    sys.stdout.write(f"{' '.join(argv)}: {time.perf_counter() - began:.2f} s\n")
    loaded = done.stdout.rpartition("loaded:")[2].split()
    assert "noise_search.cli.app" in loaded
    assert not [name for name in loaded if name in HEAVY]
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
