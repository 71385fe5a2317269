"""IP-Adapter and LoRA: loaded by the pipeline's own methods, they pass through a search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from noise_search.errors import UserError
from noise_search.moves import Start
from noise_search.noise import Gaussian
from noise_search.study.search import search
from tests.pipelines.passing import PROMPTS, passes_through, player
from tests.pipelines.playing import latents
from tests.pipelines.zoo import KINDS, load
from tests.pipelines.zoo.conditions import FEATURES, load_ip_adapter, save_ip_adapter, save_lora
from tests.pipelines.zoo.pictures import picture
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]
SD15, FLUX = KINDS["sd15"], KINDS["flux"]
GUIDED = dict(SD15.arguments)
Fresh = Callable[[str], Any]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adapters")


@pytest.fixture(scope="module")
def fresh(root: Path) -> Fresh:
    return lambda name: load(KINDS[name], root)


@pytest.fixture(scope="module")
def with_pictures(root: Path, fresh: Fresh) -> Any:
    """A pipeline with an IP-Adapter."""
    pipe = fresh("sd15")
    save_ip_adapter(root / "ip", pipe)
    load_ip_adapter(root / "ip", pipe)
    return pipe


@pytest.fixture(scope="module")
def loras(root: Path, fresh: Fresh) -> Path:
    save_lora(root / "lora" / "unet", fresh("sd15"))
    save_lora(root / "lora" / "transformer", fresh("flux"), "transformer")
    return root / "lora"


def sample(pipe: Any, arguments: dict[str, Any]) -> Tensor:
    play = player(pipe, arguments)
    return latents(play, play.one(Start(Gaussian(7)), PROMPTS[0]))


def test_a_picture_for_an_ip_adapter_passes_through(with_pictures: Any) -> None:
    passes_through(with_pictures, {**GUIDED, "ip_adapter_image": picture()})


@pytest.mark.nightly
def test_embeddings_for_an_ip_adapter_pass_through(with_pictures: Any) -> None:
    embeds = torch.randn((2, 1, FEATURES), generator=torch.Generator().manual_seed(3))
    passes_through(with_pictures, {**GUIDED, "ip_adapter_image_embeds": [embeds]})


def test_the_picture_and_its_strength_decide_the_sample(with_pictures: Any) -> None:
    upright, turned = picture(), picture().rotate(180)
    found = [sample(with_pictures, {**GUIDED, "ip_adapter_image": p}) for p in (upright, turned)]
    assert not torch.equal(*found)
    told = [player(with_pictures, {**GUIDED, "ip_adapter_image": upright}).pipeline.describe()]
    with_pictures.set_ip_adapter_scale(0.2)
    told += [player(with_pictures, {**GUIDED, "ip_adapter_image": upright}).pipeline.describe()]
    weaker = sample(with_pictures, {**GUIDED, "ip_adapter_image": upright})
    with_pictures.set_ip_adapter_scale(0.8)
    assert not torch.equal(found[0], weaker)
    assert [key for key in told[0] if told[0][key] != told[1][key]] == ["switches"]


def test_an_ip_adapter_without_its_picture_is_refused_before_anything_is_spent(
    with_pictures: Any,
) -> None:
    with pytest.raises(UserError, match="its IP-Adapter needs ip_adapter_image, or unload"):
        player(with_pictures, GUIDED)


@pytest.mark.parametrize(
    ("name", "denoiser", "scaled"),
    [
        ("sd15", "unet", {"cross_attention_kwargs": {"scale": 0.5}}),
        pytest.param(
            *("flux", "transformer", {"joint_attention_kwargs": {"scale": 0.5}}),
            marks=pytest.mark.nightly,
        ),
    ],
    ids=["sd15", "flux"],
)
def test_a_lora_passes_through_with_its_scale(
    name: str, denoiser: str, scaled: dict[str, Any], fresh: Fresh, loras: Path
) -> None:
    pipe, given = fresh(name), dict(KINDS[name].arguments)
    without = sample(pipe, given)
    pipe.load_lora_weights(str(loras / denoiser), local_files_only=True)
    passes_through(pipe, given)
    passes_through(pipe, {**given, **scaled})
    found = [without, sample(pipe, given), sample(pipe, {**given, **scaled})]
    assert not any(torch.equal(found[i], found[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_a_record_tells_a_lora_its_strength_and_whether_it_is_on(fresh: Fresh, loras: Path) -> None:
    pipe = fresh("sd15")

    def told() -> tuple[object, object]:
        record = player(pipe, GUIDED).pipeline.describe()
        return record["weights"], record["switches"]

    bare = told()
    pipe.load_lora_weights(str(loras / "unet"), adapter_name="style", local_files_only=True)
    full = told()
    pipe.set_adapters(["style"], [0.3])
    weak = told()
    pipe.disable_lora()
    off = told()
    assert len({bare, full, weak, off}) == 4
    pipe.unload_lora_weights()
    assert told() == bare


def test_a_run_is_not_resumed_with_another_strength_of_a_lora(
    fresh: Fresh, loras: Path, tmp_path: Path
) -> None:
    pipe = fresh("sd15")
    pipe.load_lora_weights(str(loras / "unet"), adapter_name="style", local_files_only=True)

    def run(stop: bool) -> None:
        more: Any = GUIDED
        search(
            pipe,
            "a red circle",
            verifier=lambda pictures, _: [float(p.size[0]) for p in pictures],
            budget="8nfe",
            steps=2,
            batch=1,
            out=tmp_path / "run",
            on_candidate=lambda _: not stop,
            **more,
        )

    run(stop=True)
    pipe.set_adapters(["style"], [0.3])
    with pytest.raises(UserError, match="another setting of adapters"):
        run(stop=False)
    pipe.set_adapters(["style"], [1.0])
    run(stop=False)
