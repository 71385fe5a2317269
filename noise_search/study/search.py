"""The Python call: search the noise of a loaded pipeline, or of a model by its spec."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, cast, overload

from noise_search.answers import Rule
from noise_search.ask import Prompt
from noise_search.candidate import Candidate
from noise_search.errors import UserError, nearest
from noise_search.moves import Plan
from noise_search.noise import Book
from noise_search.study.arguments import RENAMED, live, settled
from noise_search.study.bench import Bench, assemble, complete, options_of
from noise_search.study.folder import write_folder
from noise_search.study.generate import (
    check_prices,
    conclude,
    drive,
    jobs_of,
    run_folder,
    run_header,
)
from noise_search.study.judges import Judge, listed
from noise_search.study.prompts import Row, avoiding, name_prompts
from noise_search.study.result import Result
from noise_search.study.settings import Settings

if TYPE_CHECKING:
    from noise_search.pipelines.options import Options as Making

BESIDE = ("out", "on_candidate", "negative_prompt", "download")
"""Keywords that are neither settings nor arguments of the pipeline's call."""


class Options(TypedDict, total=False):
    """Keywords of `search`.

    Attributes:
        verifier: what guides the search; the model's own by default.
        search: spec of the search, such as "prune(at=0.25+0.5)", or a plan of your own.
        budget: of each prompt, such as "640nfe" or "640nfe+90s".
        seed: root of all random numbers.
        steps: denoising steps of a final sample; the model's own by default.
        search_steps: steps while searching; `steps` by default.
        evaluate: what judges the winners, held out of the search; one or a list.
        cache: whether scores of costly verifiers are kept in the user's cache, and found there.
        out: a folder to keep the run in; given again, an unfinished run is resumed.
        on_candidate: called with each candidate; returning False stops the search.
        download: first fetch what the model and the verifiers need, where they are specs; nothing
            is fetched without it.
        guidance_scale: classifier-free guidance; the pipeline's own by default.
        eta: noise of a DDIM transition, 0 (ODE) to 1 (DDPM).
        temperature: of a text's tokens; 0 takes the likeliest.
        top_p: tokens are drawn from the smallest set that has so much mass.
        max_tokens: of a whole text.
        step_tokens: of a reasoning step; a longer one is cut in two.
        split: where a reasoning step ends: "newline", "blank-line", "regex:...", "tokens:64".
        answers: how an answer is found: "auto", "boxed", "gsm8k", "answer", "number".
        system: the system's line of a chat.
        batch: rows of every batch; short ones are padded.
        top_k: how many winners are kept.
        dtype: of the weights, where the model is a spec.
        device: where the model runs, where it is a spec.
        threads: of this process.
        fast: leave short batches short: faster, and bits may differ from run to run.
        metadata: write recipe and scores into the PNG files.
        preview: how partial samples are shown: "half", "quarter", "taesd" or "taesd:FOLDER".
        fps: frames a second of videos; the pipeline's own by default, else 16.
        offload: what waits in the host's memory, where the model is a spec.
        trust_remote_code: whether code that lies with a model may run, where it is a spec.
        pipeline: further arguments of the pipeline's call.

    Every keyword below these is an argument of the pipeline's call too: the usual ones are listed
    for editors, and any other that the pipeline takes may be given.
    """

    verifier: Judge | None
    search: str | Plan
    budget: str
    seed: int
    steps: int | None
    search_steps: int | None
    evaluate: Judge | Sequence[Judge] | None
    cache: bool
    out: str | Path | None
    on_candidate: Callable[[Candidate], bool | None] | None
    download: bool
    guidance_scale: float | None
    eta: float
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    step_tokens: int | None
    split: str | None
    answers: Rule | None
    system: str | None
    batch: int
    top_k: int
    dtype: Literal["float32", "bfloat16", "float16"]
    device: str
    threads: int
    fast: bool
    metadata: bool
    offload: Literal["model", "sequential"] | None
    preview: str | None
    fps: float | None
    trust_remote_code: bool
    pipeline: Mapping[str, object]
    negative_prompt: str | None
    height: int
    width: int
    num_frames: int
    frame_rate: float
    image: object
    mask_image: object
    control_image: object
    ip_adapter_image: object
    strength: float
    controlnet_conditioning_scale: float | list[float]
    cross_attention_kwargs: Mapping[str, object]
    true_cfg_scale: float
    guidance_rescale: float
    max_sequence_length: int
    clip_skip: int
    class_labels: object
    callback_on_step_end: Callable[..., Any]
    callback_on_step_end_tensor_inputs: list[str]


class _Listener:
    """A watcher made of a callable."""

    def __init__(self, listen: Callable[[Candidate], bool | None] | None) -> None:
        self._listen = listen

    def begin(self, label: str, total: int | None, unit: str = "nfe") -> None:
        """Show nothing."""

    def candidate(self, candidate: Candidate) -> bool | None:
        """Ask the callable."""
        return None if self._listen is None else self._listen(candidate)

    def end(self) -> None:
        """Show nothing."""


Asked = str | Prompt
"""What is asked for: a text, or a `Prompt` that may hold a right answer, a seed, a negative."""
Several = list[str] | list[Prompt] | tuple[Asked, ...]


@overload
def search(pipe: object, prompt: Asked, **options: Unpack[Options]) -> Result: ...
@overload
def search(pipe: object, prompt: Several, **options: Unpack[Options]) -> list[Result]: ...
def search(
    pipe: object, prompt: Asked | Several, **options: Unpack[Options]
) -> Result | list[Result]:
    """Search for better noise, or a better text, under a budget.

    Args:
        pipe: a loaded `DiffusionPipeline`, a pair of language model and tokenizer, or the spec of
            a model, such as "shapes" or "arithmetic".
        prompt: a text, or a `Prompt`, gives a `Result`; a list of them a list.
        options: see `Options`.

    Raises:
        UserError: something asked for is unknown or impossible.
    """
    if options.get("download", False):
        _fetch(pipe, options)
    given, arguments = _settings(pipe, options)
    settings = complete(given, None if isinstance(pipe, str) else pipe)
    prompts = _prompts(settings.model if isinstance(pipe, str) else None, prompt, options)
    plan = options.get("search", "random")
    jobs = jobs_of(prompts, settings, None if isinstance(plan, str) else plan)
    watch, out = _Listener(options.get("on_candidate")), options.get("out")

    def bench_of(settings: Settings, book: Book, folder: Path | None) -> Bench:
        return _bench(pipe, options_of(settings, book, folder, arguments), settings, options)

    if out is not None:
        head = run_header(prompts, settings)
        results = run_folder(
            settings, Path(out), head, jobs, workers=1, watch=watch, bench_of=bench_of
        )
    else:
        bench = bench_of(settings, Book(), None)
        check_prices(bench, jobs)
        results = conclude(bench, drive(bench, jobs, watch), settings.top_k, write_folder)
    return results[0] if isinstance(prompt, str | Prompt) else results


def _fetch(pipe: object, options: Options) -> None:
    """Fetch what a run needs, where it is told by specs."""
    from noise_search.study.fetch import fetch_for

    fetch_for({"model": pipe, **{key: options.get(key) for key in ("verifier", "evaluate")}})


def _prompts(model: str | None, prompt: Asked | Several, options: Options) -> list[Prompt]:
    """Prompts with names of their own; a negative prompt is that of all that have none.

    Raises:
        UserError: the model, where it is a spec, does not take one.
    """
    from noise_search.pipelines.loading import check_prompts

    negative = options.get("negative_prompt", _own(options).get("negative_prompt"))
    rows = [
        Row(p) if isinstance(p, str) else Row(p.text, p.negative, p.seed, p.answer)
        for p in ([prompt] if isinstance(prompt, str | Prompt) else prompt)
    ]
    named = avoiding(name_prompts(rows), negative)
    if model is not None:
        check_prompts(model, named)
    return named


def _class_of(pipe: object) -> str:
    """The class of a pipeline, or of the model of a pair."""
    return type(_first(pipe)).__name__


def _first(pipe: object) -> object:
    """A pipeline itself, or the model of a pair."""
    held = pipe
    if isinstance(pipe, tuple) and pipe:
        held = cast("tuple[object, ...]", pipe)[0]
    return held


def _settings(pipe: object, options: Options) -> tuple[Settings, dict[str, Any]]:
    """The settings among the keywords, where objects go by their names; the pipeline's arguments.

    Raises:
        UserError: a keyword is neither a setting nor an argument of the pipeline.
    """
    from noise_search.pipelines.files import model_spec

    model = model_spec(pipe) if isinstance(pipe, str) else _class_of(pipe)
    own = {*Settings.model_fields, *BESIDE}
    values: dict[str, Any] = {k: v for k, v in options.items() if k in own and k not in BESIDE}
    rest = {key: value for key, value in options.items() if key not in own}
    _check_keywords(model if isinstance(pipe, str) else pipe, rest, own - {"negative_prompt"})
    given = settled({**_own(options), **rest})
    given.pop("negative_prompt", None)  # it is the prompts'
    values |= {"model": model, "pipeline": given}
    for key in ("verifier", "search"):
        if not isinstance(judge := values.get(key), str | None):
            values[key] = _name(judge)
    if values.get("evaluate") is not None:
        values["evaluate"] = ",".join(map(_name, listed(values["evaluate"]))) or "none"
    return Settings.of(values), live(given)


def _name(judge: object) -> str:
    """How a record calls a judge or a plan."""
    if isinstance(judge, str):
        return judge
    return str(getattr(judge, "name", getattr(judge, "__name__", type(judge).__name__)))


def _own(options: Options) -> Mapping[str, Any]:
    """The arguments that were given as a mapping."""
    given: object = options.get("pipeline", {})
    if not isinstance(given, Mapping):
        raise UserError(f"pipeline={str(given)[:60]}: a mapping of arguments to values is needed")
    return cast("Mapping[str, Any]", given)


def _check_keywords(model: object, keywords: Iterable[str], own: Iterable[str]) -> None:
    """Refuse keywords that the pipeline does not take and that are near one of `search` itself.

    Raises:
        UserError: there is one; also where the model takes none at all.
    """
    from noise_search.pipelines.loading import signature

    found = signature(model)
    for key in keywords:
        if key in RENAMED or key in found.parameters:
            continue
        hint = nearest(key, own)
        usual = key in Options.__annotations__
        if not usual and (hint.startswith("; did") or not (found.parameters or found.open)):
            raise UserError(f"unknown setting {key[:60]!r}{hint}")


def _bench(pipe: object, made: Making, settings: Settings, options: Options) -> Bench:
    """The bench of specs and objects."""
    from noise_search.pipelines import loading

    if isinstance(pipe, str):
        pipeline = loading.load(settings.model, made)
    else:
        pipeline = loading.wrap(pipe, replace(made, threads=None))  # the caller's process keeps its
    judges = options.get("verifier"), options.get("evaluate")
    return assemble(settings, made.book, pipeline, *judges, device=_device_of(pipe))


def _device_of(pipe: object) -> str | None:
    """Where a loaded pipeline runs, or the model of a pair; None where the settings say it."""
    held = _first(pipe)
    # what is offloaded rests elsewhere than it runs
    found = getattr(held, "_execution_device", None) or getattr(held, "device", None)
    return None if found is None else str(found)
