"""The verifier ``iqa:METRIC``: how good a picture looks by itself, by any metric of pyiqa.

Metrics that look at one picture alone (no-reference).  Where less is better, the score is the
metric with the other sign.  pyiqa is an extra, and its licence allows no commercial use.  It would
fetch weights and read them with code inside; here it may do neither.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from noise_search.errors import UserError, nearest, out_of_memory
from noise_search.problem import Verifier
from noise_search.specs import Spec
from noise_search.verifiers.batches import Batches
from noise_search.verifiers.card import Card
from noise_search.verifiers.models import Device, Models, Place, Width
from noise_search.verifiers.offline import NotFetched, unconnected
from noise_search.verifiers.pictures import Answer, Pictures, Pixels

__all__ = ["Metric", "fetch", "iqa"]

_INSTEAD: Mapping[str, str] = {
    "clipscore": "it needs the prompt; write clip(clipscore=true)",
    "fid": "it judges a whole set; noise-search score 'fid(...)' does",
    "inception_score": "it judges a whole set; noise-search score 'is(...)' does",
    "compare2score": "its weights bring code of their own, which is not run",
    "qalign": "its weights bring code of their own, which is not run",
}
"""Metrics that do not fit, by the beginning of their names or all of it, and what to do."""
_SETS = ("fid_dinov2", "sfid")


def iqa(spec: Spec, models: Models, /, device: Device = None, batch: Width = 8) -> Verifier:
    """A metric of pyiqa that needs no reference, higher is better: `iqa:musiq`, `iqa:niqe`.

    Args:
        spec: as written.
        models: of the run.
        device: where it is computed.
        batch: pictures of one size a call, always.
    """
    name = _checked(spec)
    place = models.place(device, "float32", batch, spec)
    try:
        metric = models.get(("iqa", name, place), lambda: Metric(name, place))
    except NotFetched:
        raise UserError(
            f"verifier {spec}: its weights are not on the disk; noise-search prefetch '{spec}' "
            "fetches them"
        ) from None
    except UserError as error:
        raise UserError(f"verifier {spec}: {error}") from None
    low, high = metric.bounds
    card = Card(
        version=metric.version,
        low=low,
        high=high,
        needs=frozenset({"pixels"}),
        licence="PolyForm-Noncommercial-1.0.0 (pyiqa); weights have licences of their own",
        source="pyiqa",
        costly=True,
    )
    return Pictures(metric.answers, str(spec), card)


def fetch(spec: Spec) -> None:
    """Let pyiqa fetch what a metric needs, for ``noise-search prefetch``.

    Raises:
        UserError: there is no such metric, or its weights cannot be had.
    """
    name = _checked(spec)
    try:
        with _weights_alone(), redirect_stdout(io.StringIO()):
            _created(name, "cpu")
    except Exception as error:  # whatever its many sources raise
        said = " ".join(str(error).split())[:160]
        raise UserError(f"prefetch: {spec} cannot be fetched: {said}") from None


def _checked(spec: Spec) -> str:
    """The name of a metric that judges single pictures.

    Raises:
        UserError: there is none, or pyiqa is not installed.
    """
    if spec.target is None or spec.part is not None or spec.items:
        raise UserError(f"verifier {spec}: write iqa:METRIC, as in iqa:niqe")
    if find_spec("pyiqa") is None:
        raise UserError(f"verifier {spec}: needs pyiqa; pip install 'noise-search[iqa]'")
    known = _metrics()
    name = spec.target
    key = "fid" if name in _SETS else next((k for k in _INSTEAD if name.split("_")[0] == k), name)
    if key in _INSTEAD and name in known:
        raise UserError(f"verifier {spec}: {_INSTEAD[key]}")
    alone = [n for n, mode in known.items() if mode == "NR" and n not in (*_INSTEAD, *_SETS)]
    if known.get(name) == "FR":
        hint = nearest(name, alone)
        few = hint if hint.startswith("; did") else "; iqa:musiq and iqa:niqe need none"
        raise UserError(f"verifier {spec}: it compares with a reference picture{few}")
    if name not in alone:
        raise UserError(f"verifier {spec}: pyiqa has no metric {name[:60]!r}{nearest(name, alone)}")
    return name


def _metrics() -> dict[str, str]:
    """Which metrics there are, with "NR" or "FR"; nothing else of pyiqa is loaded."""
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    return {name: str(config.get("metric_mode")) for name, config in DEFAULT_CONFIGS.items()}


def _created(name: str, device: str) -> Any:
    import pyiqa

    return pyiqa.create_metric(name, device=device)


@contextmanager
def _weights_alone() -> Iterator[None]:
    """While this lasts, torch reads weights and no code, whatever it is asked."""
    key = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(key)
    os.environ[key] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[key]
        else:
            os.environ[key] = before


class Metric:
    """A loaded metric.

    Args:
        name: as pyiqa calls it.
        place: how it is run.

    Raises:
        NotFetched: its weights are not on the disk.
        UserError: it cannot be loaded.
    """

    def __init__(self, name: str, place: Place) -> None:
        from huggingface_hub.errors import LocalEntryNotFoundError

        self.name = name
        self._place = place
        try:
            # it tells of its loading on the standard output
            with unconnected(), _weights_alone(), redirect_stdout(io.StringIO()):
                self._metric = _created(name, place.device)
        except (NotFetched, LocalEntryNotFoundError) as error:
            raise NotFetched(name) from error
        except Exception as error:  # whatever a metric of others raises
            raise UserError(
                f"pyiqa cannot load it: {' '.join(str(error).split())[:200]}"
            ) from error
        self._sign = -1.0 if self._metric.lower_better else 1.0
        self._batches = Batches(self._rows, place.batch)

    @cached_property
    def version(self) -> str:
        """What decides the scores: the metric, pyiqa's version, and the weights."""
        digest = hashlib.sha256()
        for key, tensor in sorted(self._metric.net.state_dict().items()):
            digest.update(key.encode() + tensor.cpu().numpy().tobytes())
        return (
            f"iqa:{self.name} of pyiqa {version('pyiqa')} sha256:{digest.hexdigest()[:16]} "
            f"sign:{self._sign:+.0f} batch:{self._place.batch}"
        )

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """The least and the greatest score; None where pyiqa says "about"."""
        low, high = (_exact(word) for word in (self._metric.score_range or "~,~").split(","))
        if self._sign > 0:
            return low, high
        return None if high is None else -high, None if low is None else -low

    def answers(self, pictures: Sequence[Pixels], prompts: Sequence[str]) -> list[Answer]:
        """The score of each picture; a size that the metric cannot take is told in words."""
        sizes: dict[tuple[int, ...], list[int]] = {}
        for i, picture in enumerate(pictures):
            sizes.setdefault(picture.shape, []).append(i)
        found: dict[int, Answer] = {}
        for rows in sizes.values():
            found |= zip(rows, self._of_one_size([pictures[i] for i in rows]), strict=True)
        return [found[i] for i in range(len(pictures))]

    def _of_one_size(self, pictures: Sequence[Pixels]) -> Sequence[Answer]:
        try:
            with unconnected(), redirect_stdout(io.StringIO()):
                return self._batches(pictures)
        except Exception as error:  # most metrics say nothing of the least size they take
            if out_of_memory(error):
                raise
            height, width = pictures[0].shape[:2]
            return [f"{width} x {height}: {type(error).__name__}: {error}"] * len(pictures)

    def _rows(self, pictures: Sequence[Pixels]) -> list[float]:
        import numpy as np
        import torch

        values = torch.from_numpy(np.stack(list(pictures))).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            scores = self._metric(values.to(self._place.device))
        return [self._sign * value for value in scores.double().reshape(len(pictures)).tolist()]


def _exact(word: str) -> float | None:
    """A bound that pyiqa writes without "~"."""
    return None if "~" in word else float(word)
