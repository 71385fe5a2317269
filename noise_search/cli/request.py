"""From flags and a configuration file to a request that is known to be possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.noise import digest
from noise_search.specs import split_top
from noise_search.study.arguments import settled
from noise_search.study.prompts import avoiding, prompts_of, read_prompts
from noise_search.study.settings import (
    BY_HAND,
    Settings,
    checked,
    no_switch,
    read_config,
    read_value,
    shown,
)

RUNS = Path("runs")
"""Where runs without a folder of their own are kept."""

K = TypeVar("K", bound="Keys")
Prepare = Callable[[Mapping[str, Any]], None]
"""Is shown settings by key, as they were given."""


class Keys(BaseModel):
    """What a configuration file may hold beside `Settings`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: tuple[str, ...] | None = None
    prompts: Path | None = None
    prompt_column: str | None = None
    answer_column: str | None = None
    negative_prompt: str | None = None
    workers: int = Field(1, ge=1, le=1024)
    out: Path | None = None

    @field_validator("prompt", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("workers", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        return no_switch(value)

    @field_validator("out", "prompts")
    @classmethod
    def _path(cls, value: Path | None) -> Path | None:
        if value is not None and ("\0" in str(value) or not str(value).strip(" .")):
            raise ValueError("not a path")
        return value


class CompareKeys(Keys):
    """What only a comparison needs."""

    searches: tuple[str, ...] | None = None
    budgets: tuple[str, ...] | None = None
    seeds: int = Field(3, ge=1, le=1000)

    @field_validator("searches", "budgets", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(split_top(value)) if isinstance(value, str) else value

    @field_validator("searches", "budgets")
    @classmethod
    def _distinct(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is None:
            return None
        if not value or not all(part.strip() for part in value):
            raise ValueError("a part of the list is empty")
        if len(set(value)) < len(value):
            raise ValueError("a part of the list appears twice")
        return value

    @field_validator("seeds", mode="before")
    @classmethod
    def _count(cls, value: object) -> object:
        return no_switch(value)


@dataclass(frozen=True)
class Request:
    """One run as it was asked for.

    Attributes:
        settings: with the model's own defaults filled in.
        prompts: what to generate for.
        out: the run's folder.
        workers: processes.
    """

    settings: Settings
    prompts: list[Prompt]
    out: Path
    workers: int


@dataclass(frozen=True)
class CompareRequest(Request):
    """One comparison as it was asked for."""

    searches: Sequence[str]
    budgets: Sequence[str]
    seeds: int

    def variants(self) -> list[Settings]:
        """The settings of every pair of search and budget."""
        return [
            self.settings.model_copy(update={"search": search, "budget": budget})
            for search in self.searches
            for budget in self.budgets
        ]


def ignore(values: Mapping[str, Any]) -> None:
    """Do nothing with settings."""


def read_request(
    given: Mapping[str, Any],
    config: Path | None,
    prepare: Prepare = ignore,
) -> Request:
    """The request of `generate`.

    Args:
        given: flags.
        config: a file of settings, over which flags win.
        prepare: called with all of them before their model is looked at.

    Raises:
        UserError: something asked for is unknown or impossible.
    """
    keys, settings = _keys(Keys, given, config, prepare)
    prompts = _prompts(keys)
    return Request(settings, prompts, keys.out or _folder(keys, prompts, settings), keys.workers)


def read_comparison(
    given: Mapping[str, Any],
    config: Path | None,
    prepare: Prepare = ignore,
) -> CompareRequest:
    """The request of `compare`.

    Args:
        given: flags.
        config: a file of settings, over which flags win.
        prepare: called with all of them before their model is looked at.

    Raises:
        UserError: something asked for is unknown or impossible.
    """
    without = ("search", "budget", "top_k")
    keys, settings = _keys(CompareKeys, given, config, prepare, without)
    from noise_search.pipelines.loading import defaults

    prompts = _prompts(keys)
    own = defaults(settings.model)
    asked = (keys.searches or own.searches, keys.budgets or own.budgets, keys.seeds)
    out = keys.out or _folder(keys, prompts, settings, *asked)
    return CompareRequest(settings, prompts, out, keys.workers, *asked)


def _keys(
    kind: type[K],
    given: Mapping[str, Any],
    config: Path | None,
    prepare: Prepare,
    without: Sequence[str] = (),
) -> tuple[K, Settings]:
    """Flags over configuration over defaults, told apart."""
    from noise_search.pipelines.files import model_spec
    from noise_search.study.bench import complete

    values = {} if config is None else read_config(config)
    for key in BY_HAND:
        if key in values:
            raise UserError(f"{key}: a file cannot say this; --trust-remote-code does")
    flags = {key: value for key, value in given.items() if value is not None}
    if config is not None and isinstance(values.get("prompts"), str):
        values["prompts"] = config.parent / values["prompts"]
    if "prompt" in flags or "prompts" in flags:
        values = {k: v for k, v in values.items() if k not in ("prompt", "prompts")}
    if config is not None and isinstance(values.get("pipeline"), dict):
        values["pipeline"] = settled(values["pipeline"], config.parent)
    if "pipeline" in flags:
        given = settled(_assigned(flags["pipeline"]))
        flags["pipeline"] = _merged(values.get("pipeline"), given)
    values |= flags
    if isinstance(values.get("pipeline"), dict) and "negative_prompt" in values["pipeline"]:
        rest = dict(values["pipeline"])  # an argument of the call to users, but the prompts' own
        values |= {"negative_prompt": rest.pop("negative_prompt"), "pipeline": rest}
    prepare(values)
    if isinstance(values.get("model"), str) and values["model"].strip():
        values["model"] = model_spec(values["model"])
    known = [*kind.model_fields, *(k for k in Settings.model_fields if k not in without)]
    for key in values:
        if key not in known:
            raise UserError(_unknown(key, known))
    keys = checked(kind, {k: v for k, v in values.items() if k in kind.model_fields})
    settings = Settings.of({k: v for k, v in values.items() if k not in kind.model_fields})
    return keys, complete(settings)


def _assigned(words: Sequence[str]) -> dict[str, Any]:
    """Arguments of a pipeline's call from `pipeline.KEY=VALUE`; values are those of YAML.

    Raises:
        UserError: a word is not of that form.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, mark, text = word.partition("=")
        group, dot, key = name.strip().partition(".")
        if not mark or not dot or group != "pipeline" or not key.isidentifier():
            raise UserError(f"set: {shown(word)!r} is not of the form pipeline.KEY=VALUE")
        if key in found:
            raise UserError(f"set: pipeline.{key} is given twice")
        found[key] = read_value(text, f"pipeline.{key}")
    return found


def _merged(before: object, after: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a file with those of flags on top."""
    return {**(before if isinstance(before, dict) else {}), **after}


def _unknown(key: str, known: Sequence[str]) -> str:
    from noise_search.errors import nearest

    others = {"search": "searches", "budget": "budgets", "searches": "search", "budgets": "budget"}
    if others.get(key) in known:
        return f"unknown setting {key!r}; this command takes {others[key]!r}"
    return f"unknown setting {key[:60]!r}{nearest(key, known)}"


def _prompts(keys: Keys) -> list[Prompt]:
    if keys.prompt is not None and keys.prompts is not None:
        raise UserError("prompt and prompts: give one of the two")
    for key in ("prompt_column", "answer_column"):
        if getattr(keys, key) is not None and keys.prompts is None:
            raise UserError(f"{key}: there is no prompts file to have columns")
    if keys.prompts is not None:
        prompts = read_prompts(keys.prompts, keys.prompt_column, keys.answer_column)
    elif keys.prompt:
        prompts = prompts_of(keys.prompt)
    else:
        raise UserError("prompt: nothing to draw; give a prompt, or a file with --prompts")
    return avoiding(prompts, keys.negative_prompt)


def _folder(keys: Keys, prompts: Sequence[Prompt], settings: Settings, *asked: Any) -> Path:
    """A folder for one that names none: the same request always gets the same."""
    if keys.prompts is not None:
        about = "".join(c if c.isalnum() and c.isascii() else "-" for c in keys.prompts.stem)[:40]
    else:
        about = prompts[0].name.rsplit("-", 1)[0]
    names = [prompt.name for prompt in prompts]
    answers = [prompt.answer for prompt in prompts]
    if any(answers):  # no name tells of them
        asked = (*asked, answers)
    return RUNS / f"{about}-{digest(settings.model_dump(), names, *asked)[:6]}"
