"""The README is true: its Python runs, its commands are accepted."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("noise-search ")
]


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_python_code_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - the README's own code


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_accepted(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from noise_search.cli.main import main

    monkeypatch.chdir(tmp_path)
    Path("prompts.txt").write_text("a red circle\ntwo blue squares\n")
    words = shlex.split(line)[1:]
    if words[0] in ("generate", "compare"):
        assert main([*words, "--dry-run"]) == 0
    elif words[0] == "list":
        assert main(words) == 0
    else:
        assert main([words[0], "--help"]) == 0


def test_set_up_is_one_line_each() -> None:
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv")]
    assert [("demo" in line, "pytest" in line) for line in lines] == [(True, False), (False, True)]
