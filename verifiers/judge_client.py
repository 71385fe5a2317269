"""Questions to an OpenAI-compatible server: paced, asked again where that may help, never trusted.

What may be asked again is a question that was not answered (a time-out, a reset, 408, 429, 5xx) or
whose answer cannot be read.  A server that does not answer ends the run, as no candidate is to
blame; a question that is refused, or whose answers are never any good, has a reason in place of an
answer.  The key is put into the header of a request and into nothing else.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import SecretStr

from noise_search.budget import ZERO, Cost
from noise_search.errors import UserError
from noise_search.verifiers.judge_pace import Pace, sleep
from noise_search.verifiers.judge_replies import advice, reason_in, reply_of, seconds_in, sound
from noise_search.verifiers.judge_secrets import LEAST_SECRET, censor, is_near

if TYPE_CHECKING:
    import httpx
    from tenacity import RetryCallState

__all__ = ["Answered", "Client", "DeadServerError", "Manner", "Prices"]

T = TypeVar("T")

MOST_BYTES = 1 << 20
"""Of a response; one that is longer is not read."""
LONGEST_WAIT = 300.0
"""Seconds; a server that asks for more patience ends the run."""
LONGEST_STEP = 30.0
"""Seconds between two tries, where the server says nothing of it."""
AGAIN = (408, 409, 425, 429)
"""Statuses below 500 after which a question is asked again."""
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
SAME = 3
"""Equal words of no use in a row, after which more of them are not paid for."""
HOPELESS = (401, 402, 403, 404, 405, 407)
"""Statuses that say that no question will be answered."""
FORM = (400, 422)
"""Statuses that say that the server does not take a question of this form."""


class DeadServerError(UserError):
    """The server answers nobody."""


class _Silent(Exception):  # noqa: N818 - handled here
    """The question was not answered; `after` are the seconds that the server asks to wait."""

    def __init__(self, said: str, after: float | None = None) -> None:
        super().__init__(said)
        self.after = after


class _Unreadable(Exception):  # noqa: N818 - handled here
    """There was an answer, and it is of no use."""


class _Refused(Exception):  # noqa: N818 - handled here
    """This question will never be answered."""


@dataclass(frozen=True)
class Manner:
    """How a server is asked.

    Attributes:
        rate: requests a second, or None for as many as there are.
        timeout: seconds to wait for an answer.
        attempts: how often one question is asked at most.
        wait: seconds before the second try, about; they double with every further one.
    """

    rate: float | None = None
    timeout: float = 60.0
    attempts: int = 8
    wait: float = 0.5


@dataclass(frozen=True)
class Prices:
    """What an answer costs.

    Attributes:
        most_in: tokens of a question with its pictures, at most.
        most_out: tokens of an answer, at most.
        usd_in: US dollars of a million tokens read.
        usd_out: US dollars of a million tokens written.
    """

    most_in: int
    most_out: int
    usd_in: float = 0.0
    usd_out: float = 0.0

    @property
    def most(self) -> Cost:
        """An answer, at most; charged where the server does not tell what it was."""
        return self.of(self.most_in, self.most_out)

    def of(self, read: int, written: int) -> Cost:
        """An answer of so many tokens; a dollar a million is a millionth of one a token."""
        millionths = round(read * self.usd_in + written * self.usd_out, 6)
        return Cost(
            judge_calls=1,
            judge_tokens=read + written,
            micro_usd=-int(-millionths // 1),
        )


@dataclass
class Answered(Generic[T]):
    """What came of a question.

    Attributes:
        value: the answer, or None.
        failure: why there is none.
        said: the last words of the judge, as far as they could be made out.
        cost: of all that may be on the bill, answers that were of no use too.
        heard: whether the server has given any answer to it.
        repeated: how often the last words were said before, in a row.
    """

    value: T | None = None
    failure: str | None = None
    said: str = ""
    cost: Cost = ZERO
    heard: bool = False
    repeated: int = 0


class Client:
    """Asks one server. Several threads may ask at once.

    Args:
        url: of the API, as ``http://127.0.0.1:8000/v1``; it may be told to anyone.
        key: sent as a bearer token, or None.
        manner: how it is asked.
        prices: of an answer.
        name: what errors call it.

    Attributes:
        spent: all that may be on the bill so far.
    """

    def __init__(
        self, url: str, key: SecretStr | None, manner: Manner, prices: Prices, name: str
    ) -> None:
        self.manner = manner
        self.prices = prices
        self.name = name
        self.url = url
        self._key = key
        self.spent = ZERO
        self._lock = Lock()
        self._pace = Pace(manner.rate)
        self._http: httpx.Client | None = None
        if key is not None:
            censor(key.get_secret_value())

    @contextmanager
    def connected(self) -> Generator[None]:
        """Hold connections open; they are let go of while pictures are made, as servers do too."""
        import httpx

        # nothing compressed: a small response may not become a large one
        headers = {"Accept-Encoding": "identity"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        try:
            # a proxy of the environment sees what is sent: nothing that is for this machine
            http = httpx.Client(
                headers=headers, timeout=self.manner.timeout, trust_env=not is_near(self.url)
            )
        except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
            # what it says may hold a proxy's password
            raise DeadServerError(
                f"{self.name}: a proxy or certificate that the environment names cannot be used "
                f"({type(error).__name__}); look at HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE"
            ) from None
        with http as self._http:
            yield

    def ask(self, question: dict[str, Any], read: Callable[[str], T], stop: Event) -> Answered[T]:
        """Ask until there is an answer that can be read, or it is no use.

        Args:
            question: the body of the request.
            read: gives the answer of a text, or raises `ValueError` with what is wrong with it.
            stop: set by others to end all waiting.

        Raises:
            DeadServerError: the server has not answered at all, or answers nobody.
            Stopped: `stop` was set before there was an answer.
        """
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

        found: Answered[T] = Answered()
        again = Retrying(
            stop=stop_after_attempt(self.manner.attempts),
            wait=self._patience,
            retry=retry_if_exception_type((_Silent, _Unreadable)),
            sleep=lambda seconds: sleep(seconds, stop),
            reraise=True,
        )
        try:
            found.value = again(self._once, question, read, found, stop)
        except (_Unreadable, _Refused) as error:
            found.failure = str(error)
        except _Silent as error:
            if not found.heard:
                raise DeadServerError(
                    f"{self.name} does not answer: {error}; a run that has a folder can be resumed"
                ) from None
            found.failure = str(error)
        return found

    def _once(
        self,
        question: dict[str, Any],
        read: Callable[[str], T],
        found: Answered[T],
        stop: Event,
    ) -> T:
        sleep(self._pace.turn(), stop)
        status, head, body = self._exchange(question, found)
        if status != 200:
            self._refuse(question, status, head, body)
        reply = reply_of(body)
        cost = self.prices.most if reply.usage is None else self.prices.of(*reply.usage)
        found.heard = True
        self._charge(found, cost)
        said = self.clean(reply.text or reply.error)
        found.repeated = found.repeated + 1 if said and said == found.said else 0
        found.said = said
        self._check_bounds(cost)
        try:
            return read(reply.text)
        except ValueError as error:
            wrong = self.clean(reply.error or str(error))
            if reply.cut:
                wrong += f", cut off at max_tokens={self.prices.most_out}"
            if found.repeated >= SAME - 1:
                raise _Refused(f"{wrong}, {SAME} times in the same words") from None
            raise _Unreadable(wrong) from None

    def _exchange(
        self, question: dict[str, Any], found: Answered[T]
    ) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and body of one request.

        Raises:
            _Silent: there was no whole response in time.
            _Unreadable: it is too long.
        """
        import httpx

        if self._http is None:
            raise RuntimeError("it is not connected")
        sent = time.monotonic()
        try:
            with self._http.stream(
                "POST", f"{self.url}/chat/completions", json=question
            ) as response:
                body = b""
                for part in response.iter_raw():
                    body += part
                    if len(body) > MOST_BYTES:
                        self._charge(found, self.prices.most)
                        found.heard = True
                        raise _Unreadable(f"more than {MOST_BYTES:,} bytes")
                    if time.monotonic() - sent > self.manner.timeout:
                        raise httpx.ReadTimeout("a response came too slowly")
                return response.status_code, response.headers, body
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise _Silent(self.clean(_words(error))) from None
        except httpx.TransportError as error:
            # it may have been at work: what may be on the bill is charged
            self._charge(found, self.prices.most)
            raise _Silent(self.clean(_words(error))) from None
        except httpx.InvalidURL as error:
            raise DeadServerError(f"{self.name}: {self.clean(_words(error))}") from None

    def _charge(self, found: Answered[T], cost: Cost) -> None:
        found.cost += cost
        with self._lock:
            self.spent += cost

    def _refuse(
        self, question: dict[str, Any], status: int, head: httpx.Headers, body: bytes
    ) -> None:
        """Say what a status means.

        Raises:
            _Silent: ask again.
            _Refused: this question will not be answered.
            DeadServerError: none will.
        """
        reason = reason_in(body)
        said = self.clean(f"status {status}, {reason}" if reason else f"status {status}")
        if status in AGAIN or status >= 500:
            after = seconds_in(head)
            if after is not None and after > LONGEST_WAIT:
                raise DeadServerError(
                    f"{self.name} asks to wait {after:,.0f} s ({said}); resume then"
                )
            if after is not None:
                self._pace.rest(after)
            raise _Silent(said, after)
        if status in HOPELESS or status < 400:
            raise DeadServerError(f"{self.name} refuses all questions: {said}")
        if status in FORM and (change := advice(question, body)) is not None:
            raise DeadServerError(f"{self.name} wants to be asked otherwise: {said}; try {change}")
        raise _Refused(said)

    def _check_bounds(self, cost: Cost) -> None:
        """Refuse to go on where answers cost more than the budget was told.

        Raises:
            DeadServerError: this one did.
        """
        most = self.prices.most
        if cost.judge_tokens > most.judge_tokens or cost.micro_usd > most.micro_usd:
            raise DeadServerError(
                f"{self.name}: a question and its answer took {cost.judge_tokens:,} tokens, more "
                f"than most_in={self.prices.most_in} and max_tokens={self.prices.most_out} allow; "
                "raise most_in"
            )

    def _patience(self, state: RetryCallState) -> float:
        """Seconds before the next try: what the server asks for, with jitter; else it doubles."""
        from tenacity import wait_random, wait_random_exponential

        error = None if state.outcome is None else state.outcome.exception()
        after = getattr(error, "after", None)
        if after is not None:
            return float(after) + wait_random(0, min(1.0, self.manner.wait))(state)
        return wait_random_exponential(multiplier=self.manner.wait, max=LONGEST_STEP)(state)

    def clean(self, text: str) -> str:
        """A server's words without the key, should it have repeated it, and fit to be written."""
        text = sound(text)
        key = None if self._key is None else self._key.get_secret_value()
        if key is None or len(key) < LEAST_SECRET:
            return text
        spelt = sound(_ESCAPED.sub(lambda found: chr(int(found[1], 16)), text))
        return spelt.replace(key, "[key]")


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
