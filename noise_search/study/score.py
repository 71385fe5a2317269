"""Verifiers by themselves: pictures of any origin are judged without a search."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from noise_search.candidate import Candidate
from noise_search.errors import UserError
from noise_search.judged import judge
from noise_search.noise import Gaussian
from noise_search.problem import Sample, Score, Verifier
from noise_search.ranking import Ranking, ranks_of
from noise_search.specs import parse
from noise_search.study.judges import Judge, Judges
from noise_search.study.pictures import pictures_in, read_image
from noise_search.study.prompts import Row, name_prompts
from noise_search.study.settings import Settings
from noise_search.study.video import video_name

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Picture", "expanded", "joined", "judged", "opened", "pixels_of", "score"]

Picture = Any
"""A path, a PIL picture, or pixels: (height, width, 3), of a video (frames, height, width, 3)."""
TOGETHER = 64
"""Pictures that are held in memory at once."""
WARM = 16
"""Of those that come first: the first call of a model takes longer, and tells nothing of it."""
REPORTS = ("sheet.png", "curve.png")
"""Pictures of a run's folder that tell about it, and are no samples."""
RUNS = ("run.json", "summary.json", "journal")
"""Any of them tells that a folder is a run's."""


def score(
    images: Sequence[Picture],
    prompts: str | Sequence[str] = "",
    *,
    verifier: Judge,
    cache: bool = True,
    device: str = "cpu",
    download: bool = False,
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
        download: first fetch what the verifier needs; nothing is fetched without it.

    Raises:
        UserError: the verifier cannot be had, or needs what is not there.
    """
    if isinstance(images, str | Path):
        raise UserError("images: a list is needed")
    texts = [prompts] * len(images) if isinstance(prompts, str) else list(prompts)
    if len(texts) != len(images):
        raise UserError(f"prompts: {len(texts):,} for {len(images):,} pictures")
    if download:
        from noise_search.study.fetch import fetch_for

        fetch_for({"verifier": verifier})
    return list(judged(images, texts, opened(verifier, texts, cache=cache, device=device)))


def opened(verifier: Judge, prompts: Sequence[str], *, cache: bool, device: str) -> Verifier:
    """A verifier that can judge pictures of these prompts.

    Args:
        verifier: as that of `score`.
        prompts: an empty one is none.
        cache: as that of `score`.
        device: as that of `score`.

    Raises:
        UserError: it cannot be had, or needs what is not there.
    """
    if isinstance(verifier, str):
        _check_pictures(verifier)
    found = Judges(Settings.of({"cache": cache}), device).verifier(verifier)
    _check_needs(found, prompts)
    return found


def joined(
    verifier: Verifier, prompts: Sequence[str], scores: Sequence[Score]
) -> list[float | None] | None:
    """What a ranking such as `rank(...)` makes of raw scores; None for any other verifier.

    Pictures of one prompt compare, as the candidates of a search do; greater is better. Where a
    ranking has no single figure, it is the place from below, equals sharing the mean of theirs.

    Args:
        verifier: that has judged.
        prompts: of the pictures.
        scores: of the pictures; one that failed has no figure.
    """
    ranking: Ranking | None = getattr(verifier, "ranking", None)
    if ranking is None:
        return None
    found: list[float | None] = [None] * len(scores)
    for text in dict.fromkeys(prompts):
        own = [i for i, prompt in enumerate(prompts) if prompt == text]
        sound = [i for i in own if scores[i].failure is None]
        made = [Candidate(f"{i}", text, Gaussian(0), 1, 1, scores=scores[i].values) for i in sound]
        keys = ranking.keys(made)
        single = all(len(key) == 1 for key in keys)
        for i, value in zip(sound, [k[0] for k in keys] if single else ranks_of(keys), strict=True):
            found[i] = value
    return found


def judged(
    images: Sequence[Picture], prompts: Sequence[str], verifier: Verifier
) -> Iterator[Score]:
    """One score a picture, in order, while they are made.

    Args:
        images: as those of `score`.
        prompts: as many; an empty one is none.
        verifier: as `opened` gives it.
    """
    timed = getattr(getattr(verifier, "verifier", verifier), "stopwatch", None) is not None
    first = min(WARM if timed else TOGETHER, len(images))
    bounds = [0, *range(first, len(images), TOGETHER), len(images)]
    for part in (slice(*pair) for pair in pairwise(bounds)):
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


def expanded(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Files as they are, and the pictures in and below folders; and reports that are left out.

    Of a run's folder its sheet, its curve and the strips of its videos are no pictures to judge.

    Raises:
        UserError: a folder holds none.
    """
    found: list[Path] = []
    reports: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = {picture: _is_report(picture) for picture in pictures_in(path, "images")}
        if all(inside.values()):
            besides = " but reports of a run" if inside else ""
            raise UserError(f"images: {path} holds no PNG, JPEG or WEBP picture{besides}")
        found += [picture for picture, report in inside.items() if not report]
        reports += [picture for picture, report in inside.items() if report]
    return found, reports


def _is_report(picture: Path) -> bool:
    if picture.name in REPORTS:
        return _is_run(picture.parent)
    film = picture.with_name(video_name(picture.name))
    # RUN/images/best.png, or RUN/images/PROMPT/best.png
    return film.is_file() and any(_is_run(folder) for folder in list(picture.parents)[1:3])


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in RUNS)


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
