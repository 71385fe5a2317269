"""A model's folder with any one of its files spoiled: one line says so, and no code of it runs."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from noise_search.errors import UserError
from noise_search.verifiers.loading import load
from tests.verifiers import test_classifier, test_image_reward, test_preference
from tests.verifiers.test_own_preview import write_dino
from tests.verifiers.towers import write_tower

FORMATS: Mapping[str, tuple[str, Callable[[Path], object]]] = {
    "aesthetic": ("aesthetic(tower={})", lambda folder: write_tower(folder, 768)),
    "classifier": ("classifier:{}#0", test_classifier.write),
    "clip": ("clip:{}", lambda folder: write_tower(folder, 24)),
    "hps": (
        "hps:{}",
        lambda folder: test_preference.write_hps(folder, test_preference.hps_state()),
    ),
    "image-reward": (
        "image-reward:{}",
        lambda folder: test_image_reward.write(folder, test_image_reward.published()),
    ),
    "pick": ("pick:{}", test_preference.write_pick),
    "self": ("self:dino(model={})", write_dino),
}
HAVE_DEFAULTS = {"tokenizer_config.json", "open_clip_config.json"}
"""What has a default where it is gone: an HPS checkpoint alone is a whole ViT-H-14."""


class Evil:
    """Leaves a file behind when it is unpickled by a reader that lets it."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)


def spoilers(canary: Path) -> dict[str, Callable[[Path], object]]:
    code = pickle.dumps(Evil(canary))
    return {
        "half of it": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
        "empty": lambda file: file.write_bytes(b""),
        "a list": lambda file: file.write_text("[]"),
        "code": lambda file: file.write_bytes(code),
        "gone": Path.unlink,
    }


@pytest.mark.parametrize("kind", list(FORMATS))
def test_every_spoiled_file_is_told_in_one_line(kind: str, tmp_path: Path) -> None:
    spec, write = FORMATS[kind]
    whole, canary = tmp_path / "whole", tmp_path / "canary"
    whole.mkdir()
    write(whole)
    assert load(spec.format(whole)).name
    tried = 0
    for file in sorted(whole.iterdir()):
        for number, (how, spoil) in enumerate(spoilers(canary).items()):
            if how == "gone" and file.name in HAVE_DEFAULTS:
                continue
            folder = tmp_path / f"{file.name}-{number}"
            shutil.copytree(whole, folder)
            spoil(folder / file.name)
            with pytest.raises(UserError) as error:
                load(spec.format(folder))
            assert "\n" not in str(error.value), (file.name, how)
            assert len(str(error.value)) < 600, (file.name, how)
            tried += 1
    assert tried >= 10
    assert not canary.exists()


def test_code_that_is_let_would_have_left_its_mark(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Evil(tmp_path / "canary")))  # noqa: S301 - the point of the canary
    assert (tmp_path / "canary").exists()
