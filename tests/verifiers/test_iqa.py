"""Metrics of pyiqa: direction, range, batches, and what is refused. Runs where pyiqa is installed.

pip install 'noise-search[iqa]' && pytest tests/verifiers/test_iqa.py
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from noise_search.ask import Prompt
from noise_search.cli.main import main
from noise_search.errors import UserError
from noise_search.problem import Sample
from noise_search.verifiers.loading import load
from noise_search.verifiers.offline import NotFetched, unconnected

INSTALLED = importlib.util.find_spec("pyiqa") is not None
needs_pyiqa = [
    pytest.mark.skipif(not INSTALLED, reason="pyiqa, whose licence is not free, is not installed"),
    *(
        pytest.mark.filterwarnings(f"ignore::{kind}")
        for kind in ("DeprecationWarning", "FutureWarning", "UserWarning")
    ),
]


def sample(seed: int, height: int = 64, width: int = 64) -> Sample:
    values = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3))
    pixels = values.astype(np.uint8).repeat(8, 0).repeat(8, 1)
    return Sample(Prompt("p", ""), pixels, 1, 1)


def scores(spec: str, samples: list[Sample]) -> list[float]:
    found = load(spec).score(samples)
    assert all(score.failure is None for score in found), found
    return [score.values[spec] for score in found]


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of weights."""
    from pyiqa.utils import download_util  # pyright: ignore[reportMissingImports] - an extra

    monkeypatch.setattr(download_util, "DEFAULT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


class TestWithPyiqa:
    pytestmark = needs_pyiqa

    @pytest.mark.parametrize("name", ["entropy", "piqe"])
    def test_a_score_is_the_metric_such_that_higher_is_better(self, name: str) -> None:
        import pyiqa  # pyright: ignore[reportMissingImports] - an extra

        samples = [sample(seed) for seed in range(3)]
        pixels = np.stack([np.asarray(s.pixels) for s in samples])
        values = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        metric = pyiqa.create_metric(name, device="cpu")
        expected = [float(metric(row[None])) for row in values]
        sign = -1 if name == "piqe" else 1
        assert scores(f"iqa:{name}", samples) == pytest.approx(
            [sign * x for x in expected], abs=1e-5
        )

    def test_the_range_is_turned_with_the_direction(self) -> None:
        cards: list[Any] = [vars(load(f"iqa:{name}"))["card"] for name in ("entropy", "piqe")]
        assert [(card.low, card.high) for card in cards] == [(0, 8), (-100, 0)]
        assert all("Noncommercial" in card.licence for card in cards)
        assert "piqe of pyiqa" in cards[1].version

    @pytest.mark.parametrize("name", ["entropy", "piqe"])
    def test_a_batch_of_sixteen_is_sixteen_calls(self, name: str) -> None:
        samples = [sample(i, 64 + 32 * (i % 2), 96) for i in range(16)]
        alone = [value for one in samples for value in scores(f"iqa:{name}", [one])]
        assert scores(f"iqa:{name}", samples) == pytest.approx(alone, abs=1e-5)

    def test_broken_pictures_fail_alone(self) -> None:
        black = Sample(Prompt("p", ""), np.zeros((64, 64, 3), np.uint8), 1, 1)
        first, second, third = load("iqa:entropy").score([sample(0), black, sample(1)])
        assert (first.failure, third.failure) == (None, None)
        assert second.failure == "iqa:entropy: the picture is black"

    def test_a_size_that_a_metric_cannot_take_fails_alone(self) -> None:
        tiny = np.random.default_rng(0).integers(0, 255, (3, 3, 3)).astype(np.uint8)
        small = Sample(Prompt("p", ""), tiny, 1, 1)
        first, second = load("iqa:piqe").score([sample(0), small])
        assert first.failure is None
        assert second.failure is not None
        assert second.failure.startswith("iqa:piqe: 3 x 3: ")

    @pytest.mark.parametrize(
        ("spec", "said"),
        [
            ("iqa", "write iqa:METRIC"),
            ("iqa:musiq#a", "write iqa:METRIC"),
            ("iqa:muiq", "no metric 'muiq'; did you mean 'musiq'"),
            ("iqa:topiq_fr", "compares with a reference picture; did you mean 'topiq_nr'"),
            ("iqa:ssim", "compares with a reference picture"),
            ("iqa:fid", r"judges a whole set; noise-search score 'fid\(...\)' does"),
            ("iqa:sfid", "judges a whole set"),
            ("iqa:inception_score", r"noise-search score 'is\(...\)' does"),
            ("iqa:clipscore", r"write clip\(clipscore=true\)"),
            ("iqa:qalign_8bit", "code of their own, which is not run"),
            ("iqa:entropy(batch=0)", "batch=0"),
        ],
    )
    def test_what_does_not_fit_is_refused_in_one_line(self, spec: str, said: str) -> None:
        with pytest.raises(UserError, match=f"^verifier iqa[^\n]*{said}[^\n]*$"):
            load(spec)

    @pytest.mark.parametrize("name", ["niqe", "brisque", "musiq", "nima"])
    def test_missing_weights_are_one_line_and_no_connection(
        self, name: str, no_weights: Path, no_network: list[Any]
    ) -> None:
        with pytest.raises(UserError, match=f"prefetch 'iqa:{name}' fetches them$"):
            load(f"iqa:{name}")
        assert no_network == []

    def test_weights_with_code_inside_are_not_read(
        self, no_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        no_weights.mkdir()
        for url in _urls("musiq"):
            torch.save({"params": _Canary(tmp_path / "executed")}, no_weights / url)
        with pytest.raises(
            UserError, match="verifier iqa:musiq: pyiqa cannot load it: Weights only"
        ):
            load("iqa:musiq")
        assert not (tmp_path / "executed").exists()
        assert capsys.readouterr().out == ""

    def test_prefetch_asks_pyiqa(
        self, no_weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def refused(*_: object, **__: object) -> None:
            raise OSError("no such host")

        monkeypatch.setattr("pyiqa.utils.download_util.download_url_to_file", refused)
        assert main(["prefetch", "iqa:niqe"]) == 2
        assert "prefetch: iqa:niqe cannot be fetched: no such host" in capsys.readouterr().err


@pytest.mark.skipif(INSTALLED, reason="pyiqa is installed")
def test_the_extra_is_named_where_it_is_missing() -> None:
    with pytest.raises(UserError, match=r"needs pyiqa; pip install 'noise-search\[iqa\]'$"):
        load("iqa:niqe")


def test_connections_are_refused_in_the_context_alone(no_network: list[Any]) -> None:
    import socket

    with pytest.raises(NotFetched), unconnected():
        socket.create_connection(("127.0.0.1", 9))
    with pytest.raises(ValueError, match="own"), unconnected():
        raise ValueError("of its own")
    assert no_network == []
    assert socket.getaddrinfo("127.0.0.1", 9)


def test_importing_the_module_does_not_import_torch() -> None:
    code = (
        "import sys, noise_search.verifiers.iqa;"
        "sys.exit(any(m in sys.modules for m in ('torch', 'pyiqa', 'cv2')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class _Canary:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.mkdir, (self._path,)


def _urls(name: str) -> list[str]:
    """The files that a metric looks for."""
    from pyiqa.archs.musiq_arch import default_model_urls  # pyright: ignore[reportMissingImports] - an extra

    return [url.rpartition("/")[2] for url in default_model_urls.values()]
