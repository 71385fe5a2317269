"""A scheduler as a solver that can be stopped and gone on with: what it remembers of a path.

Multistep solvers are exact on a path that was cut only with the memory they had at the cut
(earlier model outputs, orders, counters). It is taken from the scheduler's own attributes, so no
solver is known by name. Arrays of a sample's shape belong to the rows of a batch; the rest is
the same for all rows that came the same way.
"""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from noise_search.pipelines.draws import drawing
from noise_search.pipelines.guiders import SEPARATOR, guiders_of, held, put

__all__ = ["MEMORY", "Draws", "Loop", "Solver", "joined", "rows_of"]

MEMORY = "memory"
"""The part of a state that holds a solver's memory; its arrays are `memory.0`, `memory.1`, ..."""

Draws = Callable[[int], Tensor]
"""What a step draws: its first noise, its second, and so on."""

_PLACE = ("_step_index", "_begin_index")
"""Attributes that say where on the grid a scheduler stands: known without being kept."""


class Loop(NamedTuple):
    """The steps a pipeline's loop makes on its scheduler's grid.

    Attributes:
        times: the timestep of each.
        first: place of the first of them on the grid.
    """

    times: tuple[float, ...]
    first: int


class Solver:
    """A copy of a scheduler that takes single steps, with noise that is given.

    Args:
        scheduler: copied as it is; the pipeline's call, or `copied_from`, sets it up.
        guiders: what mixes the denoiser's answers before a step, and remembers of them.
    """

    def __init__(self, scheduler: Any, guiders: Mapping[str, Any] | None = None) -> None:
        self.inner: Any = copy.deepcopy(scheduler)
        self.guiders = dict(guiders or {})
        self._carried: dict[str, Any] = {}
        self._noise: Draws | None = None
        self._drawn = 0
        for name, method in drawing(self.inner, self._draw).items():
            setattr(self.inner, name, method)
        self._fresh: dict[str, Any] = {}
        self._signature = inspect.signature(self.inner.step)
        self.takes_eta = "eta" in self._signature.parameters
        self.takes_earlier = "old_pred_original_sample" in self._signature.parameters

    @classmethod
    def of(cls, pipe: Any) -> Self:
        """A pipeline's scheduler and guiders, copied."""
        return cls(pipe.scheduler, guiders_of(pipe))

    def began(self) -> None:
        """Take note of how the scheduler is at the beginning of a path."""
        # Copies of lists: schedulers change them in place.
        self._fresh = {k: list(v) if isinstance(v, list) else v for k, v in self._attributes()}

    def stand(self, place: int) -> None:
        """Stand at a place of the grid: before the step that leaves it."""
        if hasattr(self.inner, "_step_index"):
            self.inner._step_index = place

    def step(self, noise: Draws | None, *args: Any, **kwargs: Any) -> Any:
        """The scheduler's own step; what it draws is `noise`, or zeros where there is none."""
        self._noise, self._drawn = noise, 0
        try:
            return self.inner.step(*args, **kwargs)
        except IndexError:
            time, sample = kwargs.get("timestep"), kwargs.get("sample")
            if not isinstance(time, Tensor) or time.ndim or sample is None:
                raise
            # A few (Stable Cascade's) want the time of each row.
            return self.inner.step(*args, **{**kwargs, "timestep": time.expand(len(sample))})
        finally:
            self._noise = None

    def bind(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The arguments of a step by name: schedulers do not agree on the order."""
        return dict(self._signature.bind(*args, **kwargs).arguments)

    def arguments(
        self, loop: Loop, index: int, out: Tensor, x: Tensor, earlier: Tensor | None
    ) -> dict[str, Any]:
        """What a step outside of a pipeline is given; the scheduler is told of it, as it wants.

        Args:
            loop: the steps of the pipeline's loop.
            index: of the step.
            out: the model's output.
            x: what the model saw.
            earlier: the x0 of the step before, for schedulers that want it handed back.
        """
        times = self.inner.timesteps[loop.first : loop.first + len(loop.times)]
        if hasattr(self.inner, "scale_model_input"):
            self.inner.scale_model_input(x, times[index])
        given: dict[str, Any] = {"model_output": out, "timestep": times[index], "sample": x}
        if self.takes_eta:
            given["eta"] = 0.0  # how random a step is, is the search's to say
        if self.takes_earlier:
            given["old_pred_original_sample"] = earlier
            given["timestep_back"] = times[index - 1] if index else None
        return given

    def remember(self, sample: Tensor) -> dict[str, Tensor]:
        """What the scheduler remembers now that it did not at the beginning.

        Args:
            sample: of the batch; arrays of as many rows are the rows' own.

        Returns:
            `memory`, JSON as bytes, and the arrays it speaks of; nothing where nothing is kept.
        """
        arrays: list[Tensor] = []
        changed = {
            name: _told(value, sample, arrays)
            for name, value in self._attributes()
            if not _same(value, self._fresh.get(name, _ABSENT))
        }
        # What the guiders of a path remember stays with it where its scheduler steps alone.
        changed |= {name: _told(value, sample, arrays) for name, value in self._carried.items()}
        if not changed:
            return {}
        words = json.dumps(changed, sort_keys=True).encode()
        found = {MEMORY: torch.tensor(list(words), dtype=torch.uint8)}
        # Copies: a scheduler may go on to change what it holds in place.
        return found | {f"{MEMORY}.{i}": array.clone() for i, array in enumerate(arrays)}

    def recall(self, memory: Mapping[str, Tensor], device: torch.device) -> None:
        """Put a memory back, on top of how the scheduler was at the beginning."""
        if MEMORY not in memory:
            return
        arrays = [memory[f"{MEMORY}.{i}"].to(device) for i in range(len(memory) - 1)]
        told = json.loads(bytes(memory[MEMORY].tolist()))
        for name, value in told.items():
            found = _read(value, arrays, device)
            if SEPARATOR not in name:
                setattr(self.inner, name, found)
            elif self.guiders:
                put(self.guiders, name, found)
            else:
                self._carried[name] = found

    def _attributes(self) -> Iterable[tuple[str, Any]]:
        inner = vars(self.inner)
        known = (*_PLACE, "_internal_dict")
        return (*((k, v) for k, v in inner.items() if k not in known), *held(self.guiders))

    def _draw(self, shape: Sequence[int], *_: Any, dtype: Any = None, **others: Any) -> Tensor:
        nth, whole, device = self._drawn, tuple(shape), others.get("device")
        self._drawn += 1
        if self._noise is None:
            return torch.zeros(whole, device=device, dtype=dtype)
        return self._noise(nth).reshape(whole).to(device=device, dtype=dtype)


class _Absent:
    """Stands for an attribute that was not there."""


_ABSENT = _Absent()


def _same(value: Any, other: Any) -> bool:
    if value is other:
        return True
    if isinstance(value, Tensor) and isinstance(other, Tensor):
        return value.shape == other.shape and torch.equal(value, other)
    if isinstance(value, (Tensor, np.ndarray)) or isinstance(other, (Tensor, np.ndarray)):
        return False
    if isinstance(value, (list, tuple)) and isinstance(other, (list, tuple)):
        pairs = zip(value, other, strict=False)
        return len(value) == len(other) and all(_same(a, b) for a, b in pairs)
    return bool(type(value) is type(other) and value == other)


def _told(value: Any, sample: Tensor, arrays: list[Tensor]) -> Any:
    """A value as JSON; arrays of the batch are put aside."""
    if isinstance(value, Tensor):
        if value.ndim == sample.ndim and value.shape[0] == sample.shape[0]:
            arrays.append(value)
            return {"array": len(arrays) - 1}
        kind = str(value.dtype).removeprefix("torch.")
        return {"tensor": value.tolist(), "dtype": kind, "on": value.device.type != "cpu"}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return {"list": [_told(part, sample, arrays) for part in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"cannot keep a {type(value).__name__} of a scheduler between two stages")


def _read(value: Any, arrays: Sequence[Tensor], device: torch.device) -> Any:
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    if "list" in value:
        return [_read(part, arrays, device) for part in value["list"]]
    place = device if value["on"] else torch.device("cpu")
    return torch.tensor(value["tensor"], dtype=getattr(torch, value["dtype"]), device=place)


def rows_of(batch: Tensor, count: int) -> list[Tensor]:
    """The rows of a batch; where the loop holds copies of each (as for guidance), all of them.

    Returns:
        `count` arrays of a sample's shape, or of (copies, *shape).
    """
    copies = len(batch) // count
    return [batch[i] if copies == 1 else batch[i::count] for i in range(count)]


def joined(rows: Sequence[Tensor], copies: int) -> Tensor:
    """The batch of rows, the inverse of `rows_of`."""
    batch = torch.stack(list(rows))
    return batch if copies == 1 else batch.transpose(0, 1).flatten(0, 1)
