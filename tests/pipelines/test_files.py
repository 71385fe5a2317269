"""Folders of models that are refused before anything of them is loaded, each in one line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from noise_search.errors import UserError
from noise_search.pipelines.files import check_files, index_of, model_spec, place_of
from noise_search.pipelines.loading import load
from noise_search.specs import parse
from tests.pipelines.test_loading import options
from tests.pipelines.zoo import KINDS, save
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]
Folder = Callable[[], Path]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(KINDS["sd15"], tmp_path_factory.mktemp("zoo"))


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A whole pipeline's folder that a test may spoil."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def refused(folder: Path, said: str, *, spec: str | None = None, trust: bool = False) -> None:
    """The folder is refused, in one line that says so."""
    with pytest.raises(UserError, match=said) as caught:
        check_files(parse(spec or f"diffusers:{folder}"), trust=trust)
    assert "\n" not in str(caught.value)


def changed(folder: Path, **parts: Any) -> None:
    index = folder / "model_index.json"
    record = json.loads(index.read_text())
    index.write_text(json.dumps({**record, **parts}))


def weights(folder: Path, name: str = "unet") -> Path:
    [found] = (folder / name).glob("*.safetensors")
    return found


def test_a_whole_folder_is_loaded(folder: Path) -> None:
    index = check_files(parse(f"diffusers:{folder}"))
    assert index.kind == "StableDiffusionPipeline"
    assert index.decodes
    assert index.components["unet"] == ("diffusers", "UNet2DConditionModel")
    assert "safety_checker" not in index.components  # [null, null]
    assert model_spec(str(folder)) == f"diffusers:{folder}"


def test_a_model_of_the_hub_lies_in_links_to_elsewhere(folder: Path, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    weights(folder).rename(blob)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").symlink_to(blob)
    assert check_files(parse(f"diffusers:{folder}")).kind
    blob.unlink()
    refused(folder, "the weights of its unet are there nowhere")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("diffusers", "name a folder or a model of the hub"),
        ("diffusers:./a#b", "name a folder or a model of the hub"),
        ("diffusers:./nowhere", r"model_index\.json: No such file or directory"),
        ("diffusers:some/where", "some/where is not on this machine; noise-search prefetch"),
        ("diffusers:some/where(revision=v1)", "some/where at revision v1 is not on this machine"),
    ],
)
def test_targets_that_lead_nowhere(
    spec: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(tmp_path, said, spec=spec)


def test_a_folder_named_like_a_model_of_the_hub_is_that_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some" / "where").mkdir(parents=True)
    assert place_of("some/where", None) == Path("some/where")
    with pytest.raises(UserError, match=r"holds neither model_index\.json"):
        model_spec("some/where")


def test_what_is_no_place_is_left_to_others() -> None:
    assert model_spec("shapes:flow") == "shapes:flow"
    assert model_spec("a\0b/c") == "a\0b/c"
    assert model_spec("x" * 5000) == "x" * 5000
    assert place_of("~nobody-lives-here/x", None) == Path("~nobody-lives-here/x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("\xff", "is no JSON"),
        ("[1]", "is no JSON object"),
        ("{}", "names no class of a pipeline"),
        ('{"_class_name": 3}', "names no class of a pipeline"),
        ('{"_class_name": []}', "names no class of a pipeline"),
        ('{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "X"]}', "unet"),
        ("{" + " " * (1 << 24) + "}", "larger than 16 MiB"),
    ],
    ids=["cut", "deep", "bytes", "list", "empty", "number", "no-name", "alone", "huge"],
)
def test_an_index_that_says_nothing(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "model_index.json").write_bytes(text.encode("latin-1"))
    refused(tmp_path, said)


def test_an_index_that_is_a_folder_or_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").mkdir()
    refused(tmp_path, "not a file")
    (tmp_path / "model_index.json").rmdir()
    os.mkfifo(tmp_path / "model_index.json")
    refused(tmp_path, "not a file")


@pytest.mark.parametrize("name", ["../out", "/etc", "a/b", "..", "", "a\nb"])
def test_a_components_name_leads_out_of_no_folder(folder: Path, name: str) -> None:
    changed(folder, **{name: ["diffusers", "UNet2DConditionModel"]})
    refused(folder, "is no component's name")


def test_values_that_name_no_class_are_none(folder: Path) -> None:
    before = index_of(parse(f"diffusers:{folder}")).components
    changed(folder, one=["diffusers"], two={"a": 1}, three=[None, "X"], four=True, _five=["a", "b"])
    assert index_of(parse(f"diffusers:{folder}")).components == before


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ({"_class_name": ["pipeline", "Own"]}, "the pipeline"),
        ({"unet": ["own_module", "Own"]}, "its unet"),
        ({"unet": ["os", "system"]}, "its unet"),
        ({"unet": ["../x", "Own"]}, "its unet"),
    ],
    ids=["pipeline", "module", "library", "path"],
)
def test_code_that_lies_with_a_model_needs_leave(
    folder: Path, parts: dict[str, Any], what: str
) -> None:
    changed(folder, **parts)
    refused(folder, f"{what} needs code that lies with the model; --trust-remote-code")
    assert check_files(parse(f"diffusers:{folder}"), trust=True).foreign == what


@pytest.mark.parametrize("how", ["absent", "empty", "file"])
def test_a_component_that_is_not_there(folder: Path, how: str) -> None:
    shutil.rmtree(folder / "vae")
    if how == "empty":
        (folder / "vae").mkdir()
    if how == "file":
        (folder / "vae").write_text("")
    refused(folder, r"its vae \(AutoencoderKL\) is missing from")


@pytest.mark.parametrize("ending", [".bin", ".pt", ".pth", ".ckpt"])
def test_weights_that_are_pickles_are_never_read(folder: Path, ending: str) -> None:
    weights(folder).rename(folder / "unet" / f"diffusion_pytorch_model{ending}")
    refused(folder, r"its unet are there as a pickle alone .*may run code when it is read")


def test_a_pickle_beside_safe_weights_does_no_harm(folder: Path) -> None:
    class Boom:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(folder / "boom"),))

    import pickle

    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Boom()))
    assert load(f"diffusers:{folder}", options()).describe()["class"] == "StableDiffusionPipeline"
    assert not (folder / "boom").exists()


def test_weights_of_a_variant_alone_say_which(folder: Path) -> None:
    weights(folder).rename(folder / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    refused(folder, r"its unet comes as fp16 alone; add \(variant=fp16\)")
    spec = f"diffusers:{folder}(variant=fp16)"
    assert check_files(parse(spec)).kind
    assert load(spec, options()).describe()["class"] == "StableDiffusionPipeline"


@pytest.mark.parametrize(
    "content", [b"", b"version https://git-lfs.github.com/spec/v1\noid x", 100]
)
def test_weights_that_are_cut_off(folder: Path, content: bytes | int) -> None:
    file = weights(folder)
    file.write_bytes(file.read_bytes()[:content] if isinstance(content, int) else content)
    refused(folder, r"unet/diffusion_pytorch_model\.safetensors is cut off, or stands for")


def sharded(folder: Path, ending: str, shards: object) -> None:
    name = f"diffusion_pytorch_model.safetensors.index{ending}.json"
    (folder / "unet" / name).write_text(json.dumps({"weight_map": shards}))


def test_a_shard_that_is_missing(folder: Path) -> None:
    first = folder / "unet" / "diffusion_pytorch_model-00001-of-00002.safetensors"
    weights(folder).rename(first)
    sharded(
        folder, "", {"a": first.name, "b": "diffusion_pytorch_model-00002-of-00002.safetensors"}
    )
    refused(folder, r"unet/diffusion_pytorch_model-00002-of-00002\.safetensors is missing")
    sharded(folder, "", {"a": first.name, "b": "../../elsewhere.safetensors"})
    refused(folder, r"unet/\.\./\.\./elsewhere\.safetensors is missing")


def test_shards_of_another_variant_are_nobodys_business(folder: Path) -> None:
    sharded(folder, ".fp16", {"a": "diffusion_pytorch_model.fp16-00001-of-00002.safetensors"})
    assert check_files(parse(f"diffusers:{folder}")).kind
    alone = folder / "unet" / "diffusion_pytorch_model.fp16.safetensors"
    shutil.copy(weights(folder), alone)
    refused(folder, r"fp16-00001-of-00002\.safetensors", spec=f"diffusers:{folder}(variant=fp16)")


@pytest.mark.parametrize("shards", [None, [], "x", 3])
def test_a_list_of_shards_that_lists_nothing(folder: Path, shards: object) -> None:
    sharded(folder, "", shards)
    refused(folder, "names no files of weights")


@pytest.mark.parametrize(
    ("options_of", "said"),
    [("variant=../x", "variant="), ("revision=a b", "revision="), ("colour=red", "colour")],
)
def test_options_of_a_folder(folder: Path, options_of: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load(f"diffusers:{folder}({options_of})", options())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("unet/config.json", "{"),
        ("unet/config.json", '{"_class_name": "UNet2DConditionModel", "block_out_channels": "x"}'),
        ("scheduler/scheduler_config.json", "[]"),
        ("tokenizer/tokenizer_config.json", "{"),
    ],
)
def test_a_folder_that_cannot_be_loaded_says_so_in_one_line(
    folder: Path, name: str, text: str
) -> None:
    (folder / name).write_text(text)
    with pytest.raises(UserError, match="cannot be loaded: ") as caught:
        load(f"diffusers:{folder}", options())
    assert "\n" not in str(caught.value)


def test_a_class_that_diffusers_does_not_have(folder: Path) -> None:
    changed(folder, _class_name="NoSuchPipeline")
    with pytest.raises(UserError, match=r"cannot be loaded: .*NoSuchPipeline"):
        load(f"diffusers:{folder}", options())


def test_a_variant_that_is_not_there(folder: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be loaded: .*fp16"):
        load(f"diffusers:{folder}(variant=fp16)", options())
