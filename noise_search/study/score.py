"""Verifiers by themselves: pictures of any origin are judged without a search."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from noise_search.errors import UserError
from noise_search.judged import judge
from noise_search.problem import Sample, Score, Verifier
from noise_search.specs import parse
from noise_search.study.judges import Judge, Judges
from noise_search.study.pictures import pictures_in, read_image
from noise_search.study.prompts import Row, name_prompts
from noise_search.study.settings import Settings

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Picture", "expanded", "judged", "pixels_of", "score"]

Picture = Any
"""A path, a PIL picture, or pixels: (height, width, 3), of a video (frames, height, width, 3)."""
TOGETHER = 64
"""Pictures that are held in memory at once."""


def score(
    images: Sequence[Picture],
    prompts: str | Sequence[str] = "",
    *,
    verifier: Judge,
    cache: bool = True,
    device: str = "cpu",
) -> list[Score]:
    """Judge pictures: one score each, in order; a picture that cannot be read is a failure.

    >>> from PIL import Image
    >>> red = lambda pictures, prompt: [p.getpixel((0, 0))[0] for p in pictures]
    >>> image = Image.linear_gradient("L").convert("RGB").rotate(180)
    >>> [one.values for one in score([image], verifier=red)]
    [{'<lambda>': 255.0}]

    Args:
        images: paths of files, PIL pictures, or pixels (height, width, 3) uint8; of a video
            (frames, height, width, 3).
        prompts: what was asked for: one for all, or one each.
        verifier: a spec, a verifier, or a function `f(images, prompt)`.
        cache: whether what a costly verifier says is kept, and what is known not asked again.
        device: where models run whose spec names no device.

    Raises:
        UserError: the verifier cannot be had, or needs what is not there.
    """
    if isinstance(images, str | Path):
        raise UserError("images: a list is needed")
    texts = [prompts] * len(images) if isinstance(prompts, str) else list(prompts)
    return list(judged(images, texts, verifier, cache=cache, device=device))


def judged(
    images: Sequence[Picture],
    prompts: Sequence[str],
    verifier: Judge,
    *,
    cache: bool = True,
    device: str = "cpu",
) -> Iterator[Score]:
    """One score a picture, in order, while they are made.

    Args:
        images: as those of `score`.
        prompts: as many; an empty one is none.
        verifier: as that of `score`.
        cache: as that of `score`.
        device: as that of `score`.

    Raises:
        UserError: the verifier cannot be had, or needs what is not there.
    """
    if len(prompts) != len(images):
        raise UserError(f"prompts: {len(prompts):,} for {len(images):,} pictures")
    if isinstance(verifier, str):
        _check_pictures(verifier)
    asked = Judges(Settings.of({"cache": cache}), device).verifier(verifier)
    _check_needs(asked, prompts)
    return _judged(images, prompts, asked)


def _judged(
    images: Sequence[Picture], prompts: Sequence[str], verifier: Verifier
) -> Iterator[Score]:
    for start in range(0, len(images), TOGETHER):
        part = slice(start, start + TOGETHER)
        shown = [_sample(*pair) for pair in zip(images[part], prompts[part], strict=True)]
        whole = [one for one in shown if isinstance(one, Sample)]
        rest = iter(judge(verifier, whole) if whole else [])
        yield from (next(rest) if isinstance(one, Sample) else one for one in shown)


def _sample(image: Picture, text: str) -> Sample | Score:
    """What the verifier is shown, or why there is nothing."""
    # a verifier that takes no prompt is given one that says nothing
    [prompt] = name_prompts([Row(text.strip() or "-")])
    try:
        return Sample(prompt, pixels_of(image), 1, 1)
    except UserError as error:
        return Score(failure=str(error))


def pixels_of(image: Picture) -> Any:
    """The pixels of a picture, (height, width, 3) uint8; those that are pixels already as they are.

    Raises:
        UserError: it cannot be read.
    """
    import numpy as np

    if isinstance(image, str | Path):
        image = read_image(Path(image).expanduser(), "image")[0]
    elif not hasattr(image, "convert"):
        return image
    return np.asarray(cast("Image", image).convert("RGB"))


def expanded(paths: Iterable[Path]) -> list[Path]:
    """Files as they are, and the pictures in and below folders.

    Raises:
        UserError: a folder holds none.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = list(pictures_in(path, "images"))
        if not inside:
            raise UserError(f"images: {path} holds no PNG, JPEG or WEBP picture")
        found += inside
    return found


def _check_pictures(text: str) -> None:
    """Refuse a spec of what judges texts.

    Raises:
        UserError: it does.
    """
    from noise_search.verifiers.loading import TEXT_JUDGES, parts_of

    spec = parse(text)
    for part in parts_of(spec):
        _check_pictures(part)
    if spec.name in TEXT_JUDGES:
        raise UserError(f"verifier {spec}: it judges texts, and these are pictures")


def _check_needs(verifier: Verifier, prompts: Sequence[str]) -> None:
    """Refuse a verifier that needs what pictures alone do not have.

    Raises:
        UserError: a prompt is missing, or an earlier preview.
    """
    for part in cast("Sequence[Verifier]", getattr(verifier, "parts", (verifier,))):
        needs: frozenset[str] = getattr(getattr(part, "card", None), "needs", frozenset())
        if "preview" in needs:
            raise UserError(
                f"verifier {part.name}: it compares previews of a search; there are none"
            )
        if "prompt" in needs and not all(text.strip() for text in prompts):
            raise UserError(f"prompt: {part.name} needs what the picture was asked to show")
