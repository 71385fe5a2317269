"""The settings of a run: what identifies it, and so what a resumed run must share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from noise_search.budget import read_limits
from noise_search.errors import UserError, nearest

MOST_BYTES = 1 << 20
"""Configuration files larger than this are refused."""


class Settings(BaseModel):
    """Everything that the outcome of a run depends on, besides its prompts.

    Attributes:
        model: spec of what generates.
        search: spec of the search.
        verifier: spec of what guides it; None is the model's own.
        evaluate: spec of what judges the outcome, held out of the search; None is the model's own.
        budget: limits of one prompt, joined by `+`.
        seed: root of all random numbers.
        steps: denoiser evaluations of a final sample; None is the model's own.
        search_steps: evaluations of a sample while searching; None is `steps`.
        guidance_scale: classifier-free guidance; None is the model's own.
        eta: noise of a DDIM transition, 0 (ODE) to 1 (DDPM).
        batch: rows of every batch; short ones are padded.
        top_k: how many winners are kept.
        dtype: of the model's weights.
        device: where the model runs.
        threads: of one process; results are exact for the same number.
        fast: leave short batches short: faster, and bits may differ from run to run.
        metadata: write recipe and scores into the PNG files.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    model: str = "shapes"
    search: str = "random"
    verifier: str | None = None
    evaluate: str | None = None
    budget: str = "64nfe"
    seed: int = Field(0, ge=0, lt=1 << 63)
    steps: int | None = Field(None, ge=1, le=10_000)
    search_steps: int | None = Field(None, ge=1, le=10_000)
    guidance_scale: float | None = Field(None, ge=0, le=100, allow_inf_nan=False)
    eta: float = Field(0.0, ge=0, le=1, allow_inf_nan=False)
    batch: int = Field(8, ge=1, le=4096)
    top_k: int = Field(1, ge=1, le=1000)
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = "cpu"
    threads: int = Field(1, ge=1, le=1024)
    fast: bool = False
    metadata: bool = True

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Settings from keys and values.

        Raises:
            UserError: a key is unknown or a value impossible.
        """
        for key in values:
            if key not in cls.model_fields:
                raise UserError(f"unknown setting {key!r}{nearest(key, cls.model_fields)}")
        try:
            settings = cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            said = first["msg"][:1].lower() + first["msg"][1:]
            raise UserError(f"{key}={str(first['input'])[:60]}: {said}") from None
        read_limits(settings.budget)
        return settings

    @property
    def limits(self) -> dict[str, int]:
        """The budget of one prompt, by field of `Cost`."""
        return read_limits(self.budget)


def read_config(path: Path) -> dict[str, Any]:
    """The keys of a YAML file; no tags, no aliases, at most 1 MiB.

    Raises:
        UserError: the file cannot be read, or is not a flat mapping.
    """
    try:
        text = path.read_bytes()[: MOST_BYTES + 1].decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"config {path}: {error}") from None
    if len(text) > MOST_BYTES:
        raise UserError(f"config {path} is larger than 1 MiB")
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, (yaml.AliasToken, yaml.AnchorToken)):
                raise UserError(f"config {path}: aliases are not read")
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"config {path}: {error}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"config {path} is not a mapping of settings to values")
    return values
