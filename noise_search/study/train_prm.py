"""A process reward model of a language model's own steps: rollouts, training, and a report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import fsum, tanh
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.specs import parse
from noise_search.study.calibration import auc, bins_of, calibration_png, entropy, gap
from noise_search.study.dry_run import Estimate
from noise_search.study.files import write_bytes, write_json
from noise_search.study.rollouts import (
    HELD_OUT,
    Rolling,
    Solution,
    collect,
    is_held_out,
    write_steps,
)
from noise_search.study.settings import Settings
from noise_search.study.watch import Silent, Watcher

if TYPE_CHECKING:
    from noise_search.verifiers.process_models import TokenClassification
    from noise_search.verifiers.process_train import Example, Plan

ROLLOUTS, MODEL = "rollouts", "model"
"""Folders of the rollouts' run and of the trained model, in that of the whole."""
FORMAT = 1


@dataclass(frozen=True)
class Trained:
    """What came of it.

    Attributes:
        out: the folder.
        model: the folder of the model, for `--verifier prm:FOLDER`.
        report: the contents of `report.json`.
    """

    out: Path
    model: Path
    report: Mapping[str, Any]


@dataclass(frozen=True)
class Judgement:
    """What a model predicts of some solutions: a chance in [0, 1] a step."""

    solutions: Sequence[Solution]
    chances: Sequence[Sequence[float]]

    @property
    def steps(self) -> tuple[list[float], list[float]]:
        """Chances and labels of all steps."""
        labels = [label for s in self.solutions for label in s.labels]
        return [p for row in self.chances for p in row], labels


def train_prm(
    prompts: Sequence[Prompt],
    settings: Settings,
    rolling: Rolling,
    plan: Plan,
    out: Path,
    *,
    base: str | None = None,
    workers: int = 1,
    watch: Watcher | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> Trained:
    """Label steps by rollouts of a language model, and train a model that predicts the labels.

    Rollouts that were made before are not made again, whatever is trained on them.

    Args:
        prompts: the questions.
        settings: completed; their verifier, one of answers, says which texts are right.
        rolling: how much is written.
        plan: how the model is trained.
        out: the folder of `rollouts/`, `steps.jsonl`, `model/`, `report.json`, `calibration.png`.
        base: folder or cached name of the backbone; the language model's own by default.
        workers: processes that write.
        watch: who looks on while rollouts are made.
        say: told of each epoch.

    Raises:
        UserError: something is impossible; what can be known beforehand is said beforehand.
    """
    from noise_search.verifiers.process_train import new_model

    check_split(prompts)
    source = base_of(settings.model) if base is None else base
    new_model(source, plan.seed)  # one that cannot be trained is refused before anything is spent
    found = collect(
        prompts, settings, rolling, out / ROLLOUTS, workers=workers, watch=watch or Silent()
    )
    write_steps(out / "steps.jsonl", found.solutions)
    tails = [s for s in found.tails if not s.held_out] if plan.tails else []
    figures = _train(found.solutions, tails, source, plan, out / MODEL, say)
    report: dict[str, Any] = {
        "format": FORMAT,
        "base": source,
        "settings": settings.model_dump(exclude={"search", "budget", "evaluate"}),
        "rolling": asdict(rolling),
        "questions": len(prompts),
        "candidates": found.candidates,
        "failures": found.failures,
        "spent": found.spent.record(),
        **figures,
        **found.facts,
    }
    bins: list[dict[str, Any]] = report["steps"]["calibration"]
    count = sum(b["size"] for b in bins)
    caption = f"{count:,} steps, {rolling.rollouts} rollouts each; below: how many in each bin"
    write_bytes(out / "calibration.png", _picture(bins, caption))
    write_json(out / "report.json", report)
    return Trained(out, out / MODEL, report)


def check_split(prompts: Sequence[Prompt]) -> None:
    """Refuse questions of which none is held out, or all are.

    Raises:
        UserError: training and held-out questions are both needed.
    """
    held = sum(is_held_out(prompt.text) for prompt in prompts)
    if not 0 < held < len(prompts):
        kept = "all" if held else "none"
        raise UserError(
            f"prompts: of {len(prompts):,} questions {kept} would be held out by their hash "
            f"(about {HELD_OUT:.0%} should be); give more"
        )


def base_of(model: str) -> str:
    """Folder or cached name of the weights behind a model spec."""
    from noise_search.pipelines.text.loading import ARITHMETIC

    spec = parse(model)
    if spec.target is None:
        return str(ARITHMETIC)
    return str(Path(spec.target).expanduser()) if spec.target[0] in "./~" else spec.target


def most(settings: Settings, rolling: Rolling, questions: int) -> Estimate:
    """What the rollouts of so many questions cost at most."""
    candidates, tokens = rolling.bounds(settings)
    # of what is not whole nothing is judged, and each step of a solution may end it
    cost = {"tokens_out": tokens, "verifier_calls": candidates}
    return Estimate(candidates, cost, exact=False) * questions


def _train(
    solutions: Sequence[Solution],
    tails: Sequence[Solution],
    source: str,
    plan: Plan,
    folder: Path,
    say: Callable[[str], object],
) -> dict[str, Any]:
    """Train, save, and measure what was saved on the solutions held out; tails are only learnt."""
    from noise_search.verifiers.process_files import load
    from noise_search.verifiers.process_models import TokenClassification
    from noise_search.verifiers.process_train import encode, new_likelihood, new_model

    convention: TokenClassification = (
        new_likelihood(source) if plan.likelihood else new_model(source, plan.seed)
    )
    train, held = _Split(), _Split()
    for solution in solutions:
        example = encode(convention, solution.question, solution.steps, solution.labels)
        if example is not None:
            (held if solution.held_out else train).add(solution, example)
    if not train.examples or not held.examples:
        raise UserError(f"base: {source} can read no solution of one of the two splits")
    more = [encode(convention, s.question, s.steps, s.labels) for s in tails]
    learnt = [*train.examples, *(example for example in more if example is not None)]
    folder.parent.mkdir(parents=True, exist_ok=True)
    training = _fit(convention, learnt, held.examples, plan, folder, say)
    saved = load(folder)
    if not isinstance(saved.convention, TokenClassification):
        raise TypeError("what was saved is a token classifier")
    unread = len(solutions) - len(train.examples) - len(held.examples)
    return {
        **_figures(train, _judge(saved.convention, held)),
        "unread": unread,
        "training": {"texts": len(learnt), **asdict(plan), **training},
        "version": saved.version,
    }


def _fit(
    convention: TokenClassification,
    learnt: Sequence[Example],
    held_out: Sequence[Example],
    plan: Plan,
    folder: Path,
    say: Callable[[str], object],
) -> dict[str, Any]:
    """Learn, save in float16, and say how it went."""
    import torch

    from noise_search.verifiers.process_files import save, save_likelihood
    from noise_search.verifiers.process_likelihood import Likelihood, fit_head
    from noise_search.verifiers.process_train import fit, read_features

    if isinstance(convention, Likelihood):
        read, unread = (read_features(convention, part) for part in (learnt, held_out))
        losses = fit_head(convention, read, unread, say)
        convention.model.to(torch.float16)
        save_likelihood(folder, convention)
        return {"losses": [{"train": seen, "held-out": held} for seen, held in losses]}
    fitted = fit(convention, learnt, held_out, plan, say)
    convention.model.to(torch.float16)
    save(folder, convention.model, convention.tokenizer)
    return {
        "lr": fitted.lr,
        "losses": [{"train": seen, "held-out": held} for seen, held in fitted.losses],
        "kept epoch": fitted.best,
    }


class _Split:
    """Solutions of one split, and how the model reads them."""

    def __init__(self) -> None:
        self.solutions: list[Solution] = []
        self.examples: list[Example] = []

    def add(self, solution: Solution, example: Example) -> None:
        """Add one."""
        self.solutions.append(solution)
        self.examples.append(example)

    def record(self) -> dict[str, Any]:
        """How much there is, and how the labels are spread."""
        labels = [label for s in self.solutions for label in s.labels]
        ended = [s for s in self.solutions if s.finished]
        return {
            "questions": len({s.question for s in self.solutions}),
            "solutions": len(self.solutions),
            "right solutions": sum(s.labels[-1] for s in ended) / max(1, len(ended)),
            "steps": len(labels),
            "mean label": fsum(labels) / len(labels),
            "labels of 0": sum(label == 0 for label in labels) / len(labels),
            "labels of 1": sum(label == 1 for label in labels) / len(labels),
            "labels by tenths": [b.size for b in bins_of(labels, labels)],
        }


def _judge(convention: Any, split: _Split) -> Judgement:
    from noise_search.verifiers.process_likelihood import Likelihood
    from noise_search.verifiers.process_train import log_odds

    if isinstance(convention, Likelihood):
        rows = [convention.log_odds(example.encoded) for example in split.examples]
    else:
        rows = log_odds(convention, split.examples)
    return Judgement(
        split.solutions, [[0.5 + 0.5 * tanh(odds / 2) for odds in row] for row in rows]
    )


def _figures(train: _Split, held: Judgement) -> dict[str, Any]:
    """How well the held-out labels are predicted."""
    chances, labels = held.steps
    train_labels = [label for s in train.solutions for label in s.labels]
    constant = fsum(train_labels) / len(train_labels)
    bins = bins_of(chances, labels)
    held_split = _Split()
    held_split.solutions = list(held.solutions)
    return {
        "train": train.record(),
        "held-out": held_split.record(),
        "steps": {
            "loss": entropy(chances, labels),
            "loss of a constant": entropy([constant] * len(labels), labels),
            "loss of the labels themselves": entropy(labels, labels),
            "auc, labels of at least 0.5 against others": auc(chances, [x >= 0.5 for x in labels]),
            "expected calibration error": gap(bins),
            "calibration": [b._asdict() for b in bins],
        },
        "finished": _finished(held),
    }


def _finished(held: Judgement) -> dict[str, Any]:
    """How well right solutions are told from wrong ones by the chance after their last step."""
    ended: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for s, chances in zip(held.solutions, held.chances, strict=True):
        if s.finished:
            ended[s.question].append((chances[-1], s.labels[-1] >= 0.5))
    alone = [value for own in ended.values() if (value := _auc(own)) is not None]
    whole = [pair for own in ended.values() for pair in own]
    return {
        "solutions": len(whole),
        "auc": _auc(whole),
        "auc within a question": fsum(alone) / len(alone) if alone else None,
        "questions with right and wrong ones": len(alone),
    }


def _auc(pairs: Sequence[tuple[float, bool]]) -> float | None:
    return auc([chance for chance, _ in pairs], [right for _, right in pairs])


def _picture(bins: Sequence[Mapping[str, Any]], caption: str) -> bytes:
    from noise_search.study.calibration import Bin

    return calibration_png([Bin(**b) for b in bins], caption)
