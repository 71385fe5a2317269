"""The tokenizer of the arithmetic model and the prompts it is given.

One token a sign with the spaces around it, and one a group of one or two digits.  The digits of a
number are grouped from the right (``123`` is ``1`` and ``23``), so that a group always stands for
the same power of 100.  Decoding is exact: it joins the tokens as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from noise_search.pipelines.arithmetic.problems import parse

__all__ = ["MOST_ATTEMPTS", "RETRY", "new_tokenizer", "prompt_text", "vocabulary"]

PAD, BOS, EOS, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"

RETRY = "<retry>"
"""Stands after each earlier attempt in a revision prompt.  A token of the language, not special."""

MOST_ATTEMPTS = 4
"""Earlier attempts that a revision prompt may show."""

_LONGEST = 512


def vocabulary() -> list[str]:
    """Every token; the index is its id."""
    signs = [form for sign in "+-*=" for form in (f" {sign} ", sign)]
    groups = [str(n) for n in range(10)] + [f"{n:02}" for n in range(100)]
    return [PAD, BOS, EOS, UNKNOWN, RETRY, "\n", "answer ", "answer", " ", *signs, *groups]


def new_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer, made from nothing.

    Encoding puts ``<s>`` in front unless ``add_special_tokens=False``.  A character outside the
    language becomes ``<unk>``.
    """
    ids = {token: number for number, token in enumerate(vocabulary())}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    pieces = rf"\d{{1,2}}(?=(?:\d\d)*(?!\d))| [-+*=] |[-+*=]|\n|answer ?|{RETRY}| "
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pieces), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, ids[BOS])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNKNOWN,
        padding_side="left",
        model_max_length=_LONGEST,
        clean_up_tokenization_spaces=False,
    )


def prompt_text(question: str, attempts: Sequence[str] = ()) -> str:
    r"""The text after which the model writes a solution and ``</s>``.

    The question and a newline; then for each of the latest four earlier ``attempts``, oldest
    first, its lines, a newline, :data:`RETRY` and a newline.  The question is respelled with
    one space around each operator.

    >>> prompt_text("3+4*2", ["4 * 2 = 6\n3 + 6 = 9\nanswer 9"])
    '3 + 4 * 2\n4 * 2 = 6\n3 + 6 = 9\nanswer 9\n<retry>\n'

    Raises:
        ValueError: if ``question`` is not an expression.
    """
    shown = [f"{attempt.strip()}\n{RETRY}\n" for attempt in attempts[-MOST_ATTEMPTS:]]
    return f"{parse(question)}\n" + "".join(shown)
