"""When a host may be asked: a circuit breaker with single trials, and the pauses that the host itself asks for.

Source: M. Nygard, "Release It!", the circuit breaker; its states and counts are purgatory's. Purgatory lets everybody
through once a breaker is half open; here one request at a time tries, and the others wait for what comes of it.
"""

from __future__ import annotations

import time
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import Context, OpenedState

from herder.data.download.failures import Failure
from herder.data.download.settings import DownloadConfig

_TRIAL_POLL_S = 0.05
"""How often those who wait look whether a trial has ended."""


class HostGate:
    """The door to one host: ``delay`` says when it may be entered, ``async with`` goes through it and sees what comes.

    Only a Failure that blames the host counts against it; anything else shows that the host answers.
    """

    def __init__(self, host: str, breaker: AbstractAsyncContextManager[Any], state: Context, trials: int) -> None:
        self.host = host
        self._breaker = breaker
        self._state = state
        self._trials = trials
        self._in_vain = 0
        self._trying = False
        self._paused_until = 0.0

    def delay(self) -> float:
        """Seconds to wait before asking again whether the host may be asked; 0: now.

        Raises Failure with reason ``host-down`` once enough trials were in vain.
        """
        if self._in_vain >= self._trials:
            raise Failure("host-down", f"{self.host} does not answer; {self._in_vain} trials were in vain")
        if self._trying:
            return _TRIAL_POLL_S
        pause = self._paused_until - time.monotonic()
        if self._state.state == "opened" and self._state.opened_at is not None:
            # Past the end by a hair: purgatory wants more than its time to have gone by.
            pause = max(pause, self._state.opened_at + self._state.ttl - time.time() + 0.001)
        return max(0.0, pause)

    def pause(self, seconds: float) -> None:
        """Ask nothing of the host for so long: it said so."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    async def __aenter__(self) -> None:
        trying = self._state.state == "opened"
        try:
            await self._breaker.__aenter__()
        except OpenedState:
            # Purgatory goes by the clock on the wall, and somebody set it back.
            raise Failure("connection", f"{self.host} is left alone for a while", retry=True) from None
        self._trying = self._trying or trying

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._breaker.__aexit__(kind, error, trace)
        if _spares_host(error):
            self._in_vain = 0
            self._trying = False
        elif self._trying and self._state.state == "opened":
            self._in_vain += 1
            self._trying = False


class HostGates:
    """The gates of all hosts, made when they are first asked for."""

    def __init__(self, config: DownloadConfig) -> None:
        self._config = config
        self._gates: dict[str, HostGate] = {}
        self._factory = AsyncCircuitBreakerFactory(
            default_threshold=config.breaker_failures,
            default_ttl=config.breaker_seconds,
            exclude=[(BaseException, _spares_host)],
        )

    async def gate(self, host: str) -> HostGate:
        """The gate of a host, given as ``name:port``."""
        if host not in self._gates:
            breaker = await self._factory.get_breaker(host)
            self._gates[host] = HostGate(host, breaker, breaker.context, self._config.breaker_trials)
        return self._gates[host]


def _spares_host(error: BaseException | None) -> bool:
    """Whether the end of a request says nothing against its host."""
    return not (isinstance(error, Failure) and error.blames_host)
