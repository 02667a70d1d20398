"""The webhook sink, over HTTP and HTTPS, structured and binary; and what its guard holds on real sockets."""

import base64
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest

from connectors.events.guard import Resolve
from connectors.events.settings import SAMPLE, EventSettings, Subscriber
from gateway.core.errors import Misconfigured
from gateway.core.event import Heard, Unheard
from gateway.core.ports import EventSink
from gateway.core.units import decode
from tests.contracts.event_sink import EVENT, NOW, EventSinkContract
from tests.event_receiver import OTHER, SECRET, Receiver, receiving, reply
from tests.papers import Pki


def names(*addresses: str) -> Resolve:
    """Give each answer in turn, the last for ever: a name server that changes its mind."""
    left = list(addresses)

    async def resolve(_: str, __: int) -> Sequence[str]:
        return [left.pop(0) if len(left) > 1 else left[0]]

    return resolve


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTS_ONE", SECRET)
    monkeypatch.setenv("EVENTS_TWO", OTHER)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # a proxy would resolve the name by itself
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def settings(url: str, **more: object) -> EventSettings:
    row = {"name": "mes", "url": url, "secrets": [{"env": "EVENTS_ONE"}, {"env": "EVENTS_TWO"}], "timeout": "1.5s"}
    allow = more.pop("allow", ["127.0.0.1"])
    return msgspec.convert({"allow": allow, "to": [{**row, **more}]}, EventSettings, dec_hook=decode)


def opened(url: str, resolve: Resolve | None = None, **more: object) -> EventSink:
    found = settings(url, **more)
    return found.to[0].open(found.allowed, resolve)


class Http(EventSinkContract):
    form = "structured"

    @pytest.fixture
    async def receiver(self) -> AsyncIterator[Receiver]:
        async with receiving() as receiver:
            yield receiver

    @pytest.fixture
    async def sink(self, receiver: Receiver) -> AsyncIterator[EventSink]:
        sink = opened(f"http://127.0.0.1:{receiver.port}/hooks/andon?key=1", format=self.form)
        yield sink
        await sink.close()


class TestStructured(Http):
    async def test_the_whole_event_is_in_the_body_that_is_signed(self, sink: EventSink, receiver: Receiver) -> None:
        await sink.send(EVENT, NOW)
        [one] = receiver.got
        assert one.headers["content-type"] == "application/cloudevents+json"
        assert one.path == "/hooks/andon?key=1"
        assert msgspec.json.decode(one.body)["subject"] == EVENT.subject


class TestBinary(Http):
    form = "binary"


class TestHttps(EventSinkContract):
    @pytest.fixture
    async def receiver(self, pki: Pki) -> AsyncIterator[Receiver]:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*pki.server)
        async with receiving(tls) as receiver:
            yield receiver

    @pytest.fixture
    async def sink(self, receiver: Receiver, pki: Pki) -> AsyncIterator[EventSink]:
        sink = opened(f"https://localhost:{receiver.port}/", names("127.0.0.1"), ca_file=str(pki.ca))
        yield sink
        await sink.close()

    async def test_the_certificate_is_checked_for_the_name_and_not_for_the_address(
        self, receiver: Receiver, pki: Pki
    ) -> None:
        sink = opened(f"https://mes.example:{receiver.port}/", names("127.0.0.1"), ca_file=str(pki.ca))
        heeded = await sink.send(EVENT, NOW)
        assert isinstance(heeded, Unheard) and "certificate" in heeded.cause
        assert receiver.got == []
        await sink.close()

    async def test_a_certificate_of_nobody_that_is_trusted_is_refused(self, receiver: Receiver) -> None:
        sink = opened(f"https://localhost:{receiver.port}/", names("127.0.0.1"))
        heeded = await sink.send(EVENT, NOW)
        assert isinstance(heeded, Unheard) and "certificate" in heeded.cause
        await sink.close()

    async def test_the_host_header_has_the_name(self, sink: EventSink, receiver: Receiver) -> None:
        await sink.send(EVENT, NOW)
        assert receiver.got[0].headers["host"] == f"localhost:{receiver.port}"


async def test_a_name_that_begins_to_mean_this_machine_is_not_followed() -> None:
    async with receiving() as receiver:
        sink = opened(f"http://mes.example:{receiver.port}/", names("127.0.0.1", "127.0.0.2"), allow=["127.0.0.1"])
        assert await sink.send(EVENT, NOW) == Heard()
        heeded = await sink.send(EVENT, NOW)
        assert isinstance(heeded, Unheard) and heeded.ailing and "mes.example is not sent to" in heeded.cause
        assert len(receiver.got) == 1
        await sink.close()


async def test_nothing_reaches_this_machine_unless_it_is_listed() -> None:
    async with receiving() as receiver:
        for url in (f"http://127.0.0.1:{receiver.port}/", f"http://localhost:{receiver.port}/"):
            sink = opened(url, allow=[])
            assert isinstance(await sink.send(EVENT, NOW), Unheard)
            await sink.close()
        assert receiver.got == []


async def test_when_the_first_address_is_dead_the_next_is_tried() -> None:
    async def both(_: str, __: int) -> Sequence[str]:
        return ["127.0.0.9", "127.0.0.1"]  # nobody listens on the first

    async with receiving() as receiver:
        sink = opened(f"http://mes.example:{receiver.port}/", both, allow=["127.0.0.0/8"])
        assert await sink.send(EVENT, NOW) == Heard()
        await sink.close()


async def test_a_resolver_that_fails_or_hangs_is_a_failure_in_time() -> None:
    async def fails(_: str, __: int) -> Sequence[str]:
        raise OSError("no such name")

    sink = opened("https://mes.example/", fails)
    heeded = await sink.send(EVENT, NOW)
    assert isinstance(heeded, Unheard) and "cannot be resolved" in heeded.cause
    real = opened("https://mes.invalid/")
    assert isinstance(await real.send(EVENT, NOW), Unheard)
    await real.close()
    await sink.close()


async def test_a_connection_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as receiver:
        opens = 0
        serve = receiver.serve

        async def counted(*streams: object) -> None:
            nonlocal opens
            opens += 1
            await serve(*streams)  # type: ignore[arg-type]

        monkeypatch.setattr(receiver, "serve", counted)
        receiver.answer = lambda _: reply(200, body=b"thanks")
        sink = opened(f"http://127.0.0.1:{receiver.port}/")
        for _ in range(3):
            assert await sink.send(EVENT, NOW) == Heard()
        assert opens == 1
        await sink.close()


@pytest.mark.parametrize(
    "value", ["hunter2", "whsec_", "whsec_" + base64.b64encode(b"x" * 23).decode(), "whsec_" + "A" * 400, "whsec_ü"]
)
def test_a_secret_that_is_none_is_refused_without_being_shown(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTS_TWO", value)
    with pytest.raises(Misconfigured, match=r"secrets\[1\]") as refused:
        opened("https://mes.example/")
    assert "hunter2" not in str(refused.value)


def test_a_certificate_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="ca_file"):
        opened("https://mes.example/", ca_file=str(tmp_path / "none.pem"))


def test_the_place_is_that_of_the_address_and_shows_nothing_of_it() -> None:
    one, same, other = (opened(f"https://mes.example/{path}").place for path in ("a?key=hunter2", "a?key=hunter2", "b"))
    assert one == same != other
    assert "hunter2" not in one and "mes" not in one


def test_the_sample_is_right() -> None:
    import tomllib  # noqa: PLC0415

    found = msgspec.convert(tomllib.loads(SAMPLE)["events"], EventSettings, dec_hook=decode)
    assert [one.name for one in found.to] == ["mes"]
    assert isinstance(found.to[0], Subscriber)
