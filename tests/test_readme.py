"""README and guides are true: their Python runs, their commands are accepted."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDES = ("docs/text.md", "docs/verifiers.md")
TEXTS = [README, *((ROOT / guide).read_text(encoding="utf-8") for guide in GUIDES)]
PYTHON = [code for text in TEXTS for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
COMMANDS = [
    line
    for text in TEXTS
    for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
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
    Path("questions.txt").write_text("12 + 7 * 3\n3 + 4 - 2\n")
    Path("gsm8k.jsonl").write_text('{"question": "What is 6 times 3?", "answer": "#### 18"}\n')
    words = shlex.split(line)[1:]
    if words[0] in ("generate", "compare", "train-prm"):
        assert main([*words, "--dry-run"]) == 0
    elif words[0] == "list":
        assert main(words) == 0
    else:
        assert main([words[0], "--help"]) == 0


def test_set_up_is_one_line_each() -> None:
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv")]
    assert [("demo" in line, "pytest" in line) for line in lines] == [(True, False), (False, True)]
