"""The verifier ``vqa``: how likely a model that sees the picture says that it shows the prompt.

VQAScore, Lin et al. 2024 (arXiv:2404.01291): P("Yes") after the picture and "Does this figure show
'{prompt}'? Please answer yes or no.".  The paper's own model is CLIP-FlanT5; any image-text-to-text
model of transformers that has a chat template serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from noise_search.errors import UserError
from noise_search.problem import Verifier
from noise_search.specs import Spec
from noise_search.verifiers.batches import Batches
from noise_search.verifiers.card import Card
from noise_search.verifiers.judge_models import (
    Seeing,
    behind,
    find_model,
    likelihoods,
    seeing,
)
from noise_search.verifiers.models import Device, Dtype, Models, Width
from noise_search.verifiers.pictures import Pictures, Pixels
from noise_search.verifiers.shared_prefix import SharedPrefix
from noise_search.verifiers.weights import needed

__all__ = ["QUESTION", "Vqa", "vqa"]

QUESTION = "Does this figure show '{prompt}'? Please answer yes or no."


def vqa(
    spec: Spec,
    models: Models,
    /,
    revision: str | None = None,
    device: Device = None,
    dtype: Dtype = "float32",
    batch: Width = 4,
) -> Verifier:
    """VQAScore: `vqa`, `vqa:ORG/NAME`, or the path of a folder.

    Args:
        spec: as written.
        models: of the run.
        revision: a branch, tag or commit of the hub's repository.
        device: where it is computed.
        dtype: of the weights; the likelihood itself is computed in float32.
        batch: pictures a call.
    """
    if spec.part is not None or spec.items:
        raise UserError(f"verifier {spec}: write vqa, vqa:ORG/NAME or vqa:FOLDER")
    usual = needed(spec.name)[0]
    folder = find_model(spec.target or usual.repository, str(spec), revision, usual.licence)
    model = Vqa(seeing(models, folder, models.place(device, dtype, batch, spec), str(spec)))
    card = Card(
        version=model.version,
        low=0,
        high=1,
        licence=usual.licence if spec.target in (None, usual.repository) else "unknown",
        source=spec.target or usual.repository,
        costly=True,
    )
    return Pictures(model.likelihoods, str(spec), card)


class Vqa:
    """VQAScore by a loaded model.

    Args:
        model: sees and answers.

    Attributes:
        model: the same.
    """

    def __init__(self, model: Seeing) -> None:
        self.model = model
        self._yes = model.answer(QUESTION.format(prompt="it"), "Yes")
        self._batches = Batches(self._batch, model.place.batch)
        self._sharing = SharedPrefix(model, self._yes)
        self._shares: bool | None = None

    @property
    def version(self) -> str:
        """What decides the scores."""
        return f'vqa {self.model.version} P("Yes") {QUESTION}'

    def likelihoods(self, pictures: Sequence[Pixels], prompts: Sequence[str]) -> list[float]:
        """P("Yes"), 0 to 1, of each picture for its own prompt.

        A picture that several prompts are asked about is read once, where the model can.
        """
        keys = [f"{p.shape} {sha256(p.tobytes()).hexdigest()}" for p in pictures]
        shown = dict(zip(keys, pictures, strict=True))
        pairs = list(zip(keys, prompts, strict=True))
        asked: dict[str, list[str]] = {}
        for key, prompt in dict.fromkeys(pairs):
            asked.setdefault(key, []).append(prompt)
        found: dict[tuple[str, str], float] = {}
        for key, about in asked.items():
            if len(about) > 1 and self._can_share(shown[key], about):
                values = self._sharing(shown[key], [self._question(text) for text in about])
                found |= {(key, text): value for text, value in zip(about, values, strict=True)}
        alone = [pair for pair in dict.fromkeys(pairs) if pair not in found]
        values = self._batches([(shown[key], text) for key, text in alone])
        found |= dict(zip(alone, values, strict=True))
        return [found[pair] for pair in pairs]

    def _can_share(self, picture: Pixels, prompts: Sequence[str]) -> bool:
        """Whether the model answers alike if it reads a picture once; tried on the first one."""
        if self._shares is None:
            few = [min(prompts, key=len), max(reversed(prompts), key=len)]
            expected = self._batches([(picture, prompt) for prompt in few])
            questions = [self._question(prompt) for prompt in few]
            self._shares = self._sharing.agrees(picture, questions, expected)
        return self._shares

    def _question(self, prompt: str) -> str:
        return self.model.question(QUESTION.format(prompt=prompt))

    def _batch(self, pairs: Sequence[tuple[Pixels, str]]) -> list[float]:
        import torch

        questions = [self._question(prompt) for _, prompt in pairs]
        inputs = self.model.encoded(questions, [[picture] for picture, _ in pairs])
        count = len(self._yes)
        with torch.inference_mode():
            asked = behind(inputs, self._yes[:-1])
            logits = self.model.model(**asked, logits_to_keep=count).logits[:, -count:]
            return likelihoods(logits, self._yes)
