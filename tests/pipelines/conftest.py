from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from noise_search.pipelines.shapes.pipeline import ShapesPipeline
from tests.pipelines.tiny import SCHEDULERS, save_tiny
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.kind import load as load_kind

Load = Callable[..., Any]


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Shapes pipelines of tiny random weights, as folders in diffusers' format."""
    return {kind: save_tiny(kind, tmp_path_factory.mktemp(kind)) for kind in SCHEDULERS}


@pytest.fixture(scope="session")
def load_tiny(tiny_folders: dict[str, Path]) -> Load:
    """Loads a tiny pipeline, `load_tiny("flow")` or `load_tiny("ddim", torch.bfloat16)`."""

    def load(kind: str, dtype: torch.dtype = torch.float32) -> Any:
        pipe: Any = ShapesPipeline
        pipe = pipe.from_pretrained(tiny_folders[kind]).to(dtype)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return load


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Kind], Any]:
    """Loads a kind of the zoo, whose folder is written once a module."""
    root = tmp_path_factory.mktemp("zoo")
    return lambda kind: load_kind(kind, root)
