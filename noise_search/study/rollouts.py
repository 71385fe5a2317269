"""Steps of solutions labelled by Monte-Carlo rollouts, as one run that a journal keeps.

A step is worth the share of texts that come to the right answer among those that go on from it
(Wang et al. 2312.08935, section 3.3, soft estimation; Snell et al. 2408.03314, appendix D). The
texts are written by a search like any other, so that budget, resuming and workers are its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from math import fsum
from pathlib import Path
from typing import Any

from noise_search.ask import Prompt
from noise_search.budget import Cost
from noise_search.candidate import Candidate
from noise_search.errors import UserError
from noise_search.journal import Journal
from noise_search.moves import Continue, Move, Search, Start
from noise_search.noise import Book, Name, Splice, digest
from noise_search.run import Job, Outcome
from noise_search.study.bench import build
from noise_search.study.files import write_lines
from noise_search.study.folder import prompt_record, versions
from noise_search.study.generate import LIVE, POOL, drive, forget_latents, make_folder
from noise_search.study.settings import Settings
from noise_search.study.watch import Watcher
from noise_search.study.workers import Workers

HELD_OUT = 0.2
"""Share of the questions that are kept from training, by a hash of their letters."""


@dataclass(frozen=True)
class Rolling:
    """How much is written.

    Attributes:
        samples: solutions of each question.
        rollouts: texts that go on from each step of each solution.
    """

    samples: int
    rollouts: int

    def bounds(self, settings: Settings) -> tuple[int, int]:
        """At most so many candidates, and tokens written, of one question under full settings."""
        steps, most = settings.steps or 1, settings.max_tokens or 1
        long = min(settings.step_tokens or most, most)
        # a step has a token at least, which the texts that go on from it have not to write
        onward = sum(max(1, min(most - s, (steps - s) * long)) for s in range(1, steps))
        count = steps + (steps - 1) * self.rollouts
        tokens = steps * long + self.rollouts * onward
        return self.samples * count, self.samples * tokens


@dataclass(frozen=True)
class Solution:
    """A solution whose steps, or the last of them, are labelled.

    Attributes:
        question: what it solves.
        steps: the words of each step.
        labels: of each of the last steps, the share of right texts that go on from it, in [0, 1];
            of a last step that ends the text, the verdict on the text itself.
        answer: what it came to, or None.
        finished: whether its last step ends the text, and so is labelled by its own verdict.
    """

    question: str
    steps: tuple[str, ...]
    labels: tuple[float, ...]
    answer: str | None
    finished: bool

    @property
    def held_out(self) -> bool:
        """Whether it is kept from training."""
        return is_held_out(self.question)

    def record(self) -> dict[str, Any]:
        """A line of `steps.jsonl`."""
        return {
            "question": self.question,
            "steps": list(self.steps),
            "labels": list(self.labels),
            "answer": self.answer,
            "finished": self.finished,
            "split": "held-out" if self.held_out else "train",
        }


@dataclass(frozen=True)
class Collected:
    """What the rollouts of all questions came to.

    Attributes:
        solutions: the labelled ones, in the order of the questions.
        tails: the rollouts themselves, labelled by their own verdicts.
        spent: what that took.
        candidates: solutions' steps and rollouts played.
        failures: how many of them failed; no label counts them.
        facts: what the record says of the model and of what it was run with.
    """

    solutions: list[Solution]
    tails: list[Solution]
    spent: Cost
    candidates: int
    failures: int
    facts: dict[str, Any]


def is_held_out(question: str) -> bool:
    """Whether a question is kept from training: a function of its letters, spaces aside.

    >>> is_held_out("3 + 4") == is_held_out("3+4 ")
    True
    """
    return int(digest("split", "".join(question.split())), 16) / 2**64 < HELD_OUT


def rolled(task: Any, rolling: Rolling) -> Search:
    """The search: solutions step by step, and texts that go on from each step to the end.

    A solution goes on under its own noise, so that it is the text of a plain seed. Nothing but
    whole texts is judged.

    Args:
        task: what the search works with.
        rolling: how much is written.
    """
    steps = yield [Start(task.fresh(), until=1, look=False) for _ in range(rolling.samples)]
    while parts := [c for c in steps if not c.done]:
        moves: list[Move] = [Continue(c, c.noise, c.stage + 1, look=False) for c in parts]
        moves += [Continue(c, task.fresh()) for c in parts for _ in range(rolling.rollouts)]
        steps = (yield moves)[: len(parts)]
    return []


def solutions_of(outcome: Outcome, verifier: str) -> list[Solution]:
    """The labelled solutions of one question; one is cut where nothing could be judged.

    Args:
        outcome: of `rolled`.
        verifier: whose verdicts, in [0, 1], are the labels.
    """
    paths: dict[Name, list[Candidate]] = defaultdict(list)
    verdicts: dict[Name, list[float]] = defaultdict(list)
    for candidate in outcome.candidates:
        if not _goes_on(candidate):
            paths[candidate.noise.name].append(candidate)
        elif candidate.finished and candidate.parent is not None:
            verdicts[candidate.parent].append(candidate.scores[verifier])
    found: list[Solution] = []
    for path in paths.values():
        labels: list[float] = []
        for step in path:
            judged = [step.scores[verifier]] if step.finished else verdicts[step.name]
            if not judged:
                break
            labels.append(fsum(judged) / len(judged))
        if labels:
            found.append(_solution(outcome.prompt.text, path[len(labels) - 1], labels))
    return found


def tails_of(outcome: Outcome, verifier: str) -> list[Solution]:
    """The texts that went on from a step, each step of theirs labelled by the text's own verdict.

    A text that went through a step is one draw of those that go on from it, so that its verdict
    is an estimate of the step's worth, as unbiased as a share of many and as noisy as one.

    Args:
        outcome: of `rolled`.
        verifier: whose verdicts, in [0, 1], are the labels.
    """
    stages = {candidate.name: candidate.stage for candidate in outcome.candidates}
    return [
        _solution(outcome.prompt.text, c, [c.scores[verifier]] * (c.stage - stages[c.parent]))
        for c in outcome.candidates
        if _goes_on(c) and c.finished and c.parent is not None
    ]


def _goes_on(candidate: Candidate) -> bool:
    """Whether it is a rollout, and not a step of a solution."""
    return isinstance(candidate.noise, Splice)


def _solution(question: str, last: Candidate, labels: Sequence[float]) -> Solution:
    if last.text is None:
        raise TypeError("what was written is a text")
    words = tuple(step.words for step in last.text.steps)
    return Solution(question, words, tuple(labels), last.text.answer, last.finished)


def rolling_header(
    prompts: Sequence[Prompt], settings: Settings, rolling: Rolling
) -> dict[str, Any]:
    """What identifies the run: what is trained afterwards is no part of it."""
    return {
        **settings.model_dump(exclude={"search", "budget", "evaluate", "top_k", "metadata"}),
        "samples": rolling.samples,
        "rollouts": rolling.rollouts,
        "prompts": [prompt_record(prompt) for prompt in prompts],
    }


def collect(
    prompts: Sequence[Prompt],
    settings: Settings,
    rolling: Rolling,
    out: Path,
    *,
    workers: int,
    watch: Watcher,
) -> Collected:
    """Write and label solutions of all questions in a folder; what was begun is gone on with.

    Args:
        prompts: the questions.
        settings: completed; their verifier gives the verdicts.
        rolling: how much is written.
        out: the run's folder; made if absent.
        workers: processes that play batches.
        watch: who looks on.

    Raises:
        UserError: the folder holds another run, or nothing could be labelled.
    """
    make_folder(out)
    book = Book()
    with ExitStack() as stack:
        head = rolling_header(prompts, settings, rolling)
        journal = stack.enter_context(Journal(out / "journal", head, book))
        bench = build(settings, book, out / LIVE)
        journal.identify(bench.identity)
        player = None
        if workers > 1:
            player = stack.enter_context(Workers(workers, settings, out / LIVE, book)).play
        plan = partial(rolled, rolling=rolling)
        jobs = [_job(prompt, settings, plan) for prompt in prompts]
        label = f"rollouts of {len(jobs):,} questions"
        pool = _pool(settings.batch or 1, rolling)
        driven = drive(bench, jobs, watch, journal, player, label=label, pool=pool)
        forget_latents(out)
        facts = {"model": dict(bench.pipeline.describe()), "versions": versions()}
        spent = sum((o.spent for o in driven.outcomes), driven.overhead)
    played = [c for outcome in driven.outcomes for c in outcome.candidates]
    failed = [c.failure for c in played if c.failure is not None]
    name = bench.verifier.name
    solutions = [s for outcome in driven.outcomes for s in solutions_of(outcome, name)]
    tails = [s for outcome in driven.outcomes for s in tails_of(outcome, name)]
    if not solutions:
        raise UserError(f"evaluate: nothing could be judged: {next(iter(failed), 'no texts')}")
    return Collected(solutions, tails, spent, len(played), len(failed), facts)


def write_steps(path: Path, solutions: Sequence[Solution]) -> None:
    """Write `steps.jsonl`, a line a solution."""
    write_lines(path, (solution.record() for solution in solutions))


def _job(prompt: Prompt, settings: Settings, plan: Any) -> Job:
    seed = settings.seed if prompt.seed is None else prompt.seed
    return Job(prompt, plan, {}, settings.steps or 1, seed)


def _pool(batch: int, rolling: Rolling) -> int:
    """Questions at once: as usual, or as many as ask for two full batches in a round."""
    return max(POOL, -(-2 * batch // (rolling.samples * (rolling.rollouts + 1))))
