"""The package as users find it: names, light imports, packaging, clean text."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import noise_search

ROOT = Path(__file__).parent.parent


def test_all_is_sorted_complete_and_importable() -> None:
    names = noise_search.__all__
    assert names == sorted(names, key=lambda n: (not n.isupper(), n[0].islower(), n))
    assert set(names) == set(noise_search._HOMES)
    assert all(getattr(noise_search, name) is not None for name in names)


def test_the_engine_loads_neither_torch_nor_numpy() -> None:
    program = (
        "import sys, pkgutil, importlib, noise_search\n"
        "rooms = ['noise_search.searches', 'noise_search.budget', 'noise_search.samplers']\n"
        "for room in [noise_search, *map(importlib.import_module, rooms)]:\n"
        "    for module in pkgutil.iter_modules(room.__path__):\n"
        "        if not module.ispkg: importlib.import_module(f'{room.__name__}.{module.name}')\n"
        "print(sorted({'torch', 'numpy', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_every_folder_of_code_is_packaged() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(settings["tool"]["setuptools"]["packages"])
    found = {
        ".".join(["noise_search", *path.parent.relative_to(base).parts])
        for base in (ROOT / "noise_search", ROOT)
        for path in base.rglob("__init__.py")
        if base == ROOT / "noise_search"
        or path.relative_to(ROOT).parts[0] in ("verifiers", "pipelines")
    }
    assert listed == found


def test_root_folders_refuse_to_be_imported_bare() -> None:
    for folder in ("verifiers", "pipelines"):
        done = subprocess.run(
            [sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True
        )
        assert f"import noise_search.{folder}" in done.stderr
