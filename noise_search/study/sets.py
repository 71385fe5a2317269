"""Measures of a whole set of pictures, by their specs: ``fid`` and ``is``.

They judge the outcome of a run, or any folder, and never a single candidate.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.problem import Sample
from noise_search.registry import bind, check_name, find
from noise_search.specs import Spec
from noise_search.study.pictures import pictures_in
from noise_search.study.result import Result
from noise_search.study.score import TOGETHER, Picture, pixels_of
from noise_search.verifiers.models import Device, Dtype, Models, Width

if TYPE_CHECKING:
    from noise_search.verifiers.clip import Encoder
    from noise_search.verifiers.pictures import Pixels
    from noise_search.verifiers.sets import Classes, Statistics

__all__ = ["Fid", "Inception", "Measure", "Measured", "fid", "inception", "measure", "statistics"]

Rows = Callable[[Sequence[Any]], Sequence[Any]]
"""A row of features or probabilities for each picture (height, width, 3) uint8, in order."""


@dataclass(frozen=True)
class Measured:
    """What a measure says of a set.

    Attributes:
        value: the figure.
        pictures: how many were judged; of a video every key frame is one.
        failures: why others were not, by their place in the set.
        notes: what to know before the figure is believed.
    """

    value: float
    pictures: int
    failures: Mapping[int, str] = field(default_factory=dict[int, str])
    notes: tuple[str, ...] = ()


class Measure(Protocol):
    """Judges a set of pictures."""

    @property
    def name(self) -> str:
        """The spec it was made from."""
        ...

    def measure(self, parts: Iterable[Sequence[Pixels]]) -> tuple[float, int, tuple[str, ...]]:
        """The figure, how many pictures it is of, and notes; the set comes in parts."""
        ...


class Fid:
    """Fréchet distance of a set's features from a reference: less is better.

    Args:
        features: of pictures, a row each.
        reference: statistics of what is aimed at, by the same features.
        name: what it is called.
    """

    def __init__(self, features: Rows, reference: Statistics, name: str = "fid") -> None:
        self.features = features
        self.reference = reference
        self.name = name

    def measure(self, parts: Iterable[Sequence[Pixels]]) -> tuple[float, int, tuple[str, ...]]:
        """The distance."""
        from noise_search.verifiers.sets import frechet

        found = _statistics(self.features, parts, self.reference.extractor)
        return frechet(found, self.reference), found.count, _notes(found, self.reference)


class Inception:
    """Inception score of a set: how sure and how varied its classes are; more is better.

    Args:
        probabilities: of pictures, a row with the sum 1 each.
        name: what it is called.
    """

    def __init__(self, probabilities: Rows, name: str = "is") -> None:
        self.probabilities = probabilities
        self.name = name

    def measure(self, parts: Iterable[Sequence[Pixels]]) -> tuple[float, int, tuple[str, ...]]:
        """The score, 1 to the number of classes."""
        from noise_search.verifiers.sets import Classes

        found: Classes | None = None
        for part in parts:
            more = Classes.of(self.probabilities(part))
            found = more if found is None else found + more
        if found is None:
            raise UserError(f"{self.name}: there is no picture to judge")
        few = found.count < 10 * len(found.mean)
        note = f"{found.count:,} pictures for {len(found.mean):,} classes: the score is biased down"
        return found.score, found.count, (note,) if few else ()


def fid(
    spec: Spec,
    models: Models,
    /,
    reference: str = "",
    features: str = "ViT-L-14/openai",
    device: Device = None,
    dtype: Dtype = "float32",
    batch: Width = 8,
) -> Measure:
    """Fréchet distance from a reference, less is better: `fid(reference=stats.safetensors)`.

    Args:
        spec: as written.
        models: what others have loaded.
        reference: a file of statistics, or a folder of pictures.
        features: a CLIP model as in `clip:MODEL`, or the folder of any model of pictures.
        device: where it is computed.
        dtype: of its weights.
        batch: pictures a call, always.
    """
    from noise_search.verifiers.sets import Statistics

    if spec.target is not None or spec.items or not reference:
        raise UserError(
            f"measure {spec}: write fid(features=MODEL,reference=FILE), where FILE is a folder of "
            "pictures, or statistics of them"
        )
    path = Path(reference).expanduser()
    try:
        known = None if path.is_dir() else Statistics.load(path)
        encoder = _encoder(features, models, device, dtype, batch)
        if known is None:
            known = statistics(
                list(pictures_in(path, "reference")), encoder.pictures, encoder.version
            )
    except UserError as error:
        raise UserError(f"measure {spec}: {error}") from None
    if known.extractor != encoder.version:
        raise UserError(
            f"measure {spec}: the reference was made with {known.extractor[:120]!r}, "
            f"not with {encoder.version[:120]!r}"
        )
    return Fid(encoder.pictures, known, str(spec))


def inception(
    spec: Spec,
    models: Models,
    /,
    classifier: str = "",
    device: Device = None,
    dtype: Dtype = "float32",
    batch: Width = 8,
) -> Measure:
    """Inception score by any image classifier, more is better: `is(classifier=./folder)`.

    Args:
        spec: as written.
        models: what others have loaded.
        classifier: a folder as transformers saves it, or ORG/NAME.
        device: where it is computed.
        dtype: of its weights.
        batch: pictures a call, always.
    """
    from noise_search.verifiers.classifier import Classifier
    from noise_search.verifiers.weights import find_folder, is_path, needed

    if spec.target is not None or spec.items or not classifier:
        raise UserError(f"measure {spec}: write is(classifier=FOLDER), or is(classifier=ORG/NAME)")
    try:
        place = models.place(device, dtype, batch, spec)
        folder = (
            Path(classifier).expanduser()
            if is_path(classifier)
            else find_folder(needed("classifier", classifier)[0], f"classifier:{classifier}")
        )
        key = ("classifier", folder.resolve(), place)
        model = models.get(key, lambda: Classifier(folder, place))
    except UserError as error:
        raise UserError(f"measure {spec}: {error}") from None
    return Inception(model.probabilities, str(spec))


def measure(
    images: Iterable[Picture | Result], measure: str | Measure, *, device: str = "cpu"
) -> Measured:
    """What a measure says of a set of pictures.

    Args:
        images: results of searches, whose winners are judged; or pictures as `score` takes them.
        measure: a spec, or a `Fid` or `Inception` around functions of your own.
        device: where models run whose spec names no device.

    Raises:
        UserError: the measure cannot be had, or no picture can be judged.
    """
    asked = load_measure(measure, Models(device)) if isinstance(measure, str) else measure
    failures: dict[int, str] = {}
    value, pictures, notes = asked.measure(_parts(images, failures))
    return Measured(value, pictures, failures, notes)


def load_measure(text: str, models: Models) -> Measure:
    """The measure of a spec.

    Raises:
        UserError: it is unknown, or cannot be had as asked.
    """
    spec = check_name("measure", text)
    function = find("measure", spec.name)
    found: Measure = function(spec, models, **bind("measure", spec, function, 2))
    return found


def statistics(
    images: Iterable[Picture | Result], features: Rows | str, extractor: str = "unknown"
) -> Statistics:
    """Statistics of the features of pictures, to be kept by their `save` as a reference.

    Args:
        images: as those of `measure`.
        features: a function of pictures, or a model as in `fid(features=...)`.
        extractor: what the function is; a model tells it by itself.

    Raises:
        UserError: the model cannot be had, or a picture cannot be judged.
    """
    if isinstance(features, str):
        encoder = _encoder(features, Models(), None, "float32", 8)
        features, extractor = encoder.pictures, encoder.version
    failures: dict[int, str] = {}
    found = _statistics(features, _parts(images, failures), extractor)
    for number, said in failures.items():
        raise UserError(f"picture {number}: {said}")
    return found


def _encoder(target: str, models: Models, device: Device, dtype: Dtype, batch: int) -> Encoder:
    """Unit features of a CLIP model, shipped ones too, or of any model of pictures in a folder."""
    from noise_search.verifiers.clip import Encoder, encoder_of
    from noise_search.verifiers.clip_files import SHIPPED, shipped_folder
    from noise_search.verifiers.own_preview import load_features

    place = models.place(device, dtype, batch, f"features={target}")
    if target in SHIPPED:
        return encoder_of(str(shipped_folder(target)), models, place)
    folder = Path(target).expanduser()
    if not folder.is_dir() or _has_sentences(folder):
        return encoder_of(target, models, place)
    key = ("features", folder.resolve(), place)
    return models.get(key, lambda: Encoder(load_features(folder, place), place))


def _has_sentences(folder: Path) -> bool:
    """Whether the model of a folder reads sentences too, as CLIP does."""
    config = folder / "config.json"
    if not config.is_file():
        return True  # open_clip's
    try:
        return "text_config" in json.loads(config.read_bytes())
    except ValueError:
        return False


def _statistics(features: Rows, parts: Iterable[Sequence[Pixels]], extractor: str) -> Statistics:
    from noise_search.verifiers.sets import Statistics

    found: Statistics | None = None
    for part in parts:
        more = Statistics.of(features(part), extractor)
        found = more if found is None else found + more
    if found is None:
        raise UserError("there is no picture to judge")
    return found


def _parts(
    images: Iterable[Picture | Result], failures: dict[int, str]
) -> Iterator[Sequence[Pixels]]:
    """Pictures in parts that memory holds; why others are missing is put down."""
    from noise_search.verifiers.pictures import frames_of

    part: list[Pixels] = []
    for number, image in enumerate(_flat(images)):
        try:
            sample = Sample(Prompt("-", "-"), pixels_of(image), 1, 1)
        except UserError as error:
            failures[number] = str(error)
            continue
        frames = frames_of(sample)
        if isinstance(frames, str):
            failures[number] = frames
            continue
        part += frames
        if len(part) >= TOGETHER:
            yield part
            part = []
    if part:
        yield part


def _flat(images: Iterable[Picture | Result]) -> Iterator[Picture]:
    for image in images:
        if isinstance(image, Result):
            yield from (winner.pixels for winner in image.winners)
        else:
            yield image


def _notes(found: Statistics, reference: Statistics) -> tuple[str, ...]:
    width = len(found.mean)
    return tuple(
        f"{what} has {one.count:,} pictures for {width:,} features: its covariance is singular, "
        "and the distance is biased up; compare sets of one size alone"
        for what, one in (("the set", found), ("the reference", reference))
        if one.count <= width
    )
