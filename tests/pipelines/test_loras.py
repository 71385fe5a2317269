"""LoRA that a model's spec names: loaded from safetensors on the disk, part of a run's record."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from noise_search.errors import UserError
from noise_search.moves import Start
from noise_search.noise import Book, Gaussian
from noise_search.pipelines.loading import Options, defaults, load
from noise_search.study.compare import compare
from noise_search.study.fetch import PATTERNS, needs
from noise_search.study.prompts import prompts_of
from noise_search.study.reproduce import reproduce
from noise_search.study.search import search
from noise_search.study.settings import Settings
from tests.pipelines.passing import PROMPTS, STEPS, player
from tests.pipelines.playing import Player, latents
from tests.pipelines.zoo import KINDS, save
from tests.pipelines.zoo import load as loaded
from tests.pipelines.zoo.conditions import save_lora
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]
SD15 = KINDS["sd15"]
GUIDED = dict(SD15.arguments)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, two LoRAs for it, and one for another."""
    root = tmp_path_factory.mktemp("loras")
    save(SD15, root)
    for name, seed in (("style", 11), ("other", 12)):
        save_lora(root / name, loaded(SD15, root), seed=seed)
    save_lora(root / "flux", loaded(KINDS["flux"], root), "transformer")
    return root


@pytest.fixture
def here(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(root)
    return root


def named(spec: str) -> Player:
    """A player of a model that is named by its spec."""
    book = Book()
    options = Options(book=book, width=1, arguments=GUIDED)
    return Player(load(spec, options), book, STEPS)


def sample(play: Player) -> torch.Tensor:
    return latents(play, play.one(Start(Gaussian(7)), PROMPTS[0]))


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning")  # the user's own
@pytest.mark.parametrize(
    ("lora", "scales"),
    [
        pytest.param("./style", {"style": 1.0}, marks=pytest.mark.nightly),
        pytest.param(
            *("style/pytorch_lora_weights.safetensors@0.5", {"style": 0.5}),
            marks=pytest.mark.nightly,
        ),
        ("./style@-0.3+./other@1.2", {"style": -0.3, "other": 1.2}),
    ],
    ids=["folder", "file", "two"],
)
def test_a_named_lora_is_what_a_user_loads(lora: str, scales: dict[str, float], here: Path) -> None:
    pipe = loaded(SD15, here)
    bare = sample(player(pipe, GUIDED))
    for name in scales:
        pipe.load_lora_weights(str(here / name), adapter_name=name, local_files_only=True)
    pipe.set_adapters([*scales], [*scales.values()])
    found = sample(named(f"diffusers:sd15(lora={lora})"))
    assert torch.equal(found, sample(player(pipe, GUIDED)))
    assert not torch.equal(found, bare)


def redness(pictures: list[Any], _: str) -> list[float]:
    """How red pictures are, in [0, 1]."""
    return [float(np.asarray(p)[..., 0].mean() / 255) for p in pictures]


def test_a_run_with_a_lora_resumes_and_is_reproduced_and_only_with_its_weights(
    here: Path, tmp_path: Path
) -> None:
    shutil.copytree(here / "style", tmp_path / "lora")
    spec = f"diffusers:{here / 'sd15'}(lora={tmp_path / 'lora'}@0.7)"

    def run(out: str, stop: int | None = None) -> list[bytes]:
        seen: list[object] = []

        def watch(candidate: object) -> bool:
            seen.append(candidate)
            return stop is None or len(seen) < stop

        given: Any = {**GUIDED, "steps": STEPS, "budget": f"{4 * STEPS}nfe", "batch": 1}
        search(
            spec,
            "a red circle",
            verifier=redness,
            search="prune(at=0.5)",
            out=tmp_path / out,
            on_candidate=watch,
            **given,
        )
        return (tmp_path / out / "candidates.jsonl").read_bytes().splitlines()

    whole = run("whole")
    run("cut", stop=2)
    assert run("cut") == whole
    name = json.loads(whole[-1])["candidate"]
    assert reproduce(tmp_path / "whole", candidate=name).equal
    run("begun", stop=2)
    shutil.copytree(here / "other", tmp_path / "lora", dirs_exist_ok=True)
    with pytest.raises(UserError, match="begun with another weights"):
        run("begun")


@pytest.mark.nightly
def test_a_comparison_runs_with_a_lora(here: Path, tmp_path: Path) -> None:
    given = {"verifier": "shapes-clip", "evaluate": "none", "steps": STEPS, "batch": 1}
    size = {key: value for key, value in GUIDED.items() if key != "guidance_scale"}
    settings = Settings.of({"model": "diffusers:sd15(lora=./style@0.5)", "pipeline": size, **given})
    searches, budgets = ["random", "prune(at=0.5)"], [f"{3 * STEPS}nfe"]
    found = compare(prompts_of(["a red circle"]), settings, searches, budgets, 1, tmp_path / "run")
    assert (found.out / "summary.json").is_file()


@pytest.mark.parametrize(
    ("lora", "said"),
    [
        ("./nowhere", "lora=./nowhere: there is no such file or folder"),
        ("./style@strong", "write lora=FOLDER, or with a strength of at most 10"),
        ("./style@nan", "write lora=FOLDER"),
        ("./style@11", "write lora=FOLDER"),
        ("./style+", "write lora=FOLDER"),
        ("./pickled", r"holds no .safetensors; other files may run code when read"),
        ("./pickled/style.bin", r"holds no .safetensors"),
        ("./several", r"it holds 2 files; name one, such as a.safetensors"),
        ("./torn", r"style.safetensors is cut off, or stands for a file of Git LFS"),
        ("some/lora", "noise-search prefetch some/lora downloads it"),
    ],
)
def test_what_is_no_lora_is_refused_before_anything_is_loaded(
    lora: str, said: str, here: Path
) -> None:
    weights = here / "style" / "pytorch_lora_weights.safetensors"
    for name in ("pickled", "several", "torn"):
        (here / name).mkdir(exist_ok=True)
    (here / "pickled" / "style.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    (here / "torn" / "style.safetensors").write_bytes(weights.read_bytes()[:100])
    for name in ("a", "b"):
        shutil.copy(weights, here / "several" / f"{name}.safetensors")
    with pytest.raises(UserError, match=said) as error:
        defaults(f"diffusers:sd15(lora={lora})")
    assert "\n" not in str(error.value)


def test_a_lora_of_another_model_is_refused(here: Path) -> None:
    with pytest.raises(UserError, match=r"lora=./flux: (it holds nothing that fits|cannot be)"):
        named("diffusers:sd15(lora=./flux)")
    with pytest.raises(UserError, match="unknown option 'lorra'; did you mean 'lora'"):
        named("diffusers:sd15(lorra=./style)")


def test_loras_of_the_hub_are_prefetched_with_their_model(here: Path) -> None:
    spec = "diffusers:./sd15(lora=./style+some/lora@0.5+more/lora)"
    wanted = [("some/lora", None, PATTERNS), ("more/lora", None, PATTERNS)]
    assert list(needs(spec)) == wanted
