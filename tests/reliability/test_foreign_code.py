"""Code that lies with a model runs on the user's word alone, never on a file's or a record's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from noise_search.candidate import Candidate
from noise_search.errors import UserError
from noise_search.journal import Journal, candidate_record
from noise_search.noise import Book, Gaussian
from noise_search.study.bench import complete
from noise_search.study.compare import resume_comparison
from noise_search.study.generate import resume, run_header
from noise_search.study.prompts import prompts_of
from noise_search.study.reproduce import reproduce
from noise_search.study.settings import Settings
from noise_search.study.watch import Silent
from tests.cli.conftest import Call, call, here
from tests.pipelines.zoo import KINDS, load

__all__ = ["call", "here"]
SAID = "needs code that lies with the model"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A model whose own code leaves a mark if it runs."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    (folder / "model_index.json").write_text(json.dumps({"_class_name": ["evil", "Evil"]}))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    return folder


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path: Path) -> Any:
    yield
    assert not (tmp_path / "ran").exists()


def crafted(folder: Path, **others: Any) -> dict[str, Any]:
    """The header of a run that says the code may run."""
    given = {"model": f"diffusers:{folder}", "verifier": "shapes-clip", "steps": 4}
    settings = complete(Settings.of(given))
    head = run_header(prompts_of(["a red circle"]), settings)
    return {**head, "trust_remote_code": True, **others}


def test_a_journal_cannot_say_it(foreign: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    with Journal(out / "journal", crafted(foreign), Book()):
        pass
    with pytest.raises(UserError, match="trust_remote_code=True"):  # it is another run's
        resume(out)


def test_the_journal_of_a_comparison_cannot_say_it(foreign: Path, tmp_path: Path) -> None:
    head = crafted(foreign, searches=["random"], budgets=["16nfe"], seeds=1)
    with pytest.raises(UserError, match=SAID):
        resume_comparison(tmp_path / "run", head, workers=1, watch=Silent())


def test_a_picture_cannot_say_it(foreign: Path) -> None:
    head, noise = crafted(foreign), Gaussian(1)
    [prompt] = head.pop("prompts")
    candidate = Candidate("0" * 16, prompt["name"], noise, steps=4, stage=4)
    record = {
        "settings": head,
        "prompt": prompt,
        "recipes": [noise.line()],
        "candidate": candidate_record(candidate),
    }
    with pytest.raises(UserError, match=SAID):
        reproduce(record)


def test_a_configuration_cannot_say_it(call: Call, here: Path, foreign: Path) -> None:
    (here / "c.yaml").write_text(f"model: diffusers:{foreign}\ntrust_remote_code: true\n")
    said = call("generate", "a red circle", "--config", "c.yaml")
    assert said.code == 2
    assert said.err.startswith("noise-search: trust_remote_code: a file cannot say this")


OWN_CODE = """
from diffusers import StableDiffusionPipeline


class OwnPipeline(StableDiffusionPipeline):
    def __call__(self, prompt=None, tint=0.0, **others):
        return super().__call__(prompt=prompt, **others)
"""


@pytest.mark.filterwarnings("ignore")  # what diffusers says of pipelines that are not its own
def test_the_users_own_word_runs_it_and_resumes_it(call: Call, here: Path, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    load(KINDS["sd15"], tmp_path).save_pretrained(folder)
    index = json.loads((folder / "model_index.json").read_text())
    index["_class_name"] = ["own_pipeline", "OwnPipeline"]
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "own_pipeline.py").write_text(OWN_CODE)
    words = ["generate", "a red cat", "--model", str(folder), "--verifier", "shapes-clip"]
    words += ["--steps", "2", "--budget", "4nfe", "--out", "run", "--set", "pipeline.tint=0.5"]
    refused = call(*words)
    assert refused.code == 2
    assert "--trust-remote-code" in refused.err
    trusted = call(*words, "--trust-remote-code")
    assert trusted.code == 0, trusted.err
    assert "trust_remote_code" not in (here / "run" / "run.json").read_text()
    assert "trust_remote_code" not in (here / "run" / "journal").read_text()
    for words in (["resume", "run"], ["reproduce", "run"]):
        refused = call(*words)
        assert refused.code == 2
        assert "--trust-remote-code" in refused.err
        assert call(*words, "--trust-remote-code").code == 0
