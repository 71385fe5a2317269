"""The verifier ``vqa``: how likely a model that sees the picture says that it shows the prompt.

VQAScore, Lin et al. 2024 (arXiv:2404.01291): P("Yes") after the picture and "Does this figure show
'{prompt}'? Please answer yes or no.".  The paper's own model is CLIP-FlanT5; any image-text-to-text
model of transformers that has a chat template serves.
"""

from __future__ import annotations

from collections.abc import Sequence

from noise_search.errors import UserError
from noise_search.problem import Verifier
from noise_search.specs import Spec
from noise_search.verifiers.batches import Batches
from noise_search.verifiers.card import Card
from noise_search.verifiers.judge_models import Seeing, behind, find_model, seeing
from noise_search.verifiers.models import Device, Dtype, Models, Width
from noise_search.verifiers.pictures import Pictures, Pixels
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
    """

    def __init__(self, model: Seeing) -> None:
        self._model = model
        self._yes = model.answer(QUESTION.format(prompt="it"), "Yes")
        self._batches = Batches(self._batch, model.place.batch)

    @property
    def version(self) -> str:
        """What decides the scores."""
        return f'vqa {self._model.version} P("Yes") {QUESTION}'

    def likelihoods(self, pictures: Sequence[Pixels], prompts: Sequence[str]) -> list[float]:
        """P("Yes"), 0 to 1, of each picture for its own prompt."""
        return self._batches(list(zip(pictures, prompts, strict=True)))

    def _batch(self, pairs: Sequence[tuple[Pixels, str]]) -> list[float]:
        import torch

        questions = [self._model.question(QUESTION.format(prompt=prompt)) for _, prompt in pairs]
        inputs = self._model.encoded(questions, [[picture] for picture, _ in pairs])
        count = len(self._yes)
        with torch.inference_mode():
            asked = behind(inputs, self._yes[:-1])
            logits = self._model.model(**asked, logits_to_keep=count).logits[:, -count:]
            said = torch.tensor(self._yes, device=logits.device)
            spelled = logits.float().log_softmax(-1)[:, torch.arange(count), said]
            found: list[float] = spelled.double().sum(-1).exp().tolist()
        return found
