"""Tiny checkpoints, made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from tests.pipelines.text.models import build


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Gives the model of a family."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return cache(lambda family: build(family, folder))
