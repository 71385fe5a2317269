"""Settings and the YAML files they are read from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from noise_search.errors import UserError
from noise_search.study.settings import Settings, read_config


def test_defaults_are_complete() -> None:
    settings = Settings.of({})
    assert settings.model == "shapes"
    assert settings.limits == {}  # the model's own are filled in later


def test_texts_are_converted() -> None:
    settings = Settings.of({"seed": "7", "eta": "0.5", "fast": "true", "budget": "640nfe+90s"})
    assert (settings.seed, settings.eta, settings.fast) == (7, 0.5, True)
    assert settings.limits == {"nfe": 640, "microseconds": 90_000_000}


def test_a_record_of_settings_reads_back() -> None:
    settings = Settings.of({"search": "prune(at=0.25+0.5)", "steps": 8, "top_k": 4})
    assert Settings.of(settings.model_dump()) == settings


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.of({}).seed = 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"serch": "random"}, "unknown setting 'serch'; did you mean 'search'?"),
        ({"seed": True}, "seed=True: a number is needed"),
        ({"eta": float("nan")}, "eta=nan: input should be a finite number"),
        ({"steps": 0}, "steps=0: input should be greater than or equal to 1"),
        ({"model": ""}, "model=: string should have at least 1 character"),
        ({"budget": "64"}, "budget: unknown unit ''"),
        ({"batch": 10**5000}, "batch=(endless)"),
    ],
)
def test_errors_name_the_key(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        Settings.of(values)
    assert said in str(caught.value)


def test_a_config_is_a_flat_mapping(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("# best of N\nsearch: random\nsteps: 8\nprompt:\n  - a\n  - b\n")
    assert read_config(path) == {"search": "random", "steps": 8, "prompt": ["a", "b"]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("seed: !!python/object/apply:os.system ['touch owned']", "line 1"),
        ("a: &a [1]\nb: *a", "aliases are not read"),
        ("a: 1\na: 2", "line 2: 'a' is given twice"),
        ("[" * 10_000, "too long"),
        ("a: [" + "1," * 10_000, "too long"),
        ("", "not a mapping"),
    ],
)
def test_bad_configs_are_refused(
    content: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        read_config(path)
    assert said in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["c.yaml"]
