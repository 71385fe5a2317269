"""The settings of a run: what identifies it, and so what a resumed run must share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, cast

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
)

from noise_search.answers import Rule
from noise_search.budget import read_limits
from noise_search.errors import UserError, nearest
from noise_search.pipelines.arguments import Json
from noise_search.specs import split_top
from noise_search.study.arguments import checked_arguments
from noise_search.study.files import read_bytes

M = TypeVar("M", bound=BaseModel)

OF_PICTURES = ("search_steps", "guidance_scale", "offload", "preview", "fps")
"""Settings that only denoising has,"""
OF_TEXTS = ("temperature", "top_p", "max_tokens", "step_tokens", "split", "answers", "system")
"""and that only writing has."""

UNSAID: Mapping[str, object] = {"pipeline": {}, "offload": None, "preview": None, "fps": None}
"""Settings that are left out of records where they are as they always were."""
BY_HAND = ("trust_remote_code",)
"""Settings that neither a file nor a record may give."""

MOST_BYTES = 1 << 20
"""Configuration files larger than this are refused."""
MOST_TOKENS = 10_000
"""And so are files with more parts than this,"""
MOST_LISTS = 100
"""or with more lists and mappings."""


class Settings(BaseModel):
    """Everything that the outcome of a run depends on, besides its prompts.

    Attributes:
        model: spec of what generates.
        search: spec of the search.
        verifier: spec of what guides it; None is the model's own.
        evaluate: specs of what judges the outcome, held out of the search, with commas between;
            None is the model's own.
        budget: limits of one prompt, joined by `+`; None is the model's own.
        seed: root of all random numbers.
        steps: denoiser evaluations of a final sample, or the most reasoning steps of a text; None
            is the model's own.
        search_steps: evaluations of a sample while searching; None is `steps`.
        guidance_scale: classifier-free guidance; None is the model's own.
        eta: noise of a DDIM transition, 0 (ODE) to 1 (DDPM).
        batch: rows of every batch; short ones are padded. None is the model's own.
        top_k: how many winners are kept.
        dtype: of the model's weights.
        device: where the model runs.
        threads: of one process; results are exact for the same number.
        fast: leave short batches short: faster, and bits may differ from run to run.
        metadata: write recipe and scores into the PNG files.
        temperature: of a text's tokens; None is the model's own, as in all that follows.
        top_p: tokens are drawn from the smallest set that has so much mass.
        max_tokens: of a whole text.
        step_tokens: of a reasoning step; a longer one is cut in two.
        split: where a reasoning step ends, as in "newline".
        answers: how the answer of a text is found.
        system: the system's line of a chat.
        pipeline: further arguments of the pipeline's call, as they stand in a record.
        preview: how partial samples are shown: "half", "quarter", "taesd" or "taesd:FOLDER"; None
            is by the model's own decoder.
        fps: frames a second of videos; None is the pipeline's own, else 16.
        offload: what waits in the host's memory while it is not used: "model" or "sequential".
        trust_remote_code: whether code that lies with a model may run; no record holds it.
        cache: whether scores of costly verifiers are kept in the user's cache, and found there; the
            outcome does not depend on it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    model: str = Field("shapes", min_length=1)
    search: str = Field("random", min_length=1)
    verifier: str | None = Field(None, min_length=1)
    evaluate: str | None = Field(None, min_length=1)
    budget: str | None = Field(None, min_length=1)
    seed: int = Field(0, ge=0, lt=1 << 63)
    steps: int | None = Field(None, ge=1, le=10_000)
    search_steps: int | None = Field(None, ge=1, le=10_000)
    guidance_scale: float | None = Field(None, ge=0, le=100, allow_inf_nan=False)
    eta: float = Field(0.0, ge=0, le=1, allow_inf_nan=False)
    batch: int | None = Field(None, ge=1, le=4096)
    top_k: int = Field(1, ge=1, le=1000)
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = Field("cpu", min_length=1)
    threads: int = Field(1, ge=1, le=1024)
    fast: bool = False
    metadata: bool = True
    temperature: float | None = Field(None, ge=0, le=100, allow_inf_nan=False)
    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    step_tokens: int | None = Field(None, ge=1, le=1_000_000)
    split: str | None = Field(None, min_length=1, max_length=600)
    answers: Rule | None = None
    system: str | None = Field(None, min_length=1, max_length=20_000)
    pipeline: Mapping[str, Json] = Field(default_factory=dict[str, Json])
    offload: Literal["model", "sequential"] | None = None
    preview: str | None = Field(None, min_length=1, max_length=1000)
    fps: float | None = Field(None, gt=0, le=1000, allow_inf_nan=False)
    trust_remote_code: bool = Field(False, exclude=True)
    cache: bool = Field(True, exclude=True)

    @field_validator("evaluate", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        if isinstance(value, list | tuple):
            value = ",".join(map(str, cast("list[object]", value)))
        if not isinstance(value, str):
            return value
        parts = split_top(value)
        if len(parts) > 1 and ("none" in parts or "" in parts or len(set(parts)) < len(parts)):
            raise ValueError("a part of the list is empty, or appears twice")
        return ",".join(parts)

    @field_validator(
        "seed",
        "steps",
        "search_steps",
        "guidance_scale",
        "eta",
        "batch",
        "top_k",
        "threads",
        "temperature",
        "top_p",
        "max_tokens",
        "step_tokens",
        "fps",
        mode="before",
    )
    @classmethod
    def _no_switch(cls, value: object) -> object:
        return no_switch(value)

    @field_validator("pipeline", mode="before")
    @classmethod
    def _arguments(cls, value: object) -> object:
        return checked_arguments(value)

    @model_serializer(mode="wrap")
    def _told(self, tell: SerializerFunctionWrapHandler) -> dict[str, Any]:
        record: dict[str, Any] = tell(self)
        return {k: v for k, v in record.items() if k not in UNSAID or v != UNSAID[k]}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Settings from keys and values.

        Raises:
            UserError: a key is unknown or a value impossible.
        """
        settings = checked(cls, values)
        if settings.budget is not None:
            read_limits(settings.budget)
        return settings

    @classmethod
    def recorded(cls, values: Mapping[str, Any], *, trust: bool = False) -> Self:
        """Settings from a record, which cannot say that code of its own may run.

        Args:
            values: as a record holds them.
            trust: whether the user has said so.

        Raises:
            UserError: a key is unknown or a value impossible.
        """
        return cls.of({**values, "trust_remote_code": trust})

    @property
    def limits(self) -> dict[str, int]:
        """The budget of one prompt, by field of `Cost`; none where it is the model's own."""
        return {} if self.budget is None else read_limits(self.budget)


def no_switch(value: object) -> object:
    """Refuse true and false where a number is meant; pydantic would read them as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("a number is needed")
    return value


def checked(kind: type[M], values: Mapping[str, Any]) -> M:
    """A model from keys and values.

    Raises:
        UserError: a key is unknown or a value impossible; the line names the key.
    """
    for key in values:
        if key not in kind.model_fields:
            raise UserError(f"unknown setting {key[:60]!r}{nearest(key, kind.model_fields)}")
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        said = first["msg"].removeprefix("Value error, ")
        raise UserError(
            f"{first['loc'][0]}={shown(first['input'])}: {said[:1].lower()}{said[1:]}"
        ) from None


def shown(value: object) -> str:
    """The beginning of a value, for an error line."""
    try:
        return " ".join(str(value).split())[:60]
    except ValueError:  # an integer of more digits than Python cares to write
        return "(endless)"


def read_config(path: Path) -> dict[str, Any]:
    """The keys of a YAML file; no tags, no aliases, at most 1 MiB.

    Raises:
        UserError: the file cannot be read, or is not a flat mapping.
    """
    text = _read_text(path)
    try:
        _check_tokens(path, text)
        values: object = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = 1 if error.problem_mark is None else error.problem_mark.line + 1
        raise UserError(f"config {path}, line {line}: {error.problem}") from None
    except UserError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else error
        raise UserError(f"config {path}: {what}") from None
    if not isinstance(values, dict):
        raise UserError(f"config {path} is not a mapping of settings to values")
    mapping = cast("dict[object, Any]", values)
    return {str(key): value for key, value in mapping.items()}


def read_value(text: str, key: str) -> Any:
    """One value as YAML has it; no tags, no aliases.

    Raises:
        UserError: it cannot be read.
    """
    try:
        _check_tokens(Path(key), text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except UserError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UserError(f"{key}={shown(text)}: not a value") from None


def _check_tokens(path: Path, text: str) -> None:
    """Refuse what could grow when it is expanded, or takes long to read."""
    depth = 0
    for number, token in enumerate(yaml.scan(text, Loader=yaml.SafeLoader)):
        if isinstance(token, (yaml.AliasToken, yaml.AnchorToken)):
            raise UserError(f"config {path}: aliases are not read")
        depth += isinstance(token, _OPENING)
        if number > MOST_TOKENS or depth > MOST_LISTS:
            raise UserError(f"config {path}: too long for a list of settings")


_OPENING = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)


def _read_text(path: Path) -> str:
    data = read_bytes(path, "config", MOST_BYTES, "1 MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"config {path}: not UTF-8 text (at byte {error.start})") from None


class _Loader(yaml.SafeLoader):
    """A loader that refuses a key given twice, where YAML would let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set[str]()
        for key, _ in node.value:
            if key.value in seen if isinstance(key, yaml.ScalarNode) else False:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value[:60]!r} is given twice", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)
