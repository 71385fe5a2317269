"""The wheel holds all it needs: unpacked elsewhere, it generates."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("wheel")
    source = work / "source"
    shutil.copytree(
        ROOT, source, symlinks=True,
        ignore=shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", "runs", ".*_cache"),
    )  # fmt: skip
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "-w", str(work), str(source)], check=True)
    [wheel] = work.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(work / "site")
    return work


def test_it_generates_from_another_folder(unpacked: Path) -> None:
    program = "import sys; from noise_search.cli.main import main; sys.exit(main(sys.argv[1:]))"
    words = ["generate", "two red circles", "--budget", "32nfe", "--out", "out", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", program, *words],
        cwd=unpacked,
        env={**os.environ, "PYTHONPATH": str(unpacked / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run = json.loads((unpacked / "out" / "run.json").read_text())
    assert run["spent"]["nfe"] == 32
    assert (unpacked / "out" / "images" / "best.png").is_file()


def test_it_carries_types_weights_and_licence(unpacked: Path) -> None:
    site = unpacked / "site"
    assert (site / "noise_search" / "py.typed").is_file()
    for folder in ("pipelines/shapes/flow", "pipelines/shapes/ddim", "verifiers/shapes_clip"):
        assert list((site / "noise_search" / folder).rglob("*.safetensors")), folder
    assert list(site.rglob("LICENSE"))
    heads = {path.name for path in (site / "noise_search/verifiers/laion_aesthetic").iterdir()}
    assert {"v2_vit_l_14.safetensors", "LICENSE-MIT", "LICENSE-APACHE-2.0"} <= heads


def test_the_models_keep_to_their_sizes() -> None:
    def megabytes(folder: str) -> float:
        return sum(p.stat().st_size for p in (ROOT / folder).rglob("*.safetensors")) / 1e6

    variants = [megabytes("pipelines/shapes/flow"), megabytes("pipelines/shapes/ddim")]
    verifiers = [megabytes("verifiers/shapes_clip"), megabytes("verifiers/shapes_clip_weak")]
    assert max(variants) <= 8
    assert max(verifiers) <= 4
    assert sum(variants + verifiers) <= 20
