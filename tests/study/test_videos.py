"""Videos of a run: an MP4 to play, and a strip of key frames that carries the recipe."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import pytest
from diffusers.pipelines.wan.pipeline_wan import WanPipeline
from PIL import Image

from noise_search.errors import UserError
from noise_search.study.reproduce import reproduce
from noise_search.study.result import Result
from noise_search.study.search import search
from noise_search.study.video import mp4, still, strip, write_drawn
from tests.pipelines.zoo import KINDS, load
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]

WAN = KINDS["wan"]


@pytest.fixture(scope="module")
def wan(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load(WAN, tmp_path_factory.mktemp("zoo"))


def run(pipe: Any, **options: Any) -> Result:
    def brightness(pictures: list[Any], _: str) -> list[float]:
        return [float(np.asarray(p).mean()) for p in pictures]

    return search(
        pipe,
        WAN.prompts[0],
        verifier=brightness,
        budget=f"{3 * WAN.steps}nfe",
        steps=WAN.steps,
        batch=1,
        **{**WAN.arguments, **options},
    )


def moving(frames: int, height: int, width: int) -> Any:
    """A bright square that goes to the right."""
    film = np.full((frames, height, width, 3), 30, np.uint8)
    for i in range(frames):
        film[i, 4:20, 2 * i : 2 * i + 16] = (220, 120, 60)
    return film


def frames_in(film: bytes | Path) -> tuple[Any, float]:
    source = io.BytesIO(film) if isinstance(film, bytes) else str(film)
    container: Any
    with av.open(source) as container:
        stream = container.streams.video[0]
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
        return np.stack(frames), float(stream.average_rate)


@pytest.mark.parametrize("rate", [8, 16, 23.976, 30])
def test_a_film_shows_the_frames_that_were_made(rate: float) -> None:
    film = moving(9, 48, 64)
    shown, told = frames_in(mp4(film, rate))
    assert shown.shape == film.shape
    assert told == pytest.approx(rate, rel=1e-3)
    assert np.abs(shown.astype(int) - film).mean() < 8  # H.264 keeps half of the colours' places


def test_odd_sides_are_made_even_by_their_last_row_and_column() -> None:
    shown, _ = frames_in(mp4(moving(3, 33, 41), 8))
    assert shown.shape == (3, 34, 42, 3)


def test_the_same_frames_are_the_same_bytes() -> None:
    assert mp4(moving(9, 48, 64), 16) == mp4(moving(9, 48, 64), 16)


def test_a_strip_holds_key_frames_and_a_still_the_middle_one() -> None:
    film = moving(9, 32, 48)
    assert np.array_equal(strip(film), np.concatenate([film[i] for i in (0, 3, 5, 8)], axis=1))
    assert np.array_equal(still(film), film[4])
    assert strip(film[0]) is not None
    assert np.array_equal(strip(film[0]), film[0])


def test_a_run_writes_a_film_and_a_strip_from_which_it_is_made_again(
    wan: Any, tmp_path: Path
) -> None:
    result = run(wan, out=tmp_path / "run")
    assert result.best is not None
    pixels = result.best.pixels
    assert pixels.shape == (5, 32, 32, 3)
    shown, rate = frames_in(tmp_path / "run" / "images" / "best.mp4")
    assert shown.shape == pixels.shape
    assert rate == 16
    with Image.open(tmp_path / "run" / "images" / "best.png") as image:
        assert np.array_equal(np.asarray(image), strip(pixels))
        assert "Size: 32x32" in image.info["parameters"]
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["results"][0]["best"]["video"] == "images/best.mp4"
    again = reproduce(tmp_path / "run" / "images" / "best.png", wan)
    assert again.equal
    assert again.difference == 0
    assert again.rate == 16
    assert np.array_equal(again.pixels, pixels)
    assert np.array_equal(np.asarray(result.best.image), strip(pixels))
    assert (tmp_path / "run" / "sheet.png").exists()


def test_without_what_writes_films_nothing_is_spent(
    wan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'noise-search\[video\]'"):
        run(wan, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert run(wan).best is not None  # in memory it needs no file
    with pytest.raises(UserError, match="video"):
        write_drawn(tmp_path / "a.png", moving(3, 32, 32), None, None)
    assert not list(tmp_path.iterdir())


def test_frames_a_second_can_be_asked_for_and_are_those_of_what_is_made_again(
    wan: Any, tmp_path: Path
) -> None:
    result = run(wan, fps=23.976, out=tmp_path / "run")
    film = tmp_path / "run" / "images" / "best.mp4"
    assert result.best is not None
    assert frames_in(film)[1] == pytest.approx(23.976, rel=1e-3)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["fps"] == 23.976
    again = reproduce(tmp_path / "run" / "images" / "best.png", wan)
    assert again.equal
    write_drawn(tmp_path / "again.png", again.pixels, None, again.rate)
    assert (tmp_path / "again.mp4").read_bytes() == film.read_bytes()


class Paced(WanPipeline):  # type: ignore[misc]
    """A pipeline whose call takes frames a second itself, as LTX's does."""

    told: ClassVar[list[object]] = []

    def __call__(self, *args: Any, num_frames: int = 5, frame_rate: int = 25, **named: Any) -> Any:
        self.told.append(frame_rate)
        return super().__call__(*args, num_frames=num_frames, **named)


def test_a_call_that_takes_frames_a_second_is_given_them(wan: Any, tmp_path: Path) -> None:
    paced = Paced(**wan.components)
    Paced.told.clear()
    result = run(paced, fps=30, out=tmp_path / "run")
    assert result.best is not None
    assert set(Paced.told) == {30}
    assert frames_in(tmp_path / "run" / "images" / "best.mp4")[1] == 30
    with pytest.raises(UserError, match=r"fps: pipeline\.frame_rate says it too"):
        run(paced, fps=30, frame_rate=24)


@pytest.mark.parametrize(
    ("fps", "said"),
    [(0, "fps=0"), (-3, "fps=-3"), (float("nan"), "fps=nan"), (True, "a number is needed")],
)
def test_frames_a_second_are_a_number_above_nought(wan: Any, fps: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        run(wan, fps=fps)


@pytest.mark.parametrize("model", ["shapes", "gaussian(dim=4)"])
def test_what_makes_no_videos_has_no_frames_a_second(model: str) -> None:
    with pytest.raises(UserError, match=r"fps: .* makes no videos; leave it out"):
        search(model, "x", fps=24)
