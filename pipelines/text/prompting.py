"""What a language model is given to read: the question, and earlier attempts in a revision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.text import DATE, timeless

__all__ = ["AGAIN", "Chat", "Plain", "Prompting"]

AGAIN = "There may be a mistake in this. Find it, and solve the problem again from the beginning."
"""What asks for a revision, where the model was not trained on a form of its own."""


class Prompting(Protocol):
    """Makes the tokens that a text begins after."""

    def __call__(self, prompt: Prompt, attempts: Sequence[str], /) -> list[int]:
        """The context of a question, after earlier attempts, oldest first."""
        ...


class Plain:
    """Lines of text: the question, then each attempt with a request to try again.

    Args:
        tokenizer: of transformers.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, prompt: Prompt, attempts: Sequence[str], /) -> list[int]:
        """The context, with the tokenizer's own beginning."""
        shown = "".join(f"{attempt.rstrip()}\n{AGAIN}\n" for attempt in attempts)
        ids: list[int] = self._tokenizer(f"{prompt.text}\n{shown}", verbose=False)["input_ids"]
        return ids


class Chat:
    """Turns of a conversation, in the model's own template.

    Args:
        tokenizer: of transformers, with a chat template.
        system: the system's line, or None.

    Raises:
        UserError: there is no template.
    """

    def __init__(self, tokenizer: Any, system: str | None = None) -> None:
        if not tokenizer.chat_template:
            raise UserError("model: its tokenizer has no chat template; chat=false does without")
        self._tokenizer = tokenizer
        self._system = system

    def __call__(self, prompt: Prompt, attempts: Sequence[str], /) -> list[int]:
        """The context, up to where the assistant begins to write."""
        turns = [] if self._system is None else [("system", self._system)]
        turns.append(("user", prompt.text))
        for attempt in attempts:
            turns += [("assistant", attempt.strip()), ("user", AGAIN)]
        messages = [{"role": role, "content": words} for role, words in turns]
        try:
            text = self._tokenizer.apply_chat_template(
                messages,
                chat_template=timeless(self._tokenizer.get_chat_template()),
                tokenize=False,
                add_generation_prompt=True,
                date_string=DATE,
            )
        except Exception as error:  # a template is a program of its own
            said = " ".join(str(error).split())[:160]
            raise UserError(f"model: its chat template refuses this conversation: {said}") from None
        ids: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids
