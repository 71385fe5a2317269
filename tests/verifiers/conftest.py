"""Folders of tiny process reward models."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.verifiers.checkpoints import (
    BACKBONES,
    write_classifier,
    write_qwen,
    write_shepherd,
)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    def new(kind: str) -> Path:
        return tmp_path_factory.mktemp(kind)

    made = {backbone: write_classifier(new(backbone), backbone) for backbone in BACKBONES}
    return {
        **made,
        "shepherd": write_shepherd(new("shepherd")),
        "qwen-prm": write_qwen(new("qwen-prm")),
    }


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A folder that may be spoiled."""
    return lambda kind: Path(shutil.copytree(folders[kind], tmp_path / kind))
