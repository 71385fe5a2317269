"""The command that trains a process reward model, between its flags and the library."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from pydantic import Field, field_validator

from noise_search.ask import Prompt
from noise_search.cli import report
from noise_search.cli.checks import check_device_there, check_folder, check_run
from noise_search.cli.halt import resumable
from noise_search.cli.progress import watcher
from noise_search.cli.request import RUNS, Keys
from noise_search.errors import UserError
from noise_search.registry import VERIFIERS, check_name
from noise_search.study.dry_run import price_of
from noise_search.study.prompts import read_prompts
from noise_search.study.rollouts import Rolling, rolling_header
from noise_search.study.settings import Settings, checked, no_switch
from noise_search.study.train_prm import ROLLOUTS, Trained, check_split, most, train_prm

if TYPE_CHECKING:
    from noise_search.verifiers.process_train import Plan

OUT = RUNS / "prm"


class TrainKeys(Keys):
    """What only training needs; a verifier's weights are told by folder or cached name."""

    samples: int = Field(16, ge=1, le=10_000)
    rollouts: int = Field(16, ge=1, le=10_000)
    base: str | None = Field(None, min_length=1, max_length=4_000)
    epochs: int = Field(10, ge=1, le=10_000)
    lr: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    train_batch: int = Field(128, ge=1, le=100_000)
    freeze: bool = False
    tails: bool = False
    likelihood: bool = False

    @field_validator("samples", "rollouts", "epochs", "lr", "train_batch", mode="before")
    @classmethod
    def _count(cls, value: object) -> object:
        return no_switch(value)


@dataclass(frozen=True)
class TrainRequest:
    """One training as it was asked for."""

    settings: Settings
    prompts: list[Prompt]
    keys: TrainKeys
    out: Path

    @property
    def rolling(self) -> Rolling:
        """How much is written."""
        return Rolling(self.keys.samples, self.keys.rollouts)

    @property
    def plan(self) -> Plan:
        """How the model is trained; loads torch."""
        from noise_search.verifiers.process_train import Plan

        keys = self.keys
        return Plan(
            keys.epochs,
            keys.lr,
            keys.train_batch,
            keys.freeze,
            keys.tails,
            keys.likelihood,
            self.settings.seed,
            self.settings.device,
        )


def run_train_prm(given: Mapping[str, Any], *, dry_run: bool, quiet: bool) -> None:
    """Train, or say what the rollouts would cost."""
    request = read_training(given)
    settings, prompts, out = request.settings, request.prompts, request.out
    # errors name what was asked for: the evaluator, in whose place nothing guides a search
    asked = settings.model_copy(update={"verifier": "prm-random", "evaluate": settings.verifier})
    check_run(asked, prompts, price_of(settings))
    check_split(prompts)
    _check_base(request.keys.base)
    check_folder(out / ROLLOUTS, rolling_header(prompts, settings, request.rolling))
    _check_out(out)
    if dry_run:
        report.print_estimate(
            len(prompts), None, most(settings, request.rolling, len(prompts)), ("tokens_in",)
        )
        return
    check_device_there(settings.device)
    with resumable(out / ROLLOUTS, _again(given)):
        trained = train_prm(
            prompts,
            settings,
            request.rolling,
            request.plan,
            out,
            base=request.keys.base,
            workers=request.keys.workers,
            watch=watcher(len(prompts), quiet=quiet),
            say=(lambda _: None) if quiet else _say,
        )
    _print_trained(trained, quiet=quiet)


def read_training(given: Mapping[str, Any]) -> TrainRequest:
    """The request of `train-prm`; the evaluator takes the verifier's place.

    Raises:
        UserError: something asked for is unknown or impossible.
    """
    from noise_search.study.bench import complete

    values = {key: value for key, value in given.items() if value is not None}
    keys = checked(TrainKeys, {k: v for k, v in values.items() if k in TrainKeys.model_fields})
    asked = Settings.of({k: v for k, v in values.items() if k not in TrainKeys.model_fields})
    if keys.prompts is None:
        raise UserError("prompts: name a file of questions with --prompts")
    _check_writes(asked.model)
    settings = complete(asked)
    if settings.evaluate in (None, "none"):
        raise UserError(f"evaluate: name what says which answers are right: {_judges()}")
    _check_judge(settings.evaluate)
    prompts = read_prompts(keys.prompts, keys.prompt_column, keys.answer_column)
    rolling = Rolling(keys.samples, keys.rollouts)
    _, tokens = rolling.bounds(settings)
    settings = settings.model_copy(
        update={
            "verifier": settings.evaluate,
            "evaluate": "none",
            "budget": f"{tokens}tok",  # nothing limits it; so much it takes at most
        }
    )
    return TrainRequest(settings, prompts, keys, keys.out or OUT)


def _check_writes(model: str) -> None:
    from noise_search.pipelines.loading import defaults

    if not defaults(model).medium.answers:
        raise UserError(f"model: {model} writes no text; name a language model, as hf:./folder")


def _check_judge(evaluate: str) -> None:
    """Refuse a built-in verifier that does not judge answers; others are known by what they do."""
    from noise_search.verifiers.answers import RIGHT

    try:
        name = check_name("verifier", evaluate).name
    except UserError as error:
        raise UserError(str(error).replace("verifier:", "evaluate:", 1)) from None
    if name in VERIFIERS and name not in RIGHT:
        raise UserError(f"evaluate: {evaluate} says of no answer whether it is right: {_judges()}")


def _judges() -> str:
    from noise_search.verifiers.answers import RIGHT

    return ", ".join(sorted(RIGHT))


def _check_base(base: str | None) -> None:
    """Refuse a path that holds no model; a name of the local cache is looked up when it is loaded.

    Raises:
        UserError: there is no `config.json`.
    """
    if base is None or (base[0] not in "./~" and base.count("/") == 1 and not Path(base).exists()):
        return
    try:
        there = (Path(base).expanduser() / "config.json").is_file()
    except (OSError, ValueError, RuntimeError):  # as with a NUL, or nobody's home
        there = False
    if not there:
        raise UserError(f"base: {base} holds no config.json of a model")


def _check_out(out: Path) -> None:
    """Refuse a folder of something else.

    Raises:
        UserError: it holds files and no rollouts.
    """
    held = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if held and ROLLOUTS not in held:
        raise UserError(f"out: {out} holds {held[0]!r} and no rollouts; choose another folder")


def _again(given: Mapping[str, Any]) -> str:
    """The command line that goes on: the same one."""
    words = ["noise-search", "train-prm"]
    for key, value in given.items():
        flag = key.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            words += [f"--{flag}", str(value)]
    return shlex.join(words)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _print_trained(trained: Trained, *, quiet: bool) -> None:
    """What it came to, in a few lines, and where the model is."""
    if not quiet:
        steps, ended = trained.report["steps"], trained.report["finished"]
        name = "auc, labels of at least 0.5 against others"
        rows = {
            "held-out loss": f"{steps['loss']:.4f} (a constant: {steps['loss of a constant']:.4f})",
            "AUC of steps": _figure(steps[name]),
            "AUC of solutions": _figure(ended["auc"]),
            "... within a question": _figure(ended["auc within a question"]),
        }
        width = max(map(len, rows))
        for row, said in rows.items():
            typer.echo(f"{row:<{width}}  {said}")
    typer.echo(str(trained.model))


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
