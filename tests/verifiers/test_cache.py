"""The score cache: no wrong hit, safe for several processes, and never a reason to end a run."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from noise_search.ask import Prompt
from noise_search.budget import Cost
from noise_search.errors import UserError
from noise_search.problem import Sample, Score, Verifier
from noise_search.text import Step, Text
from noise_search.verifiers.cache import Cached, ScoreCache, cache_file, cached, key_of
from noise_search.verifiers.card import Card
from noise_search.verifiers.loading import from_callable, load

PLACE = "cpu threads:1"
PIXELS = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)


class Counted:
    """Numbers its answers, so that no two are alike; fails where a prompt says so."""

    def __init__(self, name: str = "counted", version: str = "1") -> None:
        self.name = name
        self.card = Card(version=version, costly=True)
        self.asked: list[Sample] = []

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        answers: list[Score] = []
        for sample in samples:
            self.asked.append(sample)
            if sample.prompt.text == "fail":
                answers.append(Score(failure="no answer came"))
            elif sample.prompt.text == "nan":
                answers.append(Score({self.name: float("nan")}))
            else:
                number = float(len(self.asked)) / 3
                words = {f"{self.name}.why": "weil „nein“"}
                answers.append(Score({self.name: number}, None, words, Cost(judge_tokens=7)))
        return answers


def sample(text: str = "a cat", pixels: object = PIXELS, stage: int = 4) -> Sample:
    return Sample(Prompt("p", text), pixels, stage, 4)


@pytest.fixture
def cache(tmp_path: Path) -> ScoreCache:
    return ScoreCache(tmp_path / "scores.sqlite")


def kept(verifier: Verifier, cache: ScoreCache, place: str = PLACE) -> Cached:
    found = cached(verifier, lambda: cache, place)
    assert isinstance(found, Cached)
    return found


def look_alikes() -> Iterator[tuple[Sample, str, str, str]]:
    """200 samples with the verifier they are shown to, all of which differ in one thing."""
    pictures: list[np.ndarray] = [
        PIXELS,
        PIXELS.reshape(4, 16, 3),
        PIXELS.reshape(16, 4, 3),
        PIXELS.reshape(1, 8, 8, 3),
        PIXELS.astype(np.float32),
        PIXELS.view(np.int8),
        PIXELS[::-1].copy(),
        PIXELS[..., ::-1].copy(),
        PIXELS.transpose(1, 0, 2),
    ]
    yield replace(sample(), earlier=PIXELS), "clip", "1", PLACE
    yield replace(sample(), earlier=PIXELS[::-1]), "clip", "1", PLACE
    for at in range(34):
        changed = PIXELS.copy()
        changed[at // 8, at % 8, at % 3] ^= 1
        pictures.append(changed)
    for pixels in pictures:
        yield sample(pixels=pixels), "clip", "1", PLACE
    prompts = ("", "a cat ", " a cat", "A cat", "a\ncat", "a cat\0", 'a cat", "1', "cat a", "кот")
    for text in prompts:
        yield sample(text), "clip", "1", PLACE
    yield replace(sample(), prompt=Prompt("p", "a cat", negative="a dog")), "clip", "1", PLACE
    yield replace(sample(), prompt=Prompt("p", "a cat", answer="a dog")), "clip", "1", PLACE
    yield replace(sample(), prompt=Prompt("p", "a cat", negative="")), "clip", "1", PLACE
    yield sample(stage=3), "clip", "1", PLACE
    names = ("clip:a", "clip(batch=2)", "clip1", "pick", "clip,1")
    sides = ("224", "336", "224,crop", "224+crop", "fp16", "bf16", "sha256:a", "sha256:b")
    for name, version in product(names, sides):
        yield sample(), name, version, PLACE
    for version, place in product(sides, ("cuda threads:1", "cpu threads:2")):
        yield sample(), "clip", version, place
    words = "one cat and a dog, two cats, three cats, and a mouse"
    for cut in range(1, 40):
        yield written(words[:cut], "rest"), "clip", "1", PLACE
    for cut in range(1, 48):
        yield written(words[:cut], words[cut:]), "clip", "1", PLACE


def written(*steps: str) -> Sample:
    text = Text(tuple(Step(words, (1,)) for words in steps))
    return replace(sample(pixels=None), text=text)


def test_no_two_look_alikes_share_a_score(cache: ScoreCache) -> None:
    cases = list(look_alikes())
    assert len(cases) == 200
    right = {key_of(*case): Score({"s": float(i)}) for i, case in enumerate(cases)}
    cache.keep(right)
    found = cache.recall([key_of(*case) for case in cases])
    hits = [found[key_of(*case)].values for case in cases]
    assert hits == [{"s": float(i)} for i in range(len(cases))]


def test_the_same_is_asked_once_and_told_apart(cache: ScoreCache) -> None:
    judge = Counted()
    [first, again, other] = kept(judge, cache).score([sample(), sample(), sample("a dog")])
    [later] = kept(judge, cache).score([sample(pixels=PIXELS.copy())])
    assert len(judge.asked) == 2
    assert (first.cached, again.cached, other.cached, later.cached) == (False, True, False, True)
    assert first.values == again.values == later.values != other.values
    assert later == replace(first, cached=True)  # words and costs too


def test_other_memory_order_is_the_same_picture(cache: ScoreCache) -> None:
    turned = np.asfortranarray(PIXELS)
    assert key_of(sample(), "a", "1", PLACE) == key_of(sample(pixels=turned), "a", "1", PLACE)


@pytest.mark.parametrize("text", ["fail", "nan"])
def test_what_has_failed_is_asked_again(cache: ScoreCache, text: str) -> None:
    judge = Counted()
    kept(judge, cache).score([sample(text)])
    kept(judge, cache).score([sample(text)])
    assert len(judge.asked) == 2


def test_another_version_is_asked_anew(cache: ScoreCache) -> None:
    kept(Counted(version="1"), cache).score([sample()])
    second = Counted(version="2")
    kept(second, cache).score([sample()])
    assert len(second.asked) == 1


def test_only_what_is_costly_is_kept(cache: ScoreCache) -> None:
    shapes = load("shapes")
    assert cached(shapes, lambda: cache, PLACE) is shapes


def test_it_asks_for_the_preview_that_its_verifier_wants(cache: ScoreCache) -> None:
    judge = Counted()
    assert kept(judge, cache).earlier is None
    judge.earlier = 0.5  # type: ignore[attr-defined]  # as one that looks at previews has
    assert kept(judge, cache).earlier == 0.5


def test_a_function_is_kept_if_it_says_a_version(cache: ScoreCache) -> None:
    asked: list[str] = []

    def brightness(pictures: list[object], prompt: str) -> list[float]:
        asked.append(prompt)
        return [1.0 for _ in pictures]

    plain = from_callable(brightness)
    assert cached(plain, lambda: cache, PLACE) is plain
    brightness.version = "2026-11"  # type: ignore[attr-defined]  # as a user would
    for _ in range(2):
        kept(from_callable(brightness), cache).score([sample()])
    assert len(asked) == 1


def test_the_parts_of_a_ranking_are_kept_each(cache: ScoreCache) -> None:
    from noise_search.ranking import ByScore, MeanRank
    from noise_search.verifiers.composite import Several

    one, two = Counted("one"), Counted("two")
    ranking = MeanRank([ByScore("one"), ByScore("two")])
    joined = cached(Several([one, two], "rank(one,two)", ranking), lambda: cache, PLACE)
    kept(one, cache).score([sample()])
    [score] = joined.score([sample()])
    assert (len(one.asked), len(two.asked)) == (1, 1)
    assert set(score.values) == {"one", "two"}
    assert not score.cached
    assert joined.score([sample()])[0].cached


WRITER = """
import sys
from pathlib import Path
from noise_search.problem import Score
from noise_search.verifiers.cache import ScoreCache
cache, own = ScoreCache(Path(sys.argv[1])), int(sys.argv[2])
for i in range(60):
    shared = {b"shared %d" % i: Score({"s": float(i)})}
    cache.keep({b"own %d %d" % (own, i): Score({"s": own + i / 100}), **shared})
    assert cache.recall([b"shared %d" % i])[b"shared %d" % i].values == {"s": float(i)}
assert cache.trouble is None, cache.trouble
"""


def test_processes_write_at_once_and_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scores.sqlite"
    words = [sys.executable, "-c", WRITER, str(path)]
    writers = [subprocess.Popen([*words, str(own)], stderr=subprocess.PIPE) for own in range(5)]
    said = [writer.communicate()[1].decode() for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 5, said
    cache = ScoreCache(path)
    for own in range(5):
        found = cache.recall([b"own %d %d" % (own, i) for i in range(60)])
        assert [found[b"own %d %d" % (own, i)].values["s"] for i in range(60)] == [
            own + i / 100 for i in range(60)
        ]
    assert len(cache.recall([b"shared %d" % i for i in range(60)])) == 60


@pytest.mark.parametrize("kind", ["words", "empty database of another", "other tables", "torn"])
def test_another_file_is_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "scores.sqlite"
    if kind == "words":
        path.write_text("these are my notes, not a database " * 99)
    elif kind == "torn":
        ScoreCache(path).keep({b"k": Score({"s": 1.0})})
        path.write_bytes(path.read_bytes()[:5000])
    else:
        file = sqlite3.connect(path)
        file.execute("PRAGMA application_id=77" if kind[0] == "e" else "CREATE TABLE t (x)")
        file.close()
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"no score cache; remove it\. .*--no-cache") as error:
        ScoreCache(path)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^cache: .*file.*NOISE_SEARCH_CACHE"):
        ScoreCache(tmp_path / "file" / "scores.sqlite")


def test_a_score_that_was_changed_is_asked_anew(cache: ScoreCache) -> None:
    judge = Counted()
    [first] = kept(judge, cache).score([sample()])
    file = sqlite3.connect(cache.path)
    file.execute("UPDATE scores SET said = replace(said, '0.33', '9.33')")
    file.commit()
    file.close()
    [second] = kept(judge, cache).score([sample()])
    assert (len(judge.asked), second.cached) == (2, False)
    assert first.values != second.values


def test_trouble_in_the_midst_of_a_run_does_not_end_it(cache: ScoreCache) -> None:
    judge = kept(Counted(), cache)
    judge.score([sample()])
    cache.path.write_bytes(b"overwritten by something else " * 999)
    with pytest.warns(RuntimeWarning, match="is not used any more"):
        assert judge.score([sample("a dog")])[0].values
    assert cache.trouble is not None


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOISE_SEARCH_CACHE", str(tmp_path / "own"))
    assert cache_file().parent == tmp_path / "own"
    monkeypatch.delenv("NOISE_SEARCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_file().parent == tmp_path / "xdg" / "noise-search"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_file().parent == Path("~/.cache/noise-search").expanduser()
