"""The verifier ``image-reward``: a model of human preference between pictures of one sentence.

Xu et al. 2023 (arXiv:2304.05977).  It reads the published ``ImageReward.pt`` and
``med_config.json`` and the vocabulary of BERT; scores are standardised as published, so that most
lie between -2 and 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noise_search.errors import UserError
from noise_search.problem import Verifier
from noise_search.specs import Spec
from noise_search.verifiers.batches import Batches
from noise_search.verifiers.card import Card
from noise_search.verifiers.models import Device, Dtype, Models, Place, Width
from noise_search.verifiers.pictures import Pictures, Pixels
from noise_search.verifiers.weights import (
    BERT,
    checksum,
    find_folder,
    has,
    is_path,
    naming,
    needed,
    origin,
    settled,
    told,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ImageReward", "image_reward"]

_CHECKPOINT = "ImageReward.pt"


def image_reward(
    spec: Spec,
    models: Models,
    /,
    revision: str | None = None,
    device: Device = None,
    dtype: Dtype = "float32",
    batch: Width = 8,
) -> Verifier:
    """ImageReward: `image-reward`, `image-reward:ORG/NAME`, or the path of a folder or file.

    Args:
        spec: as written.
        models: of the run.
        revision: a branch, tag or commit of the hub's repository.
        device: where it is computed.
        dtype: of the transformers; the head is always computed in float32.
        batch: pictures a call.
    """
    if spec.part is not None or spec.items:
        raise UserError(f"verifier {spec}: write image-reward, image-reward:ORG/NAME or a path")
    place = models.place(device, dtype, batch, spec)
    file = _file(spec, revision)
    words = file.parent if has(file.parent, BERT.files) else find_folder(BERT, str(spec))
    with naming(spec):
        model = models.get(("image-reward", file, place), lambda: ImageReward(file, words, place))
    card = Card(
        version=model.version,
        **origin(spec, file),
        costly=True,
    )
    return Pictures(model.rewards, str(spec), card)


def _file(spec: Spec, revision: str | None) -> Path:
    """The checkpoint, as it was named or in the hub's cache."""
    if spec.target is None or not is_path(spec.target):
        source = needed(spec.name, spec.target)[0]
        return find_folder(source, str(spec), revision) / _CHECKPOINT
    path = Path(spec.target).expanduser()
    file = path / _CHECKPOINT if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"verifier {spec}: no file {str(file)!r}")
    return file


class ImageReward:
    """A loaded model.

    Args:
        file: the published checkpoint; ``med_config.json`` lies beside it.
        words: a folder with ``vocab.txt`` of BERT, uncased.
        place: how it is run.

    Raises:
        UserError: a file is not what was published.
    """

    def __init__(self, file: Path, words: Path, place: Place) -> None:
        from noise_search.verifiers.image_reward_model import CONFIG, load, preprocessed

        network = load(file)
        side: int = network.vision.config.image_size
        self._tokenizer = _tokenizer(words, network.text.config.vocab_size)
        self._network = settled(network, place)
        self._network.head.float()
        self._pixels = preprocessed(side)
        self._place = place
        self._files = (file, file.with_name(CONFIG), *(words / name for name in BERT.files))
        self._batches = Batches(self._batch, place.batch)
        self._said = f"resize({side},bicubic,uint8)+crop+normalise standardised"

    @cached_property
    def version(self) -> str:
        """What decides the scores."""
        return f"image-reward sha256:{checksum(self._files)} {self._place.dtype} {self._said}"

    def rewards(self, pictures: Sequence[Pixels], prompts: Sequence[str]) -> list[float]:
        """The reward of each picture for its own prompt."""
        return self._batches(list(zip(pictures, prompts, strict=True)))

    def _batch(self, pairs: Sequence[tuple[Pixels, str]]) -> list[float]:
        import torch
        from PIL import Image

        from noise_search.verifiers.image_reward_model import MEAN, STD, WORDS

        with torch.inference_mode():
            pixels = torch.stack([self._pixels(Image.fromarray(picture)) for picture, _ in pairs])
            tokens = self._tokenizer(
                [prompt for _, prompt in pairs],
                padding="max_length",
                truncation=True,
                max_length=WORDS,
                return_tensors="pt",
            ).to(self._place.device)
            rewards: Tensor = self._network(
                pixels.to(self._place.device, self._place.torch_dtype),
                tokens.input_ids,
                tokens.attention_mask,
            )
        return [(reward - MEAN) / STD for reward in rewards.double().tolist()]


def _tokenizer(folder: Path, words: int) -> Any:
    """BERT's, with the two tokens that BLIP adds to it.

    Raises:
        UserError: it has not as many tokens as the model.
    """
    from transformers import BertTokenizer

    with told(f"the vocabulary in {str(folder)!r}"):
        tokenizer = BertTokenizer.from_pretrained(str(folder), local_files_only=True)
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    tokenizer.add_tokens(["[ENC]"], special_tokens=True)
    if len(tokenizer) != words:
        raise UserError(
            f"the vocabulary in {str(folder)!r} has {len(tokenizer)} tokens, the model {words}"
        )
    return tokenizer
