"""A spec of every built-in verifier of pictures, and tiny checkpoints of the formats they load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.verifiers import test_classifier, test_image_reward, test_preference
from tests.verifiers.test_own_preview import write_dino
from tests.verifiers.towers import write_tower
from tests.verifiers.vision import write_llava

SPECS = {
    "aesthetic": "aesthetic(tower={tower})",
    "aesthetic:v1": "aesthetic:v1(tower={tower})",
    "classifier": "classifier:{classifier}#goldfish",
    "clip": "clip:{tower}",
    "clip, transformers": "clip:{pick}",
    "hps": "hps:{hps}",
    "image-reward": "image-reward:{reward}",
    "pick": "pick:{pick}",
    "self:clip": "self:clip(model={tower})",
    "self:dino": "self:dino(model={dino})",
    "shapes": "shapes",
    "shapes-clip": "shapes-clip",
    "shapes-clip-weak": "shapes-clip-weak",
    "rank": "rank(clip:{tower},aesthetic(tower={tower}),pick:{pick})",
}
"""Verifiers that give a number alone, with the names of `write_folders` in braces."""
IN_WORDS = {
    "judge:local": "judge:local#{llava}",
    "vqa": "vqa:{llava}",
}
"""Verifiers whose models write."""
JOINED = {
    "first": "first(clip:{tower},aesthetic(tower={tower}))",
    "weighted": "weighted(clip:{tower}=1,pick:{pick}=0.5)",
}
"""Rankings beside `rank`."""


def write_folders(new: Callable[[str], Path]) -> Mapping[str, Path]:
    """The checkpoints that the specs above name, each in an empty folder that `new` gives."""
    return {
        "tower": write_tower(new("tower"), 768),
        "classifier": test_classifier.write(new("classifier")),
        "hps": test_preference.write_hps(new("hps"), test_preference.hps_state()),
        "pick": test_preference.write_pick(new("pick")),
        "reward": test_image_reward.write(new("reward"), test_image_reward.published()),
        "dino": write_dino(new("dino")),
        "llava": write_llava(new("llava")),
    }
