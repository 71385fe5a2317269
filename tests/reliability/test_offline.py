"""A run reaches for no network, whatever the model: neither by Python's sockets nor below them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conformance.conftest import Place
from tests.conformance.plugging import environment
from tests.conformance.worlds import GAUSSIAN, SHAPES, World

pytestmark = pytest.mark.timeout(600)

GUARD = """\
import os
import sys


def refuse(event, arguments):
    # sockets between processes of this machine have a path for an address
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        if isinstance(arguments[1], (str, bytes)):
            return
    elif event not in ("socket.getaddrinfo", "socket.gethostbyname"):
        return
    with open(os.environ["ATTEMPTS"], "a") as file:
        file.write(f"{event} {arguments}\\n")
    raise ConnectionRefusedError(event)


sys.addaudithook(refuse)
"""


def attempts(words: Sequence[str], site: Path, scratch: Path) -> list[str]:
    """Run Python with a guard that no module can get around; what tried to leave the machine."""
    guard = scratch / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(GUARD)
    variables = environment(site, ATTEMPTS=str(scratch / "attempts"))
    variables["PYTHONPATH"] = os.pathsep.join([str(guard), variables["PYTHONPATH"]])
    del variables["HF_HUB_OFFLINE"]  # nobody's setting may be what keeps a run at home
    subprocess.run([sys.executable, *words], env=variables, check=False)
    log = scratch / "attempts"
    return log.read_text().splitlines() if log.exists() else []


def test_the_guard_sees_an_attempt(site: Path, scratch: Path) -> None:
    reach = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')"
    assert len(attempts(["-c", reach], site, scratch)) > 0


@pytest.mark.parametrize("world", [GAUSSIAN, SHAPES[0]], ids=str)
def test_a_whole_run_makes_no_attempt(
    world: World, site: Path, placed: Place, scratch: Path
) -> None:
    out = scratch / "out"
    settings = placed(world).settings("paths", "24nfe").model_dump()
    given = [
        part
        for key in ("model", "search", "verifier", "budget", "steps", "batch", "guidance_scale")
        if settings[key] is not None
        for part in (f"--{key.replace('_', '-')}", str(settings[key]))
    ]
    words = ["-m", "noise_search.cli.main", "generate", world.texts[0], *given, "--out", str(out)]
    assert attempts(words, site, scratch) == []
    assert (out / "run.json").exists()
