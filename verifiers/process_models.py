"""Three conventions of process reward models: what they are given, and where their scores stand.

Each gives the log-odds that a solution is on the right way after each of its steps.  A softmax over
two classes is the sigmoid of the difference of their logits, so the three differ no further.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification, Qwen2Model
from transformers.models.qwen2.modeling_qwen2 import Qwen2PreTrainedModel

from noise_search.errors import UserError
from noise_search.text import DATE, timeless
from noise_search.verifiers.weights import quietly

__all__ = [
    "Convention",
    "Encoded",
    "ProcessHead",
    "Qwen2ProcessReward",
    "StepTag",
    "TokenClassification",
    "quietly",
]


class Encoded(NamedTuple):
    """What a model reads: token ids, and at which of them the score of each step stands.

    ``begin`` is the first token of the solution, where the convention tells it.
    """

    tokens: tuple[int, ...]
    ends: tuple[int, ...]
    begin: int = 0


def _timeless(tokenizer: Any) -> dict[str, Any]:
    """How a chat is spelled, whatever the day."""
    template = timeless(tokenizer.get_chat_template())
    return {"tokenize": False, "chat_template": template, "date_string": DATE}


class Convention(Protocol):
    """A model of one convention with its tokenizer.

    Attributes:
        name: as ``process_reward.json`` names it.
        step: at which token a step is scored.
        model: transformers' model, float32.
        tokenizer: the model's own.
    """

    name: ClassVar[str]
    step: ClassVar[str]
    model: Any
    tokenizer: Any

    def __init__(self, model: Any, tokenizer: Any) -> None: ...

    @staticmethod
    def network() -> Any:
        """The class whose ``from_pretrained`` loads the model."""
        ...

    @property
    def longest(self) -> int | None:
        """Tokens that the model can read, or None where it says nothing of a limit."""
        ...

    def encode(self, question: str, steps: Sequence[str]) -> Encoded:
        """A question and the words of each step of a solution, separators included.

        Raises:
            ValueError: the steps cannot be told apart.
        """
        ...

    def log_odds(self, encoded: Encoded) -> list[float]:
        """The log-odds that each step is good, in order."""
        ...


class _Model:
    """What the conventions share."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer

    @property
    def longest(self) -> int | None:
        """Positions that the model has."""
        longest: int | None = getattr(self.model.config, "max_position_embeddings", None)
        return longest

    def _logits(self, encoded: Encoded) -> Tensor:
        """The logits (S, C) at the ends of the S steps, float64."""
        with torch.inference_mode():
            logits: Tensor = self.model(input_ids=torch.tensor([encoded.tokens])).logits
            return logits[0, list(encoded.ends)].double()

    def _marked(self, text: str, mark: int, steps: int) -> Encoded:
        """A text in which the token ``mark`` stands after each step, and nowhere else."""
        tokens = tuple(self.tokenizer(text)["input_ids"])
        ends = tuple(i for i, token in enumerate(tokens) if token == mark)
        if len(ends) != steps:
            said = self.tokenizer.decode([mark])
            raise ValueError(f"{said!r} marks the end of a step and stands in the text itself")
        return Encoded(tokens, ends)


class TokenClassification(_Model):
    """One logit a token, read at the last token of each step.

    The model reads the question, a newline and the solution as they are.  Where its tokenizer has
    a chat template, the question is the user's turn and the solution begins the assistant's.

    Raises:
        UserError: the model has not one label, or the tokenizer cannot say where a token stands.
    """

    name: ClassVar[str] = "token-classification"
    step: ClassVar[str] = "last token"

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        if model.config.num_labels != 1:
            raise UserError(f"expected a model of 1 label, not of {model.config.num_labels}")
        if not tokenizer.is_fast:
            raise UserError("expected a tokenizer that knows the place of a token (a fast one)")

    @staticmethod
    def network() -> Any:
        """Any backbone with a head for token classification."""
        return AutoModelForTokenClassification

    def encode(self, question: str, steps: Sequence[str]) -> Encoded:
        """The score of a step stands at the last token that begins within it."""
        chat = self.tokenizer.chat_template is not None
        before = f"{question}\n"
        if chat:
            turn = [{"role": "user", "content": question}]
            before = self.tokenizer.apply_chat_template(
                turn, add_generation_prompt=True, **_timeless(self.tokenizer)
            )
        found = self.tokenizer(
            before + "".join(steps), add_special_tokens=not chat, return_offsets_mapping=True
        )
        # Tokens of no letters are special ones that the tokenizer put in.
        places = [
            (begin, i) for i, (begin, end) in enumerate(found["offset_mapping"]) if begin < end
        ]
        begins = [begin for begin, _ in places]
        borders = accumulate((len(words) for words in steps), initial=len(before))
        last = [bisect_left(begins, border) - 1 for border in list(borders)[1:]]
        ends = tuple(places[i][1] for i in last)
        first = min(bisect_left(begins, len(before)), len(places) - 1)
        return Encoded(tuple(found["input_ids"]), ends, places[first][1])

    def log_odds(self, encoded: Encoded) -> list[float]:
        """The logits themselves."""
        odds: list[float] = self._logits(encoded)[:, 0].tolist()
        return odds


class StepTag(_Model):
    """A language model that says "+" or "-" after the tag that follows each step.

    Math-Shepherd (Wang et al. 2024, arXiv:2312.08935), as its published model is used: the
    question, a space, and the steps, each followed by a space and the tag, on lines of their own.

    Raises:
        UserError: the vocabulary has no such tokens.
    """

    name: ClassVar[str] = "step-tag"
    step: ClassVar[str] = "ки"

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        signs = tokenizer.encode("+ -", add_special_tokens=False)
        tag = tokenizer.encode(self.step, add_special_tokens=False)[-1:]
        if len(signs) != 2 or not tag or tokenizer.unk_token_id in {*signs, *tag}:
            raise UserError(f"expected '+', '-' and {self.step!r} in the vocabulary")
        self._good, self._bad = signs
        [self._tag] = tag

    @staticmethod
    def network() -> Any:
        """Any causal language model."""
        return AutoModelForCausalLM

    def encode(self, question: str, steps: Sequence[str]) -> Encoded:
        """The score of a step stands at its tag."""
        tagged = "\n".join(f"{words.strip()} {self.step}" for words in steps)
        return self._marked(f"{question} {tagged}", self._tag, len(steps))

    def log_odds(self, encoded: Encoded) -> list[float]:
        """Of "+" against "-", whatever else the model might say."""
        logits = self._logits(encoded)
        odds: list[float] = (logits[:, self._good] - logits[:, self._bad]).tolist()
        return odds


class Qwen2ProcessReward(Qwen2PreTrainedModel):
    """Qwen2 with the two-class head of Qwen2.5-Math-PRM, under its published names.

    Zhang et al. 2025 (arXiv:2501.07301).  The published folder brings code of its own, which is
    not needed and never run.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.model = Qwen2Model(config)
        self.score = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))
        self.post_init()

    def forward(self, input_ids: Tensor) -> _Logits:
        """Logits (B, L, 2) of a bad and of a good step at tokens (B, L)."""
        hidden = self.model(input_ids=input_ids).last_hidden_state
        return _Logits(self.score(hidden))


class _Logits(NamedTuple):
    logits: Tensor


class ProcessHead(_Model):
    """Qwen2.5-Math-PRM: two classes, read at the token that follows each step.

    As the published model is used: a conversation of the system line, the question and the
    solution, in which each step is followed by the token.

    Raises:
        UserError: the tokenizer lacks the token or a chat template.
    """

    name: ClassVar[str] = "process-head"
    step: ClassVar[str] = "<extra_0>"

    _SYSTEM = r"Please reason step by step, and put your final answer within \boxed{}."

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        if self.step not in tokenizer.get_vocab():
            raise UserError(f"expected {self.step!r} in the vocabulary")
        if tokenizer.chat_template is None:
            raise UserError("expected a tokenizer with a chat template")
        self._mark: int = tokenizer.convert_tokens_to_ids(self.step)

    @staticmethod
    def network() -> Any:
        """Qwen2 with its head."""
        return Qwen2ProcessReward

    def encode(self, question: str, steps: Sequence[str]) -> Encoded:
        """The score of a step stands at the token after it."""
        turns = [
            {"role": "system", "content": self._SYSTEM},
            {"role": "user", "content": question},
            {"role": "assistant", "content": "".join(w.strip() + self.step for w in steps)},
        ]
        text = self.tokenizer.apply_chat_template(turns, **_timeless(self.tokenizer))
        return self._marked(text, self._mark, len(steps))

    def log_odds(self, encoded: Encoded) -> list[float]:
        """Of the second class against the first."""
        logits = self._logits(encoded)
        odds: list[float] = (logits[:, 1] - logits[:, 0]).tolist()
        return odds
