"""Events out of a running gateway: told, signed, kept over a kill, and seen and mended at the console."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.core.errors import Misconfigured
from gateway.core.ports import Store
from gateway.runtime.parts import changes
from gateway.runtime.preflight import demand
from gateway.runtime.settings import load, parse
from gateway.store.settings import Settings as StoreSettings
from tests.event_receiver import OTHER, SECRET, Receiver, receiving, reply
from tests.rig import launch, running, until

CONFIG = """
[site]
id = "SZ1"
[store]
path = "{folder}/store"
[api]
port = 0
anonymous = ["read", "reports:write"]
[diagnosis]
models = "none"
[language]
engine = "lite"
[[asset]]
id = "M-01"
[events]
allow = ["127.0.0.1"]
[[events.to]]
name = "mes"
url = "http://127.0.0.1:{port}/hooks"
secrets = [{{ env = "EVENTS_ONE" }}, {{ env = "EVENTS_TWO" }}]
types = ["report.taken", "order.*"]
timeout = "3s"
"""
ENV = {"EVENTS_ONE": SECRET, "EVENTS_TWO": OTHER}


def written(folder: Path, receiver: Receiver, **more: str) -> str:
    text = CONFIG.format(folder=folder, port=receiver.port)
    for old, new in more.items():
        text = text.replace(old, new)
    (folder / "andon.toml").write_text(text)
    return str(folder / "andon.toml")


def quieted(config: str) -> None:
    """Take the receiver out of the settings."""
    file = Path(config)
    file.write_text(file.read_text().partition("[[events.to]]")[0])


def andon(config: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", *arguments, "-c", config],
        capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **ENV},
    )  # fmt: skip


@asynccontextmanager
async def beside(folder: Path) -> AsyncIterator[Store]:
    """Look into the store of a gateway that runs."""
    store = await asyncio.to_thread(StoreSettings(path=str(folder / "store")).open)
    try:
        yield store
    finally:
        await store.close()


async def report(url: str, name: str) -> None:
    async with httpx2.AsyncClient(base_url=url) as http:
        answer = await http.post("/api/v1/reports", json={"id": name, "text": "Mr. Smith: pump 1 leaks"})
    assert answer.status_code == 202


async def subscribed(store: Store) -> None:
    await until(lambda: store.read(lambda tx: tx.subscriber("mes")), "the subscriber")


async def marked(store: Store) -> None:
    async def empty() -> bool:
        return await store.read(lambda tx: tx.outgoing("mes")) == []

    await until(empty, "the mark")


async def test_what_happens_is_told_signed_and_without_a_name(tmp_path: Path) -> None:
    async with receiving() as receiver:
        config = written(tmp_path, receiver)
        start = running(tmp_path / "log", "gateway.cli.main", "up", "-c", config, env=ENV)
        async with start as gateway, beside(tmp_path) as store:
            await subscribed(store)
            await report(gateway.ready["url"], "r-1")
            await receiver.wait(lambda: bool(receiver.got))
            [one] = receiver.got
            assert one.signers == (SECRET, OTHER)
            event = one.event
            assert (event.get_type(), event.get_subject()) == ("io.andon.report.taken.v1", "r-1")
            assert event.get_source() == "urn:andon:SZ1"
            assert b"Smith" not in one.body and b"leaks" not in one.body
            async with httpx2.AsyncClient(base_url=gateway.ready["url"]) as http:

                async def counted() -> bool:
                    return (
                        'andon_events_total{outcome="taken",subscriber="mes"} 1.0' in (await http.get("/metrics")).text
                    )

                await until(counted, "the count")
        assert SECRET not in (tmp_path / "log").read_text()


@pytest.mark.kill
async def test_a_kill_between_the_send_and_the_mark_tells_again_under_the_same_id(tmp_path: Path) -> None:
    async with receiving() as receiver:
        config = written(tmp_path, receiver)
        receiver.answer = lambda _: None  # it has the event, and its answer never comes
        gateway = await launch(tmp_path / "log", "gateway.cli.main", "up", "-c", config, env=ENV)
        try:
            async with beside(tmp_path) as store:
                await subscribed(store)
            await report(gateway.ready["url"], "r-1")
            await receiver.wait(lambda: bool(receiver.got))
        finally:
            await gateway.kill()
        receiver.answer = lambda _: reply(200)
        start = running(tmp_path / "log", "gateway.cli.main", "up", "-c", config, env=ENV)
        async with start, beside(tmp_path) as store:
            await receiver.wait(lambda: len(receiver.got) >= 2, 60)
            await marked(store)
        first, second = receiver.got[:2]
        assert (first.id, first.body) == (second.id, second.body)
        assert [one.event.get_subject() for one in receiver.events] == ["r-1"]


async def test_410_is_said_and_a_person_lets_it_in_again(tmp_path: Path) -> None:
    async with receiving() as receiver:
        config = written(tmp_path, receiver)
        receiver.answer = lambda _: reply(410)
        start = running(tmp_path / "log", "gateway.cli.main", "up", "-c", config, env=ENV)
        async with start as gateway, beside(tmp_path) as store:
            await subscribed(store)
            await report(gateway.ready["url"], "r-1")

            async def off() -> bool:
                stand = await store.read(lambda tx: tx.subscriber("mes"))
                return stand is not None and stand.off_at is not None

            await until(off, "the end of telling")
            [row] = json.loads((await in_thread(config, "events", "list", "-o", "json")).stdout)
            assert (row["state"], row["waiting"], row["parked"]) == ("off", 1, 0) and "410" in row["why"]
            async with httpx2.AsyncClient(base_url=gateway.ready["url"]) as http:

                async def said() -> bool:
                    return any("events.mes" in one for one in (await http.get("/health/ready")).json()["troubles"])

                await until(said, "the trouble")
            receiver.answer = lambda _: reply(200)
            assert (await in_thread(config, "events", "enable", "mes")).returncode == 0
            await receiver.wait(lambda: len(receiver.got) >= 2)
            await marked(store)
        assert receiver.got[0].id == receiver.got[1].id


async def test_a_try_says_what_the_receiver_made_of_it(tmp_path: Path) -> None:
    async with receiving() as receiver:
        config = written(tmp_path, receiver)
        done = await in_thread(config, "events", "test", "mes")
        assert (done.returncode, done.stdout) == (0, "mes: taken\n")
        assert receiver.got[0].event.get_type() == "io.andon.test.v1"
        receiver.answer = lambda _: reply(302, "location: http://169.254.169.254/")
        done = await in_thread(config, "events", "test", "mes")
        assert done.returncode == 6 and "redirects are not followed" in done.stderr
        done = await in_thread(config, "events", "test", "mse")
        assert done.returncode == 3 and "there is: mes" in done.stderr
        done = await in_thread(written(tmp_path, receiver, **{'127.0.0.1"]': '10.0.0.1"]'}), "events", "test", "mes")
        assert done.returncode == 6 and "is not sent to" in done.stderr
        assert (await in_thread(config, "events", "enable", "nobody")).returncode == 3


async def in_thread(config: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(andon, config, *arguments)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('"report.taken"', '"report.takn"'), 'did you mean "report.taken"?'),
        (("http://127", "ftp://127"), "https://"),
        (('allow = ["127.0.0.1"]', 'allow = ["127.0.0.1/8"]'), "no network"),
        (('name = "mes"', 'name = "mes"\nhost = "x"'), "events.to[0].host: unknown key"),
        (("EVENTS_TWO", "EVENTS_THREE"), "EVENTS_THREE is not set"),
        (('allow = ["127.0.0.1"]', "allow = []"), "events.to[0].url: 127.0.0.1 is not sent to: that is no public"),
        (
            ("http://127.0.0.1:", "http://169.254.169.254:"),
            "169.254.169.254 is not sent to: that is a cloud",
        ),
        (("http://127.0.0.1:", "http://8.8.8.8:"), "events.to[0].url: 8.8.8.8 is not sent to in plain text"),
    ],
)
def test_a_fault_is_named_with_its_place(
    tmp_path: Path, change: tuple[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    config = written(tmp_path, Receiver(port=1), **{change[0]: change[1]})
    with pytest.raises(Misconfigured) as wrong:
        demand(load(config))
    assert said in str(wrong.value) and "events" in str(wrong.value)


async def test_a_receiver_whose_name_leads_nowhere_is_named_before_the_first_event(tmp_path: Path) -> None:
    async with receiving() as receiver:
        done = await in_thread(written(tmp_path, receiver), "check", "--live", "-o", "jsonl")
        [found] = [json.loads(line) for line in done.stdout.splitlines()]
        assert (done.returncode, found["part"], found["proven"]) == (0, "events.mes", False), done.stderr
        assert "127.0.0.1" in found["detail"] and "andon events test mes" in found["detail"]
        assert receiver.got == [], "nothing was sent"
        config = written(tmp_path, receiver, **{"http://127.0.0.1:": "https://mes.invalid:"})
        done = await in_thread(config, "check", "--live", "-o", "jsonl")
        assert done.returncode == 6 and "mes.invalid cannot be resolved" in done.stdout


def test_a_plan_names_the_subscriber_that_changes_and_touches_it_alone(tmp_path: Path) -> None:
    def rows(**more: str) -> Any:
        written(tmp_path, Receiver(port=1), **more)
        return parse((tmp_path / "andon.toml").read_text()).rows

    [change] = changes(rows(), rows(**{'timeout = "3s"': 'timeout = "4s"'}))
    assert (change.part, change.keys, change.touches, change.restart) == (
        "events.mes",
        ("timeout",),
        ("publish.mes",),
        "",
    )
    [change] = changes(rows(), rows(**{'allow = ["127.0.0.1"]': "allow = []"}))
    assert (change.part, change.touches) == ("events", ("publish.mes",))
    assert changes(rows(), rows()) == []


async def test_a_subscriber_is_added_and_taken_away_while_the_gateway_runs(tmp_path: Path) -> None:
    async with receiving() as receiver:
        config = written(tmp_path, receiver)
        quieted(config)
        async with running(tmp_path / "log", "gateway.cli.main", "up", "-c", config, env=ENV) as gateway:
            await report(gateway.ready["url"], "r-0")
            written(tmp_path, receiver)
            gateway.child.send_signal(signal.SIGHUP)
            async with beside(tmp_path) as store:
                await subscribed(store)
                await report(gateway.ready["url"], "r-1")
                await receiver.wait(lambda: bool(receiver.got))
                await marked(store)
                quieted(config)
                gateway.child.send_signal(signal.SIGHUP)

                async def applied() -> bool:
                    lines = await store.read(lambda tx: [line.event for line in tx.audit()])
                    return lines.count("config.applied") == 2

                await until(applied, "the second change")
                await report(gateway.ready["url"], "r-2")
            [row] = json.loads((await in_thread(config, "events", "list", "-o", "json")).stdout)
            assert row["state"] == "not in the settings"
            assert "forgotten" in (await in_thread(config, "events", "forget", "mes")).stdout
            assert (await in_thread(config, "events", "forget", "mes")).returncode == 3
            assert (await in_thread(written(tmp_path, receiver), "events", "forget", "mes")).returncode == 1
        assert [one.event.get_subject() for one in receiver.events] == ["r-1"]
