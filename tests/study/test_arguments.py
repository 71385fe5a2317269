"""A pipeline's own arguments: in the record, from files, as objects, on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from noise_search.errors import UserError
from noise_search.pipelines.arguments import is_digest, recorded
from noise_search.study.arguments import again, checked_arguments, live, settled
from noise_search.study.inputs import find_input, save_inputs
from noise_search.study.pictures import read_image
from noise_search.study.reproduce import reproduce
from noise_search.study.search import search
from tests.cli.conftest import Call, call, here
from tests.pipelines.zoo import KINDS, load, save
from tests.pipelines.zoo.pictures import picture
from tests.pipelines.zoo.warnings import KNOWN

__all__ = ["call", "here"]
pytestmark = [*KNOWN]
KIND = KINDS["sd15-img2img"]


def redness(pictures: list[Any], _: str) -> list[float]:
    return [float(np.asarray(p)[..., 0].mean()) for p in pictures]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zoo")


def test_objects_are_told_by_what_is_in_them() -> None:
    one, other = picture(), picture()
    assert recorded(one) == recorded(other)
    other.putpixel((3, 3), (9, 9, 9))
    assert recorded(one) != recorded(other)
    arrays = [np.zeros(4, np.float32), np.zeros(4, np.float64), np.zeros((2, 2), np.float32)]
    assert len({str(recorded(a)) for a in arrays}) == 3
    assert is_digest(recorded(redness))
    assert recorded({"a": [1, 2.5, None, "x"]}) == {"a": [1, 2.5, None, "x"]}
    with pytest.raises(UserError, match="a finite number is needed"):
        recorded(float("nan"))


def test_a_picture_of_a_path_is_read_again_and_only_if_it_has_not_changed(tmp_path: Path) -> None:
    picture().save(tmp_path / "start.png")
    [(key, told)] = settled({"image": "start.png"}, tmp_path).items()
    record: Any = told
    assert set(record) == {"file", "sha256"}
    assert np.array_equal(np.asarray(live({key: record})["image"]), np.asarray(picture()))
    picture(32).save(tmp_path / "start.png")
    with pytest.raises(UserError, match="has changed since the run was begun"):
        live({key: record})


def test_an_object_has_to_be_given_again() -> None:
    record: Any = {"image": recorded(picture()), "strength": 0.5}
    with pytest.raises(UserError, match=r"pipeline\.image was given as an object"):
        live(record)
    assert again(record, {"image": picture()})["strength"] == 0.5
    with pytest.raises(UserError):
        again(record, {"image": picture(32)})


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.gif", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"),
        ("b.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 40),
        ("c.txt", b"no picture"),
        ("d.png", b""),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError) as refused:
        read_image(tmp_path / name, "pipeline.image")
    assert str(refused.value).startswith("pipeline.image: ")


def test_a_picture_of_too_many_pixels_is_refused(tmp_path: Path) -> None:
    Image.new("1", (10_000, 10_000)).save(tmp_path / "large.png")
    with pytest.raises(UserError, match="10000 x 10000 is too large"):
        read_image(tmp_path / "large.png", "image")


def test_a_search_from_a_picture_is_reproduced_with_that_picture(zoo: Path, tmp_path: Path) -> None:
    pipe = load(KIND, zoo)
    found = search(
        pipe,
        "a red circle",
        verifier=redness,
        budget="16nfe",
        batch=2,
        steps=KIND.steps,
        out=tmp_path / "run",
        image=picture(),
        strength=0.8,
    )
    assert found.best is not None
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["settings"]["pipeline"]["strength"] == 0.8
    assert is_digest(record["settings"]["pipeline"]["image"])
    png = tmp_path / "run" / "images" / "best.png"
    assert reproduce(png, pipe).equal
    assert reproduce(tmp_path / "run", pipe).equal
    elsewhere = Path(shutil.copy(png, tmp_path / "alone.png"))
    with pytest.raises(UserError, match=r"give it again, from Python: .*arguments={'image': ...}"):
        reproduce(elsewhere, pipe)
    assert reproduce(elsewhere, pipe, arguments={"image": picture()}).equal
    [kept] = (tmp_path / "run" / "inputs").iterdir()
    picture(32).save(kept)
    with pytest.raises(UserError, match="has changed since the run was begun"):
        reproduce(png, pipe)


def test_a_run_of_a_folder_and_a_live_picture_is_resumed_by_the_command(
    call: Call, here: Path, zoo: Path
) -> None:
    seen: list[object] = []

    def one(candidate: object) -> bool:
        seen.append(candidate)
        return len(seen) < 2

    given: Any = {
        "verifier": "shapes-clip",
        "evaluate": "none",
        "budget": "8nfe",
        "batch": 1,
        "steps": KIND.steps,
        "image": picture(),
        "strength": 0.8,
    }
    search(
        f"diffusers:{save(KIND, zoo)}", "a red circle", out=here / "run", on_candidate=one, **given
    )
    assert json.loads((here / "run" / "run.json").read_text())["results"][0]["ended"] == "stopped"
    assert call("resume", "run").code == 0
    told = json.loads((here / "run" / "run.json").read_text())
    assert told["results"][0]["ended"] != "stopped"
    assert call("reproduce", "run", "--out", "again.png").code == 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I", "CMYK", "F"])
def test_pictures_are_kept_by_content_or_not_at_all(mode: str, tmp_path: Path) -> None:
    image = picture().convert(mode)
    save_inputs(tmp_path, {"image": [image, image.copy()], "strength": 1, "name": "x"})
    found = find_input(str(recorded(image)), [tmp_path / "nowhere", tmp_path])
    if mode in ("I", "CMYK", "F"):
        assert found is None
        assert not (tmp_path / "inputs").exists()
        return
    assert found is not None
    assert recorded(found) == recorded(image)
    assert len(list((tmp_path / "inputs").iterdir())) == 1


def test_a_record_leads_to_no_file_outside(tmp_path: Path) -> None:
    picture().save(tmp_path / "out.png")
    (tmp_path / "run" / "inputs").mkdir(parents=True)
    told = "<image sha256:../../out 32x32>"
    assert is_digest(told)
    assert find_input(told, [tmp_path / "run"]) is None


def test_palettes_tell_pictures_apart() -> None:
    one = Image.new("P", (4, 4))
    other = one.copy()
    one.putpalette([255, 0, 0])
    other.putpalette([0, 255, 0])
    assert recorded(one) != recorded(other)


def test_a_path_object_of_a_picture_is_its_path(tmp_path: Path) -> None:
    picture().save(tmp_path / "start.png")
    assert settled({"image": tmp_path / "start.png"}) == settled({"image": f"{tmp_path}/start.png"})
    assert recorded(tmp_path / "x") == f"{tmp_path}/x"


def test_what_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UserError, match=r"pipeline\.x: nested too deeply, or holds itself"):
        recorded({"x": endless}, "pipeline.x")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3, "a mapping of arguments to values is needed"),
        ({f"a{i}": 1 for i in range(65)}, "more than 64 arguments"),
        ({"a b": 1}, "'a b' is no name of an argument"),
        ({3: 1}, "'3' is no name of an argument"),
        ({"negative_prompt": "x"}, "a negative prompt is its prompt's"),
        ({"num_inference_steps": 3}, "num_inference_steps is a setting of its own, 'steps'"),
        ({"generator": 3}, "generator is a setting of its own, 'seed'"),
    ],
)
def test_arguments_that_are_none(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        checked_arguments(given)


def test_objects_given_again_must_be_those_of_the_record() -> None:
    record: Any = {"image": recorded(picture())}
    with pytest.raises(UserError, match=r"pipeline\.mask: the record holds no such argument"):
        again(record, {"mask": picture()})
    with pytest.raises(UserError, match=r"pipeline\.image is not what it was: <image sha256:"):
        again(record, {"image": picture(32)})


def test_a_mistyped_keyword_gets_the_nearest(zoo: Path) -> None:
    pipe = load(KIND, zoo)
    more: Any = {"budgt": "16nfe"}
    with pytest.raises(UserError, match="unknown setting 'budgt'; did you mean 'budget'"):
        search(pipe, "a", verifier=redness, **more)
    with pytest.raises(UserError, match=r"pipeline\.strenght: .* did you mean 'strength'"):
        search(pipe, "a", verifier=redness, pipeline={"strenght": 1.0})


def test_a_picture_on_the_command_line_and_in_a_file(call: Call, here: Path, zoo: Path) -> None:
    picture().save(here / "start.png")
    model = ("--model", str(save(KIND, zoo)), "--verifier", "shapes-clip", "--steps", "5")
    size = ("--set", "pipeline.image=start.png", "--set", "pipeline.strength=0.8")
    words = ("generate", "a red circle", *model, "--budget", "8nfe", "--batch", "2", "-q")
    assert call(*words, *size, "--out", "one").code == 0
    (here / "c.yaml").write_text("pipeline: {image: start.png, strength: 0.8}\n")
    assert call(*words, "--config", "c.yaml", "--out", "two").code == 0
    settings = [json.loads((here / d / "run.json").read_text())["settings"] for d in ("one", "two")]
    assert settings[0]["pipeline"] == settings[1]["pipeline"]
    assert settings[0]["pipeline"]["image"]["file"] == str(here / "start.png")
    assert call("reproduce", "one/images/best.png").code == 0
    said = call(*words, "--set", "pipeline.image=nothere.png", "--out", "three")
    assert (said.code, said.err.startswith("noise-search: pipeline.image: ")) == (2, True)
