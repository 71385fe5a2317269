"""The demonstration is honest about its prompts, and says where to look and what to type."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from noise_search.pipelines.shapes.scenes import held_out, parse
from noise_search.study import demo as module
from noise_search.study.demo import demo, demo_texts, table_of
from noise_search.study.settings import Settings


def test_prompts_are_held_out_hard_and_chosen_by_a_rule_that_knows_no_result() -> None:
    texts = demo_texts()
    assert len(texts) == len(set(texts)) == 10
    assert all(held_out(text) for text in texts)
    assert [parse(text).category for text in texts] == ["count"] * 5 + ["mixed"] * 5
    for some in (texts[:5], texts[5:]):
        codes = [zlib.crc32(text.encode()) for text in some]
        assert codes == sorted(codes)


def test_it_prints_a_table_and_three_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = Settings.of({"model": "gaussian(dim=4)", "evaluate": "reward(slope=1+1)"})
    monkeypatch.setattr(module, "SETTINGS", world)
    monkeypatch.setattr(module, "BUDGETS", ("16nfe", "24nfe"))
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    found = demo(tmp_path / "run")
    lines = capsys.readouterr().out.splitlines()
    text = "\n".join(lines)
    for word in ("one sample", "best of N (random)", "prune", "zero-order", "paths", "more steps"):
        assert word in text
    assert "16 NFE" in text
    assert "24 NFE" in text
    assert len(found.prompts) == 10
    assert str(tmp_path / "run" / "curve.png") in lines[-2]
    assert str(tmp_path / "run" / "sheet.png") in lines[-3]
    assert lines[-1].startswith("Next:  noise-search generate ")
    assert table_of(found).row_count == 6


def test_run_again_it_shows_the_same_without_doing_the_work_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = Settings.of({"model": "gaussian(dim=4)", "evaluate": "reward(slope=1+1)"})
    monkeypatch.setattr(module, "SETTINGS", world)
    monkeypatch.setattr(module, "BUDGETS", ("16nfe",))
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    demo(tmp_path / "run")
    first = capsys.readouterr().out
    before = (tmp_path / "run" / "run.json").stat().st_mtime_ns
    demo(tmp_path / "run")
    assert capsys.readouterr().out == first
    assert (tmp_path / "run" / "run.json").stat().st_mtime_ns == before
