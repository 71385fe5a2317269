"""A verifier of another package, as the guide tells to write one, is found by its entry point."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import noise_search
from noise_search import UserError
from noise_search.verifiers.loading import load
from tests.cli.conftest import Call, call, here

__all__ = ["call", "here"]
GUIDE = (Path(__file__).parents[2] / "docs/verifiers.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The guide's package, as pip would leave it."""
    [code] = [c for c in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "Card(" in c]
    [place] = re.findall(r'^warmth = "(\S+)"$', GUIDE, re.MULTILINE)
    module, _, attribute = place.partition(":")
    site = tmp_path / "site"
    info = site / "my_package-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{module}.py").write_text(code)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    group = "[noise_search.verifiers]"
    (info / "entry_points.txt").write_text(f"{group}\nwarmth = {module}:{attribute}\n")
    monkeypatch.syspath_prepend(site)
    yield
    import sys

    sys.modules.pop(module, None)


def test_it_has_ten_lines() -> None:
    [code] = [c for c in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "Card(" in c]
    body = code[code.index("def warmth") :]
    assert len([line for line in body.splitlines() if line.strip()]) <= 10


def test_it_works_by_its_spec_with_options() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    for spec, blue in (("warmth", 1.0), ("warmth(blue=0.5)", 0.5)):
        [score] = noise_search.score([picture], verifier=spec)
        expected = picture[..., 0].mean() - blue * picture[..., 2].mean()
        assert score.values == {spec: pytest.approx(expected)}
    with pytest.raises(UserError, match="unknown option 'blu'; did you mean 'blue'"):
        load("warmth(blu=1)")
    with pytest.raises(UserError, match="unknown verifier 'warmt'; did you mean 'warmth'"):
        load("warmt")


def test_it_guides_a_search_and_joins_others(call: Call) -> None:
    words = ("generate", "a red circle", "--verifier", "rank(warmth,shapes-clip)", "-q")
    assert call(*words, "--budget", "16nfe", "--out", "run").code == 0
    [best] = [r for r in [call("score", "warmth", "run/images", "--json")] if r.code == 0]
    assert '"warmth"' in best.out


def test_it_works_from_yaml_where_a_wrong_name_gets_the_nearest(call: Call, here: Path) -> None:
    text = "model: shapes\nprompt: a red circle\nbudget: 16nfe\nout: run\nverifier: {}\n"
    for spec, code in (("warmth(blue=0.5)", 0), ("warmt", 2)):
        (here / "run.yaml").write_text(text.format(spec))
        said = call("generate", "--config", "run.yaml", "-q")
        assert said.code == code
    assert "did you mean 'warmth'?" in said.err


def test_it_is_listed(call: Call) -> None:
    said = call("list", "verifiers")
    assert "How much more red than blue there is: `warmth`" in said.out
    assert "(blue=1.0)" in said.out
