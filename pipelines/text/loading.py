"""From a spec to a language model: the built-in `arithmetic`, or any other as `hf:MODEL`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.pipelines.loading import Options
from noise_search.pipelines.text.steps import parse_rule
from noise_search.problem import Pipeline
from noise_search.specs import Spec

__all__ = ["arithmetic", "check_questions", "hf", "loaded", "wrap"]

ARITHMETIC = Path(__file__).resolve().parent.parent / "arithmetic" / "model"
"""Where the weights of the built-in model lie in the package."""


def arithmetic(spec: Spec, options: Options, /) -> Pipeline:
    """The built-in language model of chained arithmetic, solved step by step.

    Args:
        spec: as written.
        options: the run's.
    """
    if spec.target is not None or spec.items:
        raise UserError(f"model {spec}: arithmetic has no variants")
    if options.text.system is not None:
        raise UserError("system: arithmetic is no chat model; it has no system line")
    from noise_search.pipelines.arithmetic.tokens import prompt_text

    model, tokenizer = _load(ARITHMETIC, spec, options)

    def prompting(prompt: Prompt, attempts: Sequence[str], /) -> list[int]:
        ids: list[int] = tokenizer(prompt_text(prompt.text, attempts), verbose=False)["input_ids"]
        return ids

    return _pipeline(model, tokenizer, prompting, options, str(spec))


def hf(spec: Spec, options: Options, /, chat: bool | None = None) -> Pipeline:
    """A causal language model of transformers: `hf:./folder`, or `hf:NAME` from the local cache.

    Args:
        spec: as written.
        options: the run's.
        chat: whether the question is put as a turn of a chat; where there is a template, by
            default.
    """
    if spec.target is None or spec.part is not None or spec.items:
        raise UserError(f"model {spec}: name a folder or a model in the cache, hf:./folder")
    model, tokenizer = _load(spec.target, spec, options)
    return wrap(model, tokenizer, options, chat=chat, name=str(spec))


def loaded(pipe: Any) -> tuple[Any, Any] | None:
    """Model and tokenizer of what a user holds, or None if that is no language model.

    It is a pair of both, or a text-generation pipeline of transformers.
    """
    if isinstance(pipe, tuple) and len(pipe) == 2:
        model, tokenizer = pipe
    elif getattr(pipe, "task", None) == "text-generation":
        model, tokenizer = pipe.model, pipe.tokenizer
    else:
        return None
    known = hasattr(model, "generation_config") and hasattr(tokenizer, "chat_template")
    return (model, tokenizer) if known else None


def wrap(
    model: Any, tokenizer: Any, options: Options, *, chat: bool | None = None, name: str = ""
) -> Pipeline:
    """A loaded causal language model, where it is and in its own precision, as a pipeline.

    Args:
        model: of transformers.
        tokenizer: its own.
        options: the run's.
        chat: see `hf`.
        name: the spec it was made from, for the record.

    Raises:
        UserError: it keeps no plain keys and values, or has no chat template where one is needed.
    """
    from noise_search.pipelines.text.prompting import Chat, Plain

    system = options.text.system
    wanted = bool(tokenizer.chat_template) if chat is None else chat
    if system is not None and not wanted:
        raise UserError("system: without a chat there is no system line")
    prompting = Chat(tokenizer, system) if wanted else Plain(tokenizer)
    return _pipeline(model, tokenizer, prompting, options, name or type(model).__name__)


def _pipeline(model: Any, tokenizer: Any, prompting: Any, options: Options, name: str) -> Pipeline:
    import torch

    from noise_search.pipelines.fingerprint import fingerprint
    from noise_search.pipelines.text.decoder import Decoder
    from noise_search.pipelines.text.pipeline import Style, TextPipeline
    from noise_search.pipelines.text.steps import splitter
    from noise_search.pipelines.text.writing import Limits

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    writing = options.text
    limits = Limits(
        splitter(parse_rule(writing.split), tokenizer),
        _stops(model, tokenizer),
        writing.step_tokens,
    )
    facts: Mapping[str, object] = {
        "class": type(model).__name__,
        "model": name,
        "weights": fingerprint(model.state_dict()),
        "prompting": type(prompting).__name__,
        "split": writing.split,
        "max_tokens": writing.max_tokens,
        "step_tokens": writing.step_tokens,
        "answers": writing.answers,
    }
    decoder = Decoder(
        model,
        width=options.width,
        temperature=writing.temperature,
        top_p=writing.top_p,
        fast=options.fast,
    )
    style = Style(prompting, limits, writing.max_tokens, writing.answers, facts)
    return TextPipeline(decoder, tokenizer, style, options.book)


def _stops(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens by which a model ends its texts."""
    said = getattr(model.generation_config, "eos_token_id", None)
    several = said if isinstance(said, list) else [said]
    return frozenset(i for i in [*several, tokenizer.eos_token_id] if i is not None)


def _load(source: str | Path, spec: Spec, options: Options) -> tuple[Any, Any]:
    """Model and tokenizer from a folder or the local cache; nothing is downloaded.

    Raises:
        UserError: they are not there, or not of a causal language model.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from noise_search.pipelines.loading import quietly

    place = str(Path(source).expanduser()) if str(source)[0] in "./~" else str(source)
    known: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        with quietly(), _unsaid():
            tokenizer = AutoTokenizer.from_pretrained(place, **known)
            model, info = AutoModelForCausalLM.from_pretrained(
                place,
                dtype=getattr(torch, options.dtype),
                use_safetensors=True,
                output_loading_info=True,
                **known,
            )
        if missing := sorted(info["missing_keys"]):
            raise ValueError(f"its weights lack {missing[0]}")  # they would be random numbers
    except Exception as error:  # a folder can be wrong in any way
        said = " ".join(str(error).split())[:160]
        raise UserError(f"model {spec}: cannot be loaded without downloading: {said}") from None
    return model.eval().to(options.device), tokenizer


@contextmanager
def _unsaid() -> Iterator[None]:
    """No reports of transformers while loading: what is wrong is told in one line."""
    from transformers.utils import logging

    told = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(told)


def check_questions(prompts: Sequence[Prompt]) -> None:
    """Refuse questions that the built-in model cannot read; nothing is loaded.

    Raises:
        UserError: a prompt is no arithmetic expression.
    """
    from noise_search.pipelines.arithmetic.problems import value

    for prompt in prompts:
        try:
            value(prompt.text)
        except ValueError as error:
            raise UserError(
                f"prompt {prompt.text[:60]!r}: {error}; --model takes another model"
            ) from None
