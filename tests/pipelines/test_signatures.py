"""What the call of a pipeline takes: read from its source as from its class."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest

from noise_search.errors import UserError
from noise_search.pipelines.shapes.pipeline import ShapesPipeline
from noise_search.pipelines.signatures import Signature, read_signature, signature_of
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]
library: Any = diffusers  # its types are not exported


@pytest.mark.parametrize(
    "name",
    [
        "StableDiffusionPipeline",
        "FluxPipeline",
        "WanPipeline",
        "DiTPipeline",
        "LTXPipeline",
        "LCMScheduler",
    ],
)
def test_a_source_says_what_its_class_says(name: str) -> None:
    read = read_signature(name)
    if name == "LCMScheduler":
        assert read is None  # no pipeline
        return
    loaded = signature_of(getattr(library, name))
    assert read is not None
    assert list(read.parameters) == list(loaded.parameters)
    assert (read.open, loaded.open) == (False, False)
    plain = [k for k, v in loaded.parameters.items() if isinstance(v, int | float | str | None)]
    assert [read.parameters[k] for k in plain] == [loaded.parameters[k] for k in plain]


def test_the_built_in_pipeline_is_read_too() -> None:
    read = read_signature("ShapesPipeline")
    assert read is not None
    assert list(read.parameters) == list(signature_of(ShapesPipeline).parameters)


def test_what_is_no_class_of_diffusers_has_no_signature() -> None:
    read = read_signature("NoSuchPipeline")
    assert read is None
    assert read_signature("Pipeline(") is None
    assert read_signature(".*") is None


class Own:
    """A user's pipeline that passes keywords on."""

    def __call__(self, prompt: str, steps: int = 3, **more: Any) -> None: ...


def test_a_call_of_ones_own_that_passes_keywords_on_is_open() -> None:
    found = signature_of(Own)
    assert found.open
    assert found.parameters == {"prompt": None, "steps": 3}
    found.check(["anything"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["hieght"], r"pipeline\.hieght: P takes no such argument; did you mean 'height'"),
        (["zzz"], r"pipeline\.zzz: P takes no such argument$"),
        (["x" * 200], r"pipeline\.x{60}: P takes"),
    ],
)
def test_an_argument_that_is_not_taken(given: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Signature("P", {"height": 64, "prompt": None}).check(given)


def test_what_takes_no_arguments_says_so() -> None:
    with pytest.raises(UserError, match=r"pipeline\.height: gaussian takes no such arguments$"):
        Signature("gaussian").check(["height"])
    assert Signature("gaussian").steps is None
    assert Signature("x", {"num_inference_steps": None, "guidance_scale": "y"}).steps is None
    assert Signature("x", {"guidance_scale": "y"}).guidance_scale is None
    assert Signature("x", {"guidance_scale": 7}).guidance_scale == 7.0


@pytest.mark.parametrize(
    ("parameters", "arguments", "fps", "rate"),
    [
        ({"prompt": None}, {"fps": 8}, None, None),
        ({"num_frames": 16}, {}, None, 16.0),
        ({"num_frames": 16, "frame_rate": 25}, {}, None, 25.0),
        ({"num_frames": 16, "frame_rate": 25}, {"frame_rate": 24}, None, 24.0),
        ({"num_frames": 16, "fps": None}, {"fps": 0}, None, 16.0),
        ({"video_length": 16}, {}, 12.5, 12.5),
    ],
)
def test_frames_a_second(
    parameters: dict[str, object],
    arguments: dict[str, object],
    fps: float | None,
    rate: float | None,
) -> None:
    assert Signature("P", parameters).rate(arguments, fps) == rate


class Willing:
    """A pipeline of somebody's own that takes whatever it is given."""

    def __call__(self, prompt: str, **more: object) -> None: ...


def test_a_call_that_takes_anything_makes_a_video_where_it_is_given_frames() -> None:
    takes = signature_of(Willing)
    said = r"^fps: Willing makes no videos; leave it out, or give num_frames too$"
    with pytest.raises(UserError, match=said):
        takes.check_rate(["height"])
    assert takes.rate({"height": 8}, 24) is None
    takes.check_rate(["num_frames"])
    assert takes.rate({"num_frames": 8}, 24) == 24.0
    with pytest.raises(UserError, match=r"^fps: pipeline\.frame_rate says it too; leave one out$"):
        takes.check_rate(["num_frames", "frame_rate"])


def test_frames_a_second_of_what_is_not_known_yet_are_for_later() -> None:
    Signature("owner/model", open=True).check_rate([])
