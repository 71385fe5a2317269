"""The verifier ``judge``: a vision-language model that grades pictures by a rubric.

``judge:URL#MODEL`` asks any server with the API of OpenAI, ``judge:local#MODEL`` a model of
transformers on the disk.  The score is the overall grade, 0 to 100; the five aspects of Ma et al.
2025 (arXiv:2501.09732), 0 to 10, are kept beside it, and so are the judge's words.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from math import fsum
from threading import Event, Lock
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Interval
from pydantic import BaseModel, Field

from noise_search.budget import ZERO, Cost
from noise_search.errors import UserError
from noise_search.problem import LostVerifierError, Sample, Score, Verifier
from noise_search.specs import Spec
from noise_search.verifiers.card import Card
from noise_search.verifiers.judge_client import (
    Answered,
    Client,
    DeadServerError,
    Manner,
    Prices,
)
from noise_search.verifiers.judge_pace import in_threads
from noise_search.verifiers.judge_secrets import address, key_for
from noise_search.verifiers.models import Device, Dtype, Models, Width
from noise_search.verifiers.pictures import Pixels, frames_of
from noise_search.verifiers.rubric import (
    ASPECTS,
    COMPARE,
    GRADE,
    VERSION,
    Grades,
    Preference,
    compare_text,
    grade_text,
    read,
    schema_of,
)

__all__ = ["FRAMES", "OF_MODELS", "OF_SERVERS", "Judge", "judge", "scored"]

A = TypeVar("A", bound=BaseModel)

FRAMES = 4
"""Key frames of a video, each of which is graded."""
PATIENCE = 8
"""Questions in a row without a good answer after which a judge is given up."""
MOST_WORDS = 1_000
"""Characters of a judge's words that are kept."""

Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Dollars = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Tokens = Annotated[int, Interval(ge=1, le=10_000_000)]
Length = Literal["max_tokens", "max_completion_tokens"]
"""The field of a request that says how long an answer may be."""
Held = Literal["schema", "object", "free"]
"""How a server is told to hold the model to JSON."""

OF_SERVERS = (
    "rate",
    "concurrency",
    "timeout",
    "attempts",
    "wait",
    "temperature",
    "max_tokens",
    "length",
    "most_in",
    "usd_in",
    "usd_out",
    "api_key_env",
    "answers",
)
"""Options of `judge:URL` alone."""
OF_MODELS = ("revision", "device", "dtype", "batch", "words")
"""Options of `judge:local` alone."""


def judge(
    spec: Spec,
    models: Models,
    /,
    rate: Annotated[float, Field(gt=0, le=10_000)] | None = None,
    concurrency: Annotated[int, Interval(ge=1, le=64)] = 4,
    timeout: Seconds = 60.0,
    attempts: Annotated[int, Interval(ge=1, le=50)] = 8,
    wait: Annotated[float, Field(ge=0, le=60)] = 0.5,
    temperature: Annotated[float, Field(ge=0, le=2)] | Literal["none"] = 0.0,
    max_tokens: Tokens = 1024,
    length: Length = "max_tokens",
    most_in: Tokens = 8192,
    usd_in: Dollars = 0.0,
    usd_out: Dollars = 0.0,
    api_key_env: str | None = None,
    answers: Held = "schema",
    revision: str | None = None,
    device: Device = None,
    dtype: Dtype = "float32",
    batch: Width = 4,
    words: Annotated[int, Interval(ge=0, le=512)] = 48,
) -> Verifier:
    """A vision-language model as a judge: `judge:http://HOST:8000/v1#MODEL`, `judge:local#FOLDER`.

    Args:
        spec: as written.
        models: of the run.
        rate: requests a second, at most.
        concurrency: requests at once.
        timeout: seconds to wait for an answer.
        attempts: how often one question is asked, at most.
        wait: seconds before the second try; doubled before every further one.
        temperature: of the judge's tokens; none leaves it to the server, as some models want.
        max_tokens: of an answer.
        length: the field in which the server takes that; OpenAI's reasoning models want the
            second, and count what they think in it.
        most_in: tokens of a question with its picture, at most; prices are made of it.
        usd_in: US dollars of a million tokens read.
        usd_out: US dollars of a million tokens written.
        api_key_env: the variable that holds the key. OPENAI_API_KEY by default, which is sent
            over https, or to this machine, only.
        answers: how the server holds the model to JSON: by a schema, as any object, or not at all.
        revision: of a local model that is named as on the hub.
        device: where a local model runs.
        dtype: of its weights.
        batch: pictures a call of it.
        words: tokens of its reasons, at most.
    """
    local = spec.target == "local"
    if spec.target is None or not spec.part or spec.items:
        raise UserError(
            "verifier judge: write judge:URL#MODEL, as judge:http://127.0.0.1:8000/v1#NAME, "
            "or judge:local#FOLDER"
        )
    for key in spec.options:
        if key in (OF_SERVERS if local else OF_MODELS):
            which = "judge:local" if local else "judge:URL"
            raise UserError(f"verifier {which}: {key} is an option of {_other(local)} alone")
    if local:
        from noise_search.verifiers.judge_local import local_judge

        return local_judge(spec, models, revision, models.place(device, dtype, batch, spec), words)
    url = address(spec.target)
    client = Client(
        url,
        key_for(api_key_env, url),
        Manner(rate, timeout, attempts, wait),
        Prices(most_in, max_tokens, usd_in, usd_out),
        f"verifier judge:{url}#{spec.part}",
    )
    body = {"model": spec.part, length: max_tokens}
    if temperature != "none":
        body["temperature"] = temperature
    return Judge(client, body, answers, str(spec), concurrency)


class Judge:
    """A judge behind a server.

    Of one picture and prompt it is asked once; equal pictures share the answer, and each is
    charged for it.

    Args:
        client: asks the server.
        body: what every request says beside the messages: the model, its temperature and length.
        answers: how the server holds the model to JSON.
        name: the spec it was made from.
        concurrency: questions at once.
    """

    def __init__(
        self, client: Client, body: dict[str, Any], answers: Held, name: str, concurrency: int
    ) -> None:
        self.client = client
        self.name = name
        heat = body.get("temperature")
        self.card = Card(
            version=(
                f"judge {VERSION} {body['model']} at {client.url} {answers} "
                f"temperature={'none' if heat is None else f'{heat:g}'} "
                f"max_tokens={client.prices.most_out}"
            ),
            low=0,
            high=100,
            source=client.url,
            costly=True,
        )
        self._body = body
        self._answers: Held = answers
        self._concurrency = concurrency
        self._known: dict[str, Answered[Grades]] = {}
        self._vain = 0
        self._lock = Lock()

    def most(self, moving: bool) -> Cost:
        """What a sample costs at most: every try is answered, and none to any use but the last."""
        return self.client.prices.most * (self.client.manner.attempts * (FRAMES if moving else 1))

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score a sample, in order, whatever the order the answers come in.

        Raises:
            LostVerifierError: the server is gone, or answers nothing of any use.
        """
        shown = [frames_of(sample, FRAMES) for sample in samples]
        asked = [
            frames
            if isinstance(frames, str)
            else [(_digest(frame, sample.prompt.text), frame) for frame in frames]
            for sample, frames in zip(samples, shown, strict=True)
        ]
        due = {
            key: (frame, sample.prompt.text)
            for sample, frames in zip(samples, asked, strict=True)
            if not isinstance(frames, str)
            for key, frame in frames
            if key not in self._known
        }
        answers: dict[str, Answered[Grades]] = dict(self._known)

        def grade(item: tuple[str, tuple[Pixels, str]], stop: Event) -> None:
            key, (frame, prompt) = item
            content = [_text(grade_text(prompt)), _picture(frame)]
            answers[key] = self._ask(GRADE, content, Grades, stop)

        lost: str | None = None
        before = self.client.spent
        try:
            with self.client.connected():
                in_threads(list(due.items()), grade, self._concurrency)
        except DeadServerError as error:
            lost = str(error)
            # pictures are not to blame for what a broken server says of them
            answers = {k: a for k, a in answers.items() if a.failure is None}
        self._known |= {k: a for k, a in answers.items() if a.value is not None}
        scores = [
            Score(failure=f"{self.name}: {frames}")
            if isinstance(frames, str)
            else scored(self.name, [answers.get(key) for key, _ in frames], sample.pixels)
            for sample, frames in zip(samples, asked, strict=True)
        ]
        if lost is not None:
            told = {
                key
                for frames, score in zip(asked, scores, strict=True)
                if score is not None and not isinstance(frames, str)
                for key, _ in frames
            }
            paid = sum((answers[key].cost for key in due if key in told), ZERO)
            raise LostVerifierError(lost, scores, self.client.spent - before - paid)
        return [score for score in scores if score is not None]

    def prefer(self, pairs: Sequence[tuple[Sample, Sample]]) -> list[Answered[Preference]]:
        """Which of two pictures of one prompt is better; one answer a pair, in order.

        Args:
            pairs: finished pictures; of videos the middle frame is looked at.

        Raises:
            LostVerifierError: the server is gone, or answers nothing of any use.
        """
        found: dict[int, Answered[Preference]] = {}

        def compare(item: tuple[int, tuple[Sample, Sample]], stop: Event) -> None:
            number, pair = item
            first, second = (frames_of(sample, 1) for sample in pair)
            if isinstance(first, str) or isinstance(second, str):
                found[number] = Answered(failure=first if isinstance(first, str) else str(second))
                return
            content = [_text(compare_text(pair[0].prompt.text))]
            content += [_picture(first[0]), _picture(second[0])]
            found[number] = self._ask(COMPARE, content, Preference, stop)

        try:
            with self.client.connected():
                in_threads(list(enumerate(pairs)), compare, self._concurrency)
        except DeadServerError as error:
            raise LostVerifierError(str(error), []) from None
        return [found[number] for number in range(len(pairs))]

    def _ask(
        self, system: str, content: list[dict[str, Any]], kind: type[A], stop: Event
    ) -> Answered[A]:
        question = {
            **self._body,
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": content},
            ],
            **_format(self._answers, kind),
        }
        found = self.client.ask(question, lambda text: self._read(kind, text), stop)
        with self._lock:
            self._vain = 0 if found.failure is None else self._vain + 1
            if self._vain >= PATIENCE:
                raise DeadServerError(
                    f"{self.client.name} has given no good answer to {self._vain} questions in a "
                    f"row; the last: {found.failure}; a run that has a folder can be resumed"
                )
        return found

    def _read(self, kind: type[A], text: str) -> A:
        answer = read(kind, text)
        said: str = answer.model_dump()["reason"]
        return answer.model_copy(update={"reason": self.client.clean(said)})


def scored(name: str, found: Sequence[Answered[Grades] | None], pixels: object) -> Score | None:
    """One score of a judge's answers about a sample's frames; None where one was not asked.

    Args:
        name: of the verifier.
        found: one answer a frame.
        pixels: of the sample: of a video the least overall grade is told too.
    """
    answers = [answer for answer in found if answer is not None]
    if len(answers) < len(found):
        return None
    cost = sum((answer.cost for answer in answers), ZERO)
    said = [a.said if a.value is None else a.value.reason for a in answers]
    detail = {name: " / ".join(said)[:MOST_WORDS]}
    failure = next((a.failure for a in answers if a.failure is not None), None)
    grades = [a.value for a in answers if a.value is not None]
    if failure is not None:
        return Score(failure=f"{name}: {failure}"[:300], detail=detail, cost=cost)
    values = {name: fsum(g.overall for g in grades) / len(grades)}
    if getattr(pixels, "ndim", 3) == 4:
        values[f"{name}.min"] = min(g.overall for g in grades)
    for aspect in ASPECTS:
        total = fsum(float(getattr(g, aspect)) for g in grades)
        values[f"{name}.{aspect}"] = total / len(grades)
    return Score(values, detail=detail, cost=cost)


def _text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def _picture(pixels: Pixels) -> dict[str, Any]:
    """A picture as a part of a message: a PNG in a data URL."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def _format(held: Held, kind: type[BaseModel]) -> dict[str, Any]:
    """The part of a request that asks for JSON."""
    if held == "free":
        return {}
    if held == "object":
        return {"response_format": {"type": "json_object"}}
    schema = {"name": kind.__name__.lower(), "strict": True, "schema": schema_of(kind)}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _digest(pixels: Pixels, prompt: str) -> str:
    head = repr((pixels.shape, prompt)).encode()
    return hashlib.sha256(head + b"\n" + pixels.tobytes()).hexdigest()


def _other(local: bool) -> str:
    return "judge:URL" if local else "judge:local"
