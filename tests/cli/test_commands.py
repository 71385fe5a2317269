"""The commands end to end, on an analytic world."""

from __future__ import annotations

import json
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from noise_search.cli.listing import entries_of
from noise_search.registry import build_search, find, names
from noise_search.study.watch import Watcher
from tests.cli.bad_inputs import COMPARE, GENERATE, MODEL
from tests.cli.conftest import Call, contents
from tests.verifiers.judge_server import Judging, Response, judge_server


def record(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "run.json").read_text())
    return found


def test_generate_says_what_it_found_and_where(call: Call, here: Path) -> None:
    said = call(*GENERATE, "--out", "run")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0].startswith("hello: reward ")
    assert lines[1:] == ["8 candidates, 64 NFE", "run"]
    assert "64/64 NFE" in said.err
    assert record(here / "run")["candidates"] == 8


def test_branches_that_are_equal_are_told(call: Call) -> None:
    beam = ("generate", "hello", *MODEL, "--search", "beam(draws=4,width=2)")
    said = call(*beam, "--eta", "0", "--out", "run").out
    assert "continuations were equal to others" in said
    assert "--eta above 0" in said
    assert "equal to others" not in call(*beam, "--eta", "1", "--out", "other").out


def test_quiet_says_only_where(call: Call) -> None:
    assert call(*GENERATE, "--out", "run", "--quiet") == (0, "run\n", "")


@pytest.mark.parametrize(
    "words",
    [
        ("--set", "pipeline.negative_prompt=blue"),
        ("--config", "top.yaml"),
        ("--config", "below.yaml"),
        ("--config", "other.yaml", "--set", "pipeline.negative_prompt=blue"),
    ],
)
def test_a_negative_prompt_is_that_of_all_prompts_that_have_none(
    words: tuple[str, ...], call: Call, here: Path
) -> None:
    (here / "two.csv").write_text("prompt,negative_prompt\na red circle,green\na red square,\n")
    (here / "top.yaml").write_text("negative_prompt: blue\n")
    (here / "below.yaml").write_text("pipeline: {negative_prompt: blue}\n")
    (here / "other.yaml").write_text("pipeline: {negative_prompt: cyan}\n")
    how = ("--model", "shapes", "--steps", "2", "--budget", "2nfe", "--evaluate", "none")
    said = call("generate", "--prompts", "two.csv", *how, *words, "--out", "run")
    assert said.code == 0, said.err
    found: Any = record(here / "run")["results"]
    assert [result["prompt"]["negative"] for result in found] == ["green", "blue"]


@pytest.fixture
def loopback() -> bool:
    return True


def test_the_exit_code_tells_that_a_prompt_came_to_nothing(call: Call, here: Path) -> None:
    def refuse(body: dict[str, Any]) -> Response | None:
        return (400, {}, b"") if "blue" in json.dumps(body["messages"]) else None

    (here / "two.txt").write_text("a red circle\na blue square\n")
    shapes = ("--model", "shapes", "--steps", "2", "--budget", "4nfe", "--evaluate", "none")
    with judge_server(Judging(instead=refuse)) as judging:
        how = (*shapes, "--verifier", judging.spec(), "--out", "run")
        said = call("generate", "--prompts", "two.txt", *how)
        assert said.code == 1, said.err
        assert call("resume", "run").code == 1
    assert "a blue square: nothing was finished" in said.out
    assert "2 of the candidates failed" in said.out


def test_the_same_request_gets_the_same_folder(call: Call, here: Path) -> None:
    first = call(*GENERATE, "--quiet").out
    assert call(*GENERATE, "--quiet").out == first
    assert call(*GENERATE, "--quiet", "--seed", "1").out != first
    assert call("generate", "other", *MODEL, "--quiet").out != first
    assert first.startswith("runs/hello-")
    assert len(list((here / "runs").iterdir())) == 3


def test_a_finished_run_is_left_as_it_is_by_resume(call: Call, here: Path) -> None:
    call(*GENERATE, "--out", "run", "--quiet")
    before = contents(here)
    assert call("resume", "run", "--quiet") == (0, "run\n", "")
    assert contents(here) == before


def test_resume_goes_on_from_any_line(call: Call, here: Path) -> None:
    call(*GENERATE, "--out", "run", "--search", "paths", "--quiet")
    whole = contents(here)
    lines = (here / "run" / "journal").read_bytes().splitlines(keepends=True)
    for kept in (1, 2, len(lines) // 2, len(lines) - 1):
        for name in ("run.json", "candidates.jsonl"):
            (here / "run" / name).unlink()
        (here / "run" / "journal").write_bytes(b"".join(lines[:kept]))
        assert call("resume", "run", "--quiet").code == 0
        found = contents(here)
        assert found["run/candidates.jsonl"] == whole["run/candidates.jsonl"]


def test_prompt_files_and_flags_over_configuration(call: Call, here: Path) -> None:
    (here / "sub").mkdir()
    (here / "sub" / "p.csv").write_text("Caption,seed\none,1\ntwo,\n")
    (here / "sub" / "c.yaml").write_text(
        "model: gaussian(dim=4)\nprompts: p.csv\nprompt_column: caption\n"
        "search: zero-order\nbudget: 32nfe\nfast: true\nmetadata: false\nout: run\n"
    )
    said = call("generate", "--config", "sub/c.yaml", "--budget", "40nfe", "--no-fast")
    assert said.code == 0, said.err
    assert [line.partition(":")[0] for line in said.out.splitlines()[:2]] == ["one", "two"]
    settings = record(here / "run")["settings"]
    assert isinstance(settings, dict)
    assert settings["search"] == "zero-order"
    assert (settings["budget"], settings["fast"], settings["metadata"]) == ("40nfe", False, False)


def test_a_prompt_on_the_command_line_replaces_the_configured_ones(call: Call, here: Path) -> None:
    (here / "c.yaml").write_text("model: gaussian(dim=4)\nprompts: missing.csv\n")
    assert call("generate", "hello", "--config", "c.yaml", "--dry-run").code == 0
    assert call("generate", "--config", "c.yaml", "--dry-run").code == 2


def test_several_prompts_in_a_configuration(call: Call, here: Path) -> None:
    (here / "c.yaml").write_text("model: gaussian(dim=4)\nprompt:\n- one\n- two\n- one\n")
    said = call("generate", "--config", "c.yaml", "--quiet", "--out", "run")
    assert said.code == 0, said.err
    results = record(here / "run")["results"]
    assert isinstance(results, list)
    assert len(results) == 3


def test_reproduce_compares_any_candidate(call: Call, here: Path) -> None:
    call(*GENERATE, "--out", "run", "--search", "zero-order", "--quiet")
    lines = (here / "run" / "candidates.jsonl").read_text().splitlines()
    for name in [json.loads(line)["candidate"] for line in lines[:3]]:
        said = call("reproduce", "run", "--candidate", name)
        assert said == (0, f"{name}: bit-equal\n", "")
    assert call("reproduce", "run").out.endswith(": bit-equal\n")
    assert call("reproduce", "run", "--out", "again.png").code == 2


def test_reproduce_tells_a_difference(call: Call, here: Path) -> None:
    call(*GENERATE, "--out", "run", "--quiet")
    lines = [json.loads(s) for s in (here / "run" / "candidates.jsonl").read_text().splitlines()]
    lines[0]["sha256"] = "0" * 64
    (here / "run" / "candidates.jsonl").write_text("".join(json.dumps(s) + "\n" for s in lines))
    said = call("reproduce", "run", "--candidate", lines[0]["candidate"])
    assert said.code == 1
    assert "not bit-equal" in said.out


def test_compare_prints_a_table(call: Call, here: Path) -> None:
    options = ("--searches", "random,steps", "--budgets", "16nfe,32nfe", "--seeds", "2")
    said = call(*COMPARE, *options, "--out", "run")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0] == "reward: mean [95 % band] by search and budget"
    assert lines[1].split() == ["8nfe", "16nfe", "32nfe"]
    assert [line.split()[0] for line in lines[2:5]] == ["single", "random", "steps"]
    assert lines[-1] == "run"
    again = call("resume", "run", "--quiet")
    assert again.code == 0, again.err
    assert again.out == "run\n"


def test_demo_runs_in_its_folder(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Path, int]] = []

    def stand_in(out: Path, *, workers: int, watch: Watcher) -> None:
        watch.end()
        asked.append((out, workers))

    monkeypatch.setattr("noise_search.study.demo.demo", stand_in)
    assert call("demo", "--quiet") == (0, "", "")
    assert call("demo", "--quiet", "--out", "shown", "--workers", "2").code == 0
    assert asked == [(Path("runs/demo"), 1), (Path("shown"), 2)]


def test_dry_runs_write_nothing(call: Call, here: Path) -> None:
    said = call(*GENERATE, "--dry-run", "--search", "prune", "--budget", "640nfe", "--out", "run")
    assert said.code == 0
    table = dict(line.split("  ", 1) for line in said.out.splitlines() if "  " in line)
    assert table["NFE"].strip().isdigit()
    assert "Nothing was loaded, made or written." in said.out
    assert call(*COMPARE, "--dry-run").code == 0
    assert contents(here) == {}


def test_a_dry_run_says_unknown_and_at_most(call: Call) -> None:
    assert "NFE             unknown" in call(*GENERATE, "--dry-run", "--budget", "90s").out
    said = call(*GENERATE, "--dry-run", "--budget", "1000000nfe").out
    assert "NFE             at most 1,000,000" in said


def test_list_shows_names_options_and_summaries(call: Call) -> None:
    out = call("list").out
    for kind in ("search", "verifier", "model"):
        assert [name for name in names(kind) if name not in out] == []
    assert "(neighbors=4, cosine=0.5, elitist=true)" in call("list", "searches").out
    assert "at=0.25+0.5" in out


@pytest.mark.parametrize("kind", ["search", "verifier", "model"])
def test_everything_listed_has_a_summary(kind: str) -> None:
    for entry in entries_of(kind):
        assert entry.summary.endswith("."), entry


def test_listed_options_are_those_of_the_searches() -> None:
    for entry in entries_of("search"):
        parameters = list(signature(find("search", entry.name)).parameters)[1:]
        options = entry.options.split(", ") if entry.options else []
        assert [option.partition("=")[0].lower() for option in options] == parameters
        spelled = ["random" if option == "SEARCH" else option for option in options]
        build_search(f"{entry.name}({','.join(spelled)})")
