"""The circuit breaker of one host: closed, open, one trial at a time, given up."""

from __future__ import annotations

import asyncio
import time

import pytest

from herder.data.download import DownloadConfig
from herder.data.download.failures import Failure
from herder.data.download.host_gate import HostGate, HostGates

SETTINGS = DownloadConfig(breaker_failures=2, breaker_seconds=0.05, breaker_trials=2)


async def fail(gate: HostGate, *, blames_host: bool = True) -> None:
    with pytest.raises(Failure):
        async with gate:
            raise Failure("timeout", "silence", retry=True, blames_host=blames_host)


def test_failures_of_items_open_nothing() -> None:
    async def run() -> None:
        gate = await HostGates(SETTINGS).gate("a:80")
        for _ in range(5):
            await fail(gate, blames_host=False)
        await fail(gate)
        async with gate:
            pass
        await fail(gate)
        assert gate.delay() == 0, "never two of the host in a row"

    asyncio.run(run())


def test_one_trial_at_a_time_and_back() -> None:
    async def run() -> None:
        gates = HostGates(SETTINGS)
        gate = await gates.gate("a:80")
        assert gate is await gates.gate("a:80")
        await fail(gate)
        await fail(gate)
        assert 0 < gate.delay() <= 0.06
        assert (await gates.gate("b:80")).delay() == 0
        await asyncio.sleep(0.06)
        assert gate.delay() == 0
        async with gate:
            assert gate.delay() > 0, "the others wait for the trial"
        assert gate.delay() == 0

    asyncio.run(run())


def test_trials_in_vain_give_the_host_up() -> None:
    async def run() -> None:
        gate = await HostGates(SETTINGS).gate("a:80")
        await fail(gate)
        for _ in range(SETTINGS.breaker_trials + 1):
            await asyncio.sleep(0.06)
            assert gate.delay() == 0
            await fail(gate)
        with pytest.raises(Failure, match="2 trials were in vain") as caught:
            gate.delay()
        assert caught.value.reason == "host-down"

    asyncio.run(run())


def test_a_stopped_trial_leaves_the_gate_open_to_others() -> None:
    async def run() -> None:
        gate = await HostGates(SETTINGS).gate("a:80")
        await fail(gate)
        await fail(gate)
        await asyncio.sleep(0.06)
        with pytest.raises(asyncio.CancelledError):
            async with gate:
                raise asyncio.CancelledError
        assert gate.delay() == 0

    asyncio.run(run())


def test_a_clock_that_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        gate = await HostGates(SETTINGS).gate("a:80")
        await fail(gate)
        await fail(gate)
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now - 3600)
        with pytest.raises(Failure, match="left alone"):
            async with gate:
                pass

    asyncio.run(run())


def test_a_pause_is_kept() -> None:
    async def run() -> None:
        gate = await HostGates(SETTINGS).gate("a:80")
        gate.pause(10)
        gate.pause(1)
        assert 9 < gate.delay() <= 10

    asyncio.run(run())
