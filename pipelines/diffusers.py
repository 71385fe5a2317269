"""Any diffusers pipeline, driven from outside over a part of its path.

No fork and no adapter for a model: a scheduler and a denoiser stand in for the time of a call.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noise_search.budget import Cost
from noise_search.errors import UserError
from noise_search.health import image_problem
from noise_search.noise import Book, Tensors
from noise_search.pipelines.embeddings import Embeddings
from noise_search.pipelines.fingerprint import fingerprint
from noise_search.pipelines.schedules import Grid, check_scheduler, new_grid
from noise_search.pipelines.stages import Row, Staged, Stretch, Walk, Walked
from noise_search.pipelines.standins import Denoiser, Halt, Scheduler, Slice, in_place
from noise_search.pipelines.states import Framework, State, States
from noise_search.problem import Prompt
from noise_search.samplers.path import Level

__all__ = ["DiffusersPipeline"]

_OURS = frozenset(
    {
        "callback_on_step_end",
        "eta",
        "generator",
        "latents",
        "negative_prompt",
        "num_images_per_prompt",
        "num_inference_steps",
        "output_type",
        "prompt",
        "return_dict",
        "sigmas",
        "timesteps",
    }
)
_GUIDANCE = ("guidance_scale", "true_cfg_scale")
T = TypeVar("T")
_NOISE_BYTES = 256 << 20


class DiffusersPipeline(Staged[Tensor]):
    """A loaded `DiffusionPipeline` behind the protocol of this package.

    Whole paths are bit-equal to plain calls of the pipeline at the same width with the same
    noise; a path cut anywhere, and continued, is bit-equal to the whole.

    Args:
        pipe: the pipeline; its scheduler a DDIMScheduler or FlowMatchEulerDiscreteScheduler.
        book: the recipes of the run.
        width: rows of every batch.
        arguments: further keywords of the pipeline's call, for instance guidance_scale.
        eta: how random a step is; see `ddim_step`.
        states: where latents are kept.
        fast: do not pad short batches.

    Raises:
        UserError: the scheduler or an argument is not supported.
    """

    framework: ClassVar[Framework] = "torch"

    def __init__(
        self,
        pipe: Any,
        book: Book,
        *,
        width: int = 8,
        arguments: Mapping[str, Any] | None = None,
        eta: float = 0.0,
        states: States | None = None,
        fast: bool = False,
    ) -> None:
        self.pipe = pipe
        self.arguments = dict(arguments or {})
        check_scheduler(pipe.scheduler)
        parameters = inspect.signature(type(pipe).__call__).parameters
        _check_arguments(type(pipe).__name__, self.arguments, parameters)
        self._names = ("transformer",) if getattr(pipe, "transformer", None) else ("unet",)
        super().__init__(
            book,
            states,
            width=width,
            eta=eta,
            guided=any(_scale(name, self.arguments, parameters) > 1.0 for name in _GUIDANCE),
            decoder=getattr(pipe, "vae", None) is not None,
            fast=fast,
        )
        self.most_steps = int(pipe.scheduler.config.num_train_timesteps)
        # Two rows at least tell what an answer holds for each prompt from what it holds once.
        self._embeddings = Embeddings(2 if fast else width)
        self._blanks: dict[int, Any] = {}
        self._grids: dict[int, Grid] = {}
        self._made: Tensors[Tensor] | None = None
        self._shape: tuple[int, ...] = ()
        self._dtype = torch.float32

    @property
    def tensors(self) -> Tensors[Tensor]:
        """Arrays of one latent's shape, in double precision on the CPU."""
        if self._made is None:
            raise RuntimeError("the shape of the noise is not known yet")
        return self._made

    def describe(self) -> dict[str, object]:
        """What decides the results, for the run's record."""
        denoiser = getattr(self.pipe, self._names[0])
        return {
            "class": type(self.pipe).__name__,
            "scheduler": type(self.pipe.scheduler).__name__,
            "weights": self._weights,
            "dtype": str(denoiser.dtype).removeprefix("torch."),
            "device": str(denoiser.device),
            "threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
            "width": self.width,
            "fast": self.fast,
            "eta": self.eta,
            "arguments": {key: str(value) for key, value in sorted(self.arguments.items())},
        }

    @cached_property
    def _weights(self) -> str:
        modules = sorted(self.pipe.components.items())
        parts = [(n, m) for n, m in modules if isinstance(m, torch.nn.Module)]
        tensors = {f"{n}.{k}": t for n, m in parts for k, t in m.state_dict().items()}
        return fingerprint(tensors)

    @cached_property
    def _encode(self) -> dict[str, Any]:
        encode = getattr(self.pipe, "encode_prompt", None)
        return {} if encode is None else {"encode_prompt": self._embeddings.remembering(encode)}

    def _draw(self, seed: int) -> Tensor:
        generator = torch.Generator("cpu").manual_seed(seed)
        return torch.randn(self._shape, generator=generator, dtype=torch.float32).double()

    def _levels(self, steps: int) -> Sequence[Level]:
        return self._grids[steps].levels()

    def _wide(self, x: Tensor) -> Tensor:
        return x.double()

    def _leave(self, state: State, stage: int, steps: int, noise: Tensor) -> Tensor:
        out = state["out"][None].to(self._device)
        given = noise[None].to(self._device, out.dtype)
        x = state["x"][None].to(self._device)
        return self._grids[steps].step(stage, out, x, self.eta, given)[0][0].cpu()

    @property
    def _device(self) -> torch.device:
        return torch.device(self.pipe._execution_device)

    def _prepare(self, steps: int, prompt: Prompt) -> None:
        """Learn a schedule and the latents' shape from a call halted at its first evaluation."""
        if steps in self._grids:
            return
        name = type(self.pipe).__name__
        prepare = getattr(self.pipe, "prepare_latents", None)
        if prepare is None:
            raise UserError(f"{name} has no prepare_latents and is not supported")
        drawn: list[Tensor] = []

        def prepare_latents(*args: Any, **kwargs: Any) -> Any:
            found = prepare(*args, **kwargs)
            drawn.append(found[0] if isinstance(found, tuple) else found)
            return found

        grid = new_grid(self.pipe.scheduler)
        part = Slice(grid, steps, begin=0, until=0, end=0, shown=False, x=torch.empty(0))
        extra = {"generator": torch.Generator("cpu").manual_seed(0)}
        try:
            with (
                self._driven(part, walk=False),
                in_place(self.pipe, prepare_latents=prepare_latents),
            ):
                self._call(part, [prompt], extra)
        except (TypeError, ValueError) as error:
            raise UserError(f"{name}: {error}") from error
        if not drawn:
            raise UserError(f"{name} does not call its prepare_latents and is not supported")
        self._learn(drawn[0])
        self._grids[steps] = grid

    def _learn(self, latents: Tensor) -> None:
        self._shape, self._dtype = tuple(latents.shape[1:]), latents.dtype
        if self._made is None:
            keep = max(8, _NOISE_BYTES // (8 * max(1, latents[0].numel())))
            self._made = Tensors(self.book, self._draw, keep=keep)

    @contextmanager
    def _driven(self, part: Slice, walk: bool = True, **others: object) -> Iterator[None]:
        """Put the stand-ins in place for one call."""
        name = self._names[0]
        inner = getattr(self.pipe, name)
        stand_ins: dict[str, object] = {
            "scheduler": Scheduler(part),
            name: Denoiser(inner, part if walk else None, self._blanks),
            "_progress_bar_config": {"disable": True},
            **self._encode,
            **others,
        }
        with in_place(self.pipe, **stand_ins):
            yield

    def _pictures(self, part: Slice, prompts: Sequence[Prompt]) -> NDArray[Any] | None:
        """Call the pipeline over a slice; its pictures, unless halted.

        Nobody looks at answers outside of the slice, so their shape is guessed until one is
        known. Where the pipeline cannot work with the guess, the denoiser is asked.
        """
        try:
            with self._driven(part):
                return self._call(part, prompts, {"latents": part.x})
        except Exception:
            if not part.guessed or part.rows:
                raise
        part.guessing = False
        with self._driven(part):
            return self._call(part, prompts, {"latents": part.x})

    def _call(
        self, part: Slice, prompts: Sequence[Prompt], extra: Mapping[str, Any]
    ) -> NDArray[Any] | None:
        """Call the pipeline; its pictures, (rows, height, width, 3) in [0, 1], unless halted."""
        given = {
            **self.arguments,
            **extra,
            "prompt": [prompt.text for prompt in prompts],
            "num_inference_steps": part.steps,
            "output_type": "np",
            "return_dict": False,
        }
        if prompts[0].negative is not None:
            given["negative_prompt"] = [prompt.negative for prompt in prompts]
        try:
            # What is not finite fails by its own row's check.
            with np.errstate(all="ignore"):
                return np.asarray(self.pipe(**given)[0])
        except Halt:
            self.pipe.maybe_free_model_hooks()
            return None

    def _walk(self, rows: Sequence[Row[Tensor]], stretch: Stretch) -> Walk:
        x = self._batch([row.x for row in rows])
        part = Slice(
            self._grids[stretch.steps],
            stretch.steps,
            begin=stretch.begin,
            until=stretch.until,
            end=stretch.end,
            shown=stretch.shown,
            x=x,
            eta=self.eta,
            noise=lambda s: self._batch([self.tensors.tensor(r.noise.name, s) for r in rows]),
        )
        pictures = self._pictures(part, self._padded([row.prompt for row in rows]))
        # A padding row has no line in the ledger.
        each = Cost(
            stretch.evaluations, part.rows // len(x), decodes=int(stretch.shown and self.decoder)
        )
        results = self._results(part, pictures, len(rows), stretch)
        return Walk(results, each, _beside(part, len(x)))

    def _results(
        self, part: Slice, pictures: NDArray[Any] | None, count: int, stretch: Stretch
    ) -> list[Walked]:
        """Each row's state, pixels and what is broken in it."""
        checked = [*part.kept.values(), *([part.seen] if pictures is not None else [])]
        sound = torch.stack([t.isfinite().flatten(1).all(1) for t in checked]).all(0).tolist()
        kept = {name: t.detach().cpu() for name, t in part.kept.items()}
        found: list[Walked] = []
        for i in range(count):
            # Copies, so that a batch is not held by one of its rows.
            state = {name: t[i].clone() for name, t in kept.items()}
            problem = None if sound[i] else "latents are not finite"
            pixels = None
            if pictures is not None:
                problem = problem or image_problem(pictures[i], stretch.finishes)
                pixels = None if problem else _bytes(pictures[i])
            found.append(Walked(state, pixels, problem))
        return found

    def _padded(self, items: Sequence[T]) -> list[T]:
        short = 0 if self.fast else self.width - len(items)
        return [*items, *[items[-1]] * short]

    def _batch(self, rows: Sequence[Tensor]) -> Tensor:
        """A padded batch of latents, on the device and in the precision of the pipeline."""
        return torch.stack([row.to(self._dtype) for row in self._padded(rows)]).to(self._device)

    def _picture(self, x: Tensor, prompt: Prompt, steps: int) -> tuple[NDArray[np.uint8], Cost]:
        self._prepare(steps, prompt)
        batch, grid = self._batch([x]), self._grids[steps]
        part = Slice(grid, steps, begin=steps, until=steps, end=steps, shown=True, x=batch)
        pictures = self._pictures(part, self._padded([prompt]))
        if pictures is None:
            raise RuntimeError("the pipeline has returned no picture")
        return _bytes(pictures[0]), _beside(part, len(batch)) + Cost(decodes=int(self.decoder))


def _beside(part: Slice, rows: int) -> Cost:
    """What was spent to learn what the denoiser's answers look like."""
    return Cost(rows if part.beside else 0, part.beside)


def _scale(name: str, given: Mapping[str, Any], parameters: Mapping[str, Any]) -> float:
    """A strength of guidance as a call will have it, 0 where there is none."""
    usual = parameters[name].default if name in parameters else 0.0
    value = given.get(name, usual)
    return float(value) if isinstance(value, (int, float)) else 0.0


def _bytes(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """[0, 1] to 8 bits, as diffusers makes its PIL pictures."""
    return (picture * 255).round().astype(np.uint8)


def _check_arguments(name: str, given: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    for key in given:
        if key in _OURS:
            raise UserError(f"{name}: argument {key!r} belongs to the search; leave it out")
        if key not in parameters:
            raise UserError(f"{name}: unknown argument {key!r}")
