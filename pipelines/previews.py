"""Cheaper pictures of partial samples: by a tiny autoencoder, or at a lower resolution.

A preview is the x0-prediction of a stage. The pipeline's own last part shows it, with another
decoder in the place of its own; finished samples are always shown by the pipeline's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from noise_search.errors import UserError, nearest
from noise_search.pipelines.signatures import decoder_name
from noise_search.specs import Spec, parse

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["check_preview", "decoder_of"]

SMALLER: Mapping[str, int] = {"half": 2, "quarter": 4}
"""By what the sides of a preview are divided."""
TINY: Mapping[tuple[int, float], str] = {
    (4, 0.18215): "madebyollin/taesd",
    (4, 0.13025): "madebyollin/taesdxl",
    (16, 1.5305): "madebyollin/taesd3",
    (16, 0.3611): "madebyollin/taef1",
}
"""Tiny autoencoders by the latents they were made for: channels, and scale."""


def check_preview(text: str | None) -> None:
    """Refuse a way to show partial samples that there is not; nothing is loaded.

    Raises:
        UserError: it is unknown.
    """
    if text is not None:
        _parsed(text)


def _parsed(text: str) -> Spec:
    try:
        spec = parse(text)
    except UserError as error:
        raise UserError(f"preview: {error}") from None
    known = ["taesd", *SMALLER]
    if spec.name not in known:
        raise UserError(f"preview: unknown preview {spec.name[:60]!r}{nearest(spec.name, known)}")
    if spec.items or spec.options or spec.part or (spec.target and spec.name != "taesd"):
        raise UserError(f"preview {text}: write half, quarter, taesd, or taesd:FOLDER")
    return spec


def decoder_of(text: str, pipe: Any) -> tuple[Any, str]:
    """What stands for a pipeline's decoder when a partial sample is shown, and what it is.

    Args:
        text: `half` or `quarter` of the sides; `taesd`, or `taesd:` and a folder or ORG/NAME.
        pipe: the pipeline.

    Raises:
        UserError: it is unknown, its weights are not on the disk, or there is nothing to stand for.
    """
    spec, name = _parsed(text), decoder_name(pipe)
    if name is None:
        raise UserError(f"preview: {type(pipe).__name__} decodes nothing; leave it out")
    vae = getattr(pipe, name)
    if spec.name in SMALLER:
        return Smaller(vae, SMALLER[spec.name]), spec.name
    from noise_search.pipelines.fingerprint import fingerprint

    tiny = _tiny(spec, vae)
    return tiny, f"{spec} {fingerprint(dict(tiny.state_dict()))}"


def _tiny(spec: Spec, vae: Any) -> Any:
    """The tiny autoencoder of a spec, or the one that was published for these latents."""
    from diffusers import AutoencoderTiny

    from noise_search.pipelines.files import place_of

    channels = int(vae.config.latent_channels)
    scale = round(float(getattr(vae.config, "scaling_factor", 0.0)), 5)
    target = spec.target or TINY.get((channels, scale))
    if target is None:
        raise UserError("preview: no tiny autoencoder is known for this model; write taesd:FOLDER")
    folder = place_of(target, None)
    kind: Any = AutoencoderTiny
    try:
        found = kind.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    except Exception as error:  # a folder can be wrong in any way
        said = " ".join(str(error).split())[:200]
        raise UserError(f"preview {spec}: cannot be loaded: {said}") from None
    if int(found.config.latent_channels) != channels:
        made = f"{found.config.latent_channels} channels, not {channels}"
        raise UserError(f"preview {spec}: it decodes latents of {made}")
    return found.eval().requires_grad_(False).to(device=vae.device, dtype=vae.dtype)


class Smaller:
    """A decoder that shows latents at a fraction of their size.

    Args:
        inner: the pipeline's own.
        by: what the sides are divided by.
    """

    def __init__(self, inner: Any, by: int) -> None:
        self.__dict__.update(_inner=inner, _by=by)

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore
        """The class of the decoder it stands for: pipelines ask."""
        return type(self.__dict__["_inner"])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_inner"], name)

    def decode(self, z: Tensor, *args: Any, **kwargs: Any) -> Any:
        """The picture of latents (..., H, W), averaged to (..., H / by, W / by) first."""
        decode: Callable[..., Any] = self._inner.decode
        return decode(_averaged(z, self._by), *args, **kwargs)


def _averaged(z: Tensor, by: int) -> Tensor:
    from torch.nn.functional import interpolate

    height, width = (max(1, side // by) for side in z.shape[-2:])
    flat = z.reshape(-1, 1, *z.shape[-2:])
    small = interpolate(flat.float(), size=(height, width), mode="area").to(z.dtype)
    return small.reshape(*z.shape[:-2], height, width)
