"""What is checked before anything is loaded, spent or written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from noise_search.ask import Prompt
from noise_search.errors import UserError, nearest
from noise_search.journal import header
from noise_search.registry import bind, build_search, check_name, find
from noise_search.study.dry_run import Pricer, check_budget, rehearse
from noise_search.study.generate import jobs_of
from noise_search.study.judges import check_apart, evaluators_in
from noise_search.study.settings import Settings, shown

DEVICES = ("cpu", "cuda", "hpu", "mps", "npu", "xla", "xpu")
WRITTEN = (
    "run.json",
    "candidates.jsonl",
    "answers.jsonl",
    "summary.json",
    "curve.csv",
    "sheet.png",
    "images",
)
"""What a run puts into its folder."""


def check_run(settings: Settings, prompts: Sequence[Prompt], pricer: Pricer) -> None:
    """Refuse completed settings that are unknown, contradict each other, or cannot be paid for.

    Raises:
        UserError: one of them is impossible.
    """
    from noise_search.pipelines.loading import check_prompts
    from noise_search.verifiers.loading import check_answers, check_medium

    build_search(settings.search)
    _check_options("model", settings.model, given=2)
    judges = [("evaluate", spec) for spec in evaluators_in(settings.evaluate)]
    if settings.verifier is not None:
        judges.insert(0, ("verifier", settings.verifier))
    for key, spec in judges:
        _check_verifier(key, spec)
    if settings.verifier is None:
        raise UserError(f"verifier: {settings.model} has none of its own; name one")
    check_apart(settings.verifier, evaluators_in(settings.evaluate))
    check_prompts(settings.model, prompts)
    for key, spec in judges:
        writes = pricer.medium.answers
        check_medium(spec, writes=writes, model=settings.model, key=key)
        check_answers(spec, prompts, key)
    if (settings.steps or 1) > pricer.most_steps:
        most = f"{settings.model} has at most {pricer.most_steps:,}"
        raise UserError(f"steps={settings.steps}: {most}")
    if settings.split is not None:
        from noise_search.pipelines.text.steps import parse_rule

        parse_rule(settings.split)
    _check_device(settings.device)
    if settings.dtype == "float16" and settings.device.startswith("cpu"):
        raise UserError("dtype=float16: pipelines do not run in it on a CPU; bfloat16 or float32")
    check_budget(pricer, prompts[0], settings)
    rehearse(pricer, jobs_of(prompts[:1], settings)[0])


def _check_verifier(key: str, text: str) -> None:
    from noise_search.verifiers.loading import parts_of

    try:
        _check_options("verifier", text, given=1)
        for part in parts_of(check_name("verifier", text)):
            _check_verifier(key, part)
    except UserError as error:
        said = str(error)
        said = said if said.startswith(key) else f"{key}: {said.removeprefix('verifier: ')}"
        raise UserError(said) from None


def _check_options(kind: str, text: str, given: int) -> None:
    spec = check_name(kind, text)
    if spec.options:
        bind(kind, spec, find(kind, spec.name), given)


def _check_device(device: str) -> None:
    name, _, number = device.partition(":")
    if name not in DEVICES:
        raise UserError(f"device: unknown device {device[:60]!r}{nearest(name, DEVICES)}")
    if ":" in device and not re.fullmatch(r"[0-9]{1,3}", number):
        raise UserError(f"device={device[:60]}: after the colon stands a number, cuda:0")


def check_device_there(device: str) -> None:
    """Refuse a device that this machine does not have; loads torch for any but the CPU.

    Raises:
        UserError: there is no such device.
    """
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return
    import torch

    there: dict[str, int] = {
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    if int(number or 0) >= there.get(kind, 1 << 10):
        raise UserError(f"device={device}: torch {torch.__version__} finds none on this machine")


def check_folder(out: Path, head: Mapping[str, Any] | None) -> None:
    """Refuse a folder that cannot be written, or that holds something else.

    Args:
        out: the run's folder.
        head: what identifies the run, or None if that is checked later.

    Raises:
        UserError: the folder cannot be used.
    """
    try:
        _check_writable(out)
        if (out / "journal").exists():
            if head is not None:
                _check_same_run(out, head)
            return
        held = [name for name in WRITTEN if (out / name).exists()]
    except UserError:
        raise
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"out: cannot write to {out}: {said}") from None
    if held:
        raise UserError(f"out: {out} holds {held[0]} but no journal; choose another folder")


def _check_writable(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"out: {out} is not a folder")
    there = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"out: {there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"out: cannot write to {there}")


def _check_same_run(out: Path, head: Mapping[str, Any]) -> None:
    was, now = header(out / "journal"), json.loads(json.dumps(head))
    if ("searches" in was) != ("searches" in now):
        kind = "a comparison" if "searches" in was else "a single search"
        raise UserError(f"out: {out} holds {kind}; choose another folder")
    for key in [*was, *now]:
        if was.get(key) == now.get(key):
            continue
        if key == "prompts":
            raise UserError(f"out: {out} holds a run of other prompts; choose another folder")
        raise UserError(
            f"out: {out} holds a run with {key}={shown(was.get(key))}, "
            f"not {shown(now.get(key))}; choose another folder"
        )
