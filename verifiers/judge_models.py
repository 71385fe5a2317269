"""Vision-language models of transformers: any that has a chat template and takes pictures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noise_search.errors import UserError
from noise_search.text import DATE, timeless
from noise_search.verifiers.models import Models, Place
from noise_search.verifiers.pictures import Pixels
from noise_search.verifiers.weights import (
    VISION_LANGUAGE,
    Published,
    checksum,
    find_folder,
    has,
    is_path,
    naming,
    settled,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Seeing", "behind", "find_model", "likelihoods", "seeing"]


def find_model(target: str, key: str, revision: str | None, licence: str = "unknown") -> Path:
    """The folder of a model, as it was named or in the hub's cache.

    Args:
        target: a folder, or a name as on the hub.
        key: the spec that asks for it, for the error.
        revision: a branch, tag or commit of the hub's repository.
        licence: of the weights.

    Raises:
        UserError: it is not on the disk, or holds no such model.
    """
    if not is_path(target):
        return find_folder(Published(target, VISION_LANGUAGE, licence), key, revision)
    folder = Path(target).expanduser()
    if not has(folder, VISION_LANGUAGE):
        raise UserError(f"verifier {key}: no config.json and no safetensors in {str(folder)!r}")
    return folder


def seeing(models: Models, folder: Path, place: Place, key: str) -> Seeing:
    """The model of a folder, shared by all verifiers of a run that use it in the same way.

    Raises:
        UserError: it cannot be loaded; the spec `key` is named.
    """
    with naming(key):
        return models.get(("vision-language", folder, place), lambda: Seeing(folder, place))


class Seeing:
    """A loaded model with its processor.

    Args:
        folder: as `save_pretrained` writes it; weights are read as safetensors alone.
        place: how it is run.

    Raises:
        UserError: it is no model that takes pictures and text.
    """

    def __init__(self, folder: Path, place: Place) -> None:
        import transformers

        from noise_search.verifiers.process_models import quietly

        library: Any = transformers
        known = {"local_files_only": True, "trust_remote_code": False}
        try:
            with quietly():
                self.processor = library.AutoProcessor.from_pretrained(str(folder), **known)
                model = library.AutoModelForImageTextToText.from_pretrained(
                    str(folder), dtype=place.torch_dtype, use_safetensors=True, **known
                )
        except Exception as error:  # whatever transformers raises at files that others wrote
            said = " ".join(str(error).split()[:30]) or repr(error)
            raise UserError(f"{folder.name} cannot be loaded: {said}") from None
        template = getattr(self.processor, "chat_template", None)
        if not isinstance(template, str) or not hasattr(self.processor, "image_processor"):
            raise UserError(f"{folder.name} has no chat template, or takes no pictures")
        self.model = settled(model, place)
        self.tokenizer = self.processor.tokenizer
        self.place = place
        self._template = timeless(template)
        self._folder = folder

    @cached_property
    def version(self) -> str:
        """What decides its answers: weights, tokenizer, preprocessing, number type."""
        files = sorted(f for f in self._folder.glob("*") if f.suffix in (".json", ".safetensors"))
        files += sorted(f for f in self._folder.glob("*.j*") if f.suffix == ".jinja")
        return f"sha256:{checksum(files)} {self.place.dtype}"

    def question(self, text: str, pictures: int = 1) -> str:
        """A question behind so many pictures, up to where the model begins to answer."""
        return self._rendered([_turn("user", text, pictures)], add_generation_prompt=True)

    def answer(self, text: str, word: str) -> list[int]:
        """The tokens of an answer of one word, as the model writes it behind a question.

        Some templates have a blank between the name of who speaks and the answer, which belongs
        to the word's own token.
        """
        head = self.question(text)
        whole = self._rendered([_turn("user", text, 1), _turn("assistant", word, 0)])
        said = word
        if whole.startswith(head) and word in whole[len(head) :]:
            tail = whole[len(head) :]
            said = tail[: tail.index(word) + len(word)]
        before, after = self.tokens(head), self.tokens(head + said)
        joined = after[: len(before)] != before
        return self.tokens(said) if joined else after[len(before) :]

    def encoded(
        self, questions: Sequence[str], pictures: Sequence[Sequence[Pixels]]
    ) -> dict[str, Any]:
        """What the model takes: rows padded in front, so that all of them end together.

        Args:
            questions: as `question` gives them.
            pictures: of each.
        """
        from PIL import Image

        bos = self.tokenizer.bos_token
        made = self.processor(
            text=list(questions),
            images=[[Image.fromarray(pixels) for pixels in row] for row in pictures],
            padding=True,
            padding_side="left",
            return_tensors="pt",
            # a template may have written it already
            add_special_tokens=not (bos and questions[0].startswith(bos)),
        )
        return dict(made.to(self.place.device, self.place.torch_dtype))

    def _rendered(self, turns: list[dict[str, Any]], **how: bool) -> str:
        # the tokenizer's own function hands the date on to the template, the processor's does not
        text: str = self.tokenizer.apply_chat_template(
            turns, tokenize=False, chat_template=self._template, date_string=DATE, **how
        )
        return text

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text, in which a picture is its mark alone."""
        found: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return found


def behind(inputs: dict[str, Any], tokens: Sequence[int]) -> dict[str, Any]:
    """The same inputs with some tokens more at the end of every row.

    Args:
        inputs: of `Seeing.encoded`.
        tokens: the same for all rows.
    """
    if not tokens:
        return inputs
    ids: Tensor = inputs["input_ids"]
    more = ids.new_tensor(tokens).expand(len(ids), -1)
    grown = dict(inputs)
    for key, value in inputs.items():
        if getattr(value, "shape", None) == ids.shape:
            new = {"input_ids": more, "attention_mask": more.new_ones(more.shape)}
            tail = new.get(key, more.new_zeros(more.shape))
            grown[key] = _joined(value, tail)
    return grown


def likelihoods(logits: Tensor, said: Sequence[int]) -> list[float]:
    """How likely the tokens of an answer are, all of them, 0 to 1 a row.

    Args:
        logits: (rows, tokens of the answer, words), of the places where each token is said.
        said: the tokens.
    """
    import torch

    tokens = torch.tensor(said, device=logits.device)
    each = logits.float().log_softmax(-1)[:, torch.arange(len(said)), tokens]
    found: list[float] = each.double().sum(-1).exp().tolist()
    return found


def _joined(value: Tensor, tail: Tensor) -> Tensor:
    import torch

    return torch.cat([value, tail.to(value.dtype)], dim=1)


def _turn(role: str, text: str, pictures: int) -> dict[str, Any]:
    seen: list[dict[str, str]] = [{"type": "image"}] * pictures
    return {"role": role, "content": [*seen, {"type": "text", "text": text}]}
