"""What every pipeline that denoises in stages shares: lanes, prices, states, going back.

Stage s stands where the s-th denoiser evaluation has been made. On a deterministic sampler the
state is x at stage s. On a stochastic one the step that leaves stage s draws the noise of step s,
and it is drawn by whoever goes on, so that one candidate may branch: the state is then what the
s-th evaluation saw and said. Nothing here knows torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Generic, TypeVar, cast

from noise_search.ask import Ask, Prompt
from noise_search.budget import ZERO, Cost
from noise_search.candidate import Candidate
from noise_search.errors import UserError
from noise_search.noise import LATENTS, Array, Book, Name, Recipe, Segment, Tensors
from noise_search.pipelines.states import Framework, State, States
from noise_search.pipelines.stretches import Stretch, price
from noise_search.pipelines.walks import (
    SEEN,
    Picture,
    Row,
    Walk,
    Walked,
    carried_to,
    carrying,
    seen_of,
)
from noise_search.problem import CutShort, Played
from noise_search.samplers.path import Level
from noise_search.samplers.stochastic import renoise

__all__ = ["Staged"]

A = TypeVar("A", bound=Array)
T = TypeVar("T")


class Staged(ABC, Generic[A]):
    """A pipeline of stages; subclasses walk stretches and know the levels.

    Args:
        book: the recipes of the run.
        states: where latents are kept.
        width: rows of every batch; short ones are padded.
        eta: how random a step is: 0 is the ODE, 1 the posterior of DDPM.
        guided: see `price`.
        decoder: see `price`.
        fast: do not pad; rows then depend on their neighbours in the last bits.
    """

    framework: ClassVar[Framework]
    medium = LATENTS
    most_steps = 1000

    def __init__(
        self,
        book: Book,
        states: States | None,
        *,
        width: int,
        eta: float,
        guided: bool,
        decoder: bool,
        fast: bool,
    ) -> None:
        if width < 1:
            raise UserError(f"a batch has at least one row, not {width}")
        if not 0.0 <= eta <= 1.0:
            raise UserError(f"eta must lie in [0, 1], not {eta}")
        self.book = book
        self.states = States() if states is None else states
        self.width = width
        self.eta = eta
        self.guided = guided
        self.decoder = decoder
        self.fast = fast

    @property
    def stochastic(self) -> bool:
        """Whether a transition between stages draws noise."""
        return self.eta > 0.0

    def price(self, ask: Ask) -> Cost:
        """What playing this costs, without the verifier."""
        return price(ask, self.guided, self.decoder)

    def lane(self, ask: Ask) -> Hashable:
        """Asks of equal lanes may share a batch."""
        return Stretch.of(ask)

    def play(self, asks: Sequence[Ask]) -> tuple[list[Played], Cost]:
        """Play asks of one lane, in order; also what was spent on states that were gone.

        A row that comes out broken is a failure with its reason, charged like any other.

        Raises:
            CutShort: the user's own callback ends the run.
        """
        played: list[Played] = []
        overhead = ZERO
        for part in _parts(asks, self.width):
            parents = {a.parent.name: (a.parent, a.prompt) for a in part if a.parent is not None}
            try:
                states, cost = self._states(parents, carried_to(Stretch.of(part[0])))
                overhead += cost
                found, more = self._play(part, states)
            except CutShort as cut:
                rest = [None] * (len(asks) - len(played) - len(cut.played))
                raise CutShort([*played, *cut.played, *rest], overhead + cut.overhead) from None
            played += found
            overhead += more
        return played, overhead

    def picture(self, candidate: Candidate, prompt: Prompt) -> Picture[A]:
        """A candidate's sample once more, or the last prediction on its way to one.

        Raises:
            ValueError: the candidate has failed, or cannot be made again.
        """
        if candidate.failure is not None:
            raise ValueError(f"candidate {candidate.name} has failed: {candidate.failure}")
        lost = ValueError(f"candidate {candidate.name} cannot be made again")
        if candidate.stage >= candidate.steps:
            states, cost = self._states({candidate.name: (candidate, prompt)})
            if candidate.name not in states:
                raise lost
            x = cast("A", states[candidate.name]["x"])
            pixels, more = self._picture(x, prompt, candidate.steps)
            return Picture(pixels, x, cost + more)
        made, cost = self._rebuild([(candidate, prompt)], shown=True)
        walked = made[candidate.name]
        if walked.problem is not None:
            raise lost
        return Picture(walked.pixels, cast("A", walked.state["x"]), cost)

    @property
    @abstractmethod
    def tensors(self) -> Tensors[A]:
        """Makes the arrays of recipes; asked for after `_prepare`."""

    def _prepare(self, steps: int, prompt: Prompt) -> None:
        """Learn what is not known yet of a schedule, at no evaluation."""

    @abstractmethod
    def _levels(self, steps: int) -> Sequence[Level]:
        """The noise levels of stages 0 to `steps`."""

    @abstractmethod
    def _walk(self, rows: Sequence[Row[A]], stretch: Stretch) -> Walk:
        """Walk at most `width` rows along a stretch."""

    @abstractmethod
    def _leave(self, state: State, stage: int, steps: int, noise: Name) -> State:
        """The state of a stochastic path once a stage is left with a recipe's noise."""

    @abstractmethod
    def _picture(self, x: A, prompt: Prompt, steps: int) -> tuple[object, Cost]:
        """The pixels of a finished sample, and what showing them has cost."""

    @abstractmethod
    def _previews(
        self, x0: Sequence[A], rows: Sequence[Row[A]], steps: int
    ) -> list[tuple[object | None, str | None]]:
        """The pixels of rows' x0-predictions, and what is broken in each."""

    def _wide(self, x: A) -> A:
        """The array in double precision."""
        return x

    def _parts_of_state(self, stage: int, steps: int) -> set[str]:
        """The names of the arrays of a state."""
        return {"x", "out"} if self.stochastic and stage < steps else {"x"}

    def _play(
        self, asks: Sequence[Ask], parents: Mapping[Name, State]
    ) -> tuple[list[Played], Cost]:
        """Play at most a batch of asks whose parents' states are at hand."""
        stretch = Stretch.of(asks[0])
        if any(Stretch.of(ask) != stretch for ask in asks):
            raise ValueError("asks of different lanes cannot share a batch")
        sound = [a for a in asks if a.parent is None or a.parent.name in parents]
        rows = [
            self._row(a.prompt, a.noise, stretch)
            if (parent := a.parent) is None
            else self._row(
                a.prompt,
                a.noise,
                stretch,
                parent.stage,
                parents[parent.name],
                parent.noise.name,
            )
            for a in sound
        ]
        walk = self._walk(rows, stretch) if rows else Walk([], ZERO)
        found = self._compared(rows, carrying(rows, walk.rows, stretch), stretch)
        results = dict(zip((ask.name for ask in sound), found, strict=True))
        self.states.put({n: w.state for n, w in results.items() if w and w.problem is None})
        played = [_played(results[a.name], walk.each) if a.name in results else _GONE for a in asks]
        whole = [p for p in played if p is not None]
        if walk.stopped:
            raise CutShort(played, walk.overhead)
        return whole, walk.overhead

    def _compared(
        self, rows: Sequence[Row[A]], found: Sequence[Walked | None], stretch: Stretch
    ) -> list[Walked | None]:
        """Rows with what they looked like at the earlier stage, where that is wanted."""
        stage, compared = stretch.earlier, list(found)
        sound = [(i, w) for i, w in enumerate(found) if w is not None and w.problem is None]
        if stage is not None and not stretch.apart:
            for i, walked in sound:
                compared[i] = replace(walked, earlier=walked.pixels)
        elif stage is not None:
            known = [(i, walked) for i, walked in sound if stage in walked.seen]
            x0 = [cast("A", walked.seen[stage]) for _, walked in known]
            shown = self._previews(x0, [rows[i] for i, _ in known], stretch.steps) if x0 else []
            for (i, walked), (pixels, _) in zip(known, shown, strict=True):
                compared[i] = replace(walked, earlier=pixels)  # none where that is broken
        return compared

    def _row(
        self,
        prompt: Prompt,
        noise: Recipe,
        stretch: Stretch,
        stage: int = 0,
        state: State | None = None,
        path: Name = "",
    ) -> Row[A]:
        """A row at the stretch's beginning, from a state at `stage` or from its noise alone.

        A random step leaves the state's stage first: by the new noise where the path goes on, by
        its own (`path`) where it goes back, since the new one is needed for the way forward.
        Going back is the exact forward kernel. What the path carries of the stages behind the
        beginning is left there.
        """
        self._prepare(stretch.steps, prompt)
        if state is None:
            return Row(prompt, self._noise(noise.name, 0), noise)
        seen = {s: x0 for s, x0 in seen_of(state).items() if s <= stretch.begin}
        state = {key: value for key, value in state.items() if not key.startswith(SEEN)}
        back = stretch.begin < stage
        if "out" in state:
            state = self._leave(state, stage, stretch.steps, path if back else noise.name)
        x = cast("A", state["x"])
        if not back:
            rest = {key: value for key, value in state.items() if key != "x"}
            return Row(prompt, x, noise, rest, fresh=False, seen=seen, origin=path)
        levels = self._levels(stretch.steps)
        now, then = levels[stage], levels[stretch.begin]
        if stretch.begin == 0 and then.a == 0.0:  # pure noise: nothing of the parent is left
            return Row(prompt, self._noise(noise.name, 0), noise)
        given = self._noise(noise.name, -stretch.begin, going_back=True)
        x = renoise(cast("Any", self._wide(x)), now, then, cast("Any", given))
        origin = path if stretch.begin else noise.name
        return Row(prompt, cast("A", x), noise, fresh=False, seen=seen, origin=origin)

    def _noise(self, name: Name, step: int, going_back: bool = False) -> A:
        """The array of a recipe at a step; `going_back` to the beginning has step 0 as well."""
        return self.tensors.tensor(name, step)

    def _states(
        self, wanted: Mapping[Name, tuple[Candidate, Prompt]], carried: Sequence[int] = ()
    ) -> tuple[dict[Name, State], Cost]:
        """The states of candidates, made again where they are gone; absent where that fails.

        Args:
            wanted: the candidates, by name.
            carried: stages whose x0-predictions are needed beside.
        """
        found: dict[Name, State] = {}
        lost: list[tuple[Candidate, Prompt]] = []
        for name, (candidate, prompt) in wanted.items():
            state = self.states.get(name, self.framework)
            parts = self._parts_of_state(candidate.stage, candidate.steps)
            parts |= {f"{SEEN}{stage}" for stage in carried}
            if state is not None and parts <= set(state):
                found[name] = state
            else:
                lost.append((candidate, prompt))
        made, cost = self._rebuild(lost, carried=carried)
        again = {name: walked.state for name, walked in made.items() if walked.problem is None}
        self.states.put(again)
        return {**found, **again}, cost

    def _rebuild(
        self,
        lost: Sequence[tuple[Candidate, Prompt]],
        shown: bool = False,
        carried: Sequence[int] = (),
    ) -> tuple[dict[Name, Walked], Cost]:
        """Walk the whole paths of candidates again, many at a time, one segment after another.

        Raises:
            CutShort: the user ends the run.
        """
        paths = {c.name: self.book.segments(c.noise, c.stage) for c, _ in lost}
        made: dict[Name, Walked] = {}
        cost = ZERO
        for depth in range(max(map(len, paths.values()), default=0)):
            lanes: dict[Stretch, list[tuple[Name, Row[A]]]] = defaultdict(list)
            for candidate, prompt in lost:
                path, before = paths[candidate.name], made.get(candidate.name)
                if depth >= len(path) or (before is not None and before.problem is not None):
                    continue
                *behind, segment = path[: depth + 1]
                stage = behind[-1].until if behind else 0
                seen = shown and segment is path[-1]
                stretch = _again(candidate, prompt, stage, segment, seen, carried)
                state = None if before is None else before.state
                row = self._row(prompt, segment.noise, stretch, stage, state, segment.before)
                lanes[stretch].append((candidate.name, row))
            for stretch, named in lanes.items():
                for part in _parts(named, self.width):
                    names, rows = zip(*part, strict=True)
                    walk = self._walk(rows, stretch)
                    whole = carrying(rows, walk.rows, stretch)
                    found = {name: w for name, w in zip(names, whole, strict=True) if w}
                    made |= found
                    cost += walk.each * len(found) + walk.overhead
                    if walk.stopped:
                        raise CutShort([], cost)
        return made, cost


def _again(
    candidate: Candidate,
    prompt: Prompt,
    stage: int,
    segment: Segment,
    shown: bool,
    carried: Sequence[int],
) -> Stretch:
    """The stretch of a segment of a candidate's path, from the stage that its path has come to."""
    until = segment.until
    ahead = min(candidate.lookahead, candidate.steps - until) if shown else 0
    known = tuple(s for s in carried if s <= until)
    negative, begin = prompt.negative is not None, stage - segment.rewind
    return Stretch(candidate.steps, begin, until, ahead, shown, negative, carried=known)


_GONE = Played(ZERO, failure="the latents to go on from could not be made again")


def _played(walked: Walked | None, cost: Cost) -> Played | None:
    if walked is None:
        return None
    if walked.problem is not None:
        return Played(cost, failure=walked.problem)
    return Played(cost, walked.pixels, earlier=walked.earlier)


def _parts(items: Sequence[T], width: int) -> Iterator[Sequence[T]]:
    return (items[i : i + width] for i in range(0, len(items), width))
