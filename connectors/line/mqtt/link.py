"""Link: one MQTT session, its messages held back until they are acknowledged by hand.

paho-mqtt carries packets and session; its socket is driven by our loop, without a thread of its own.
aiomqtt is not used: it acknowledges before the application has the message, and throws away what its
queue cannot hold.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from connectors.line.mqtt.settings import Broker
from gateway.core.errors import Unreachable
from gateway.core.ports import Clock

log: structlog.stdlib.BoundLogger = structlog.get_logger()
_FAILED = 128
_PACKETS = 64
"""Read before the loop is given back."""


class Message(msgspec.Struct, frozen=True):
    """A message as it came: `mid` 0 needs no acknowledgement, `again` says that the broker sent it before."""

    topic: str
    payload: bytes
    mid: int
    retained: bool
    again: bool
    received_at: datetime

    @property
    def size(self) -> int:
        """What it weighs while it waits, in bytes; one that is taken gives back exactly this."""
        return len(self.topic) + len(self.payload)


class Will(msgspec.Struct, frozen=True):
    """What the broker says in our name when we are gone; retained, QoS 1."""

    topic: str
    payload: bytes


class Link:
    """One connection to a broker. Used once; every failure ends it as `Unreachable`."""

    def __init__(self, settings: Broker, now: Clock) -> None:
        self._settings, self._now = settings, now
        self._client: Client | None = None
        self._waiting: deque[Message] = deque()
        self._bytes = 0
        self._paused = False
        self._wake = asyncio.Event()
        self._greeted: asyncio.Future[bool] | None = None
        self._granted: dict[int, asyncio.Future[list[ReasonCode]]] = {}
        self._care: asyncio.Task[None] | None = None
        self._lost = ""
        self._context: _Context | None = None

    @property
    def is_up(self) -> bool:
        """Whether the broker has taken us and the socket lives."""
        return self._greeted is not None and self._greeted.done() and not self._lost

    async def open(self, will: Will | None = None, *, fresh: bool = False) -> bool:
        """Connect (`fresh`: with a session that ends with the link); says whether the broker still has our session.

        Raises `Unreachable` with what to do.
        """
        self._greeted = asyncio.get_running_loop().create_future()
        client = self._client = self._new_client(will, fresh=fresh)
        try:
            async with asyncio.timeout(self._settings.timeout):
                await self._dial(client, fresh=fresh)
                self._care = asyncio.create_task(self._look_after(client))
                self._listen(client)
                return await self._greeted
        except TimeoutError as late:
            raise Unreachable(f"{self._who}: no answer in {self._settings.timeout:g}s") from late
        except ssl.SSLCertVerificationError as no:
            self._hang_up()
            raise Unreachable(f"{self._who}: its certificate is not trusted ({no.verify_message}); look at ca") from no
        except OSError as no:
            self._hang_up()
            raise Unreachable(f"{self._who}: {no.strerror or no}") from no

    async def subscribe(self, filters: Sequence[str]) -> dict[str, str]:
        """Ask for topics. Gives the filters that the broker refuses, each with its reason."""
        if not filters:
            return {}
        client, modern = self._alive(), self._settings.version == "5"
        qos = self._settings.qos
        wanted = [(one, SubscribeOptions(qos, retainHandling=1)) if modern else (one, qos) for one in filters]
        _, mid = client.subscribe(wanted)  # type: ignore[arg-type]  # its own union does not name the mixed list
        answer = asyncio.get_running_loop().create_future()
        self._granted[mid or 0] = answer
        try:
            async with asyncio.timeout(self._settings.timeout):
                codes = await answer
        except TimeoutError as late:
            raise Unreachable(f"{self._who}: no answer to the subscription") from late
        return {one: str(code) for one, code in zip(filters, codes, strict=False) if code.value >= _FAILED}

    async def wait(self, seconds: float | None = None) -> None:
        """Wait until messages are here or the time is over. Raises `Unreachable` when the link is lost."""
        if not self._waiting and not self._lost:
            self._wake.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                return
        if self._lost and not self._waiting:
            raise Unreachable(f"{self._who}: {self._lost}")

    def take(self, most: int) -> list[Message]:
        """Take what waits, in order."""
        taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        self._bytes -= sum(message.size for message in taken)
        return taken

    def acknowledge(self, messages: Iterable[Message]) -> None:
        """Tell the broker that these are stored, and read on."""
        client = self._client
        if client is None:
            return
        if not self._lost:
            for message in messages:
                if message.mid:
                    client.ack(message.mid, 1)
        if self._paused and self._bytes < self._settings.waiting:
            self._paused = False
            self._listen(client)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send a message, QoS 0 (1 when it is retained)."""
        self._alive().publish(topic, payload, qos=int(retain), retain=retain)

    async def close(self) -> None:
        """Say farewell and close the socket; the broker keeps the session. Twice is fine."""
        self._lost = self._lost or "closed"
        self._wake.set()
        client, self._client = self._client, None
        if self._care is not None:
            self._care.cancel()
            await asyncio.wait({self._care})
        if client is not None and client.socket() is not None:
            client.disconnect()
            client.loop_write()
            _drop(client)

    @property
    def _who(self) -> str:
        return f"{self._settings.name}: {self._settings.endpoint}"

    def _alive(self) -> Client:
        if self._client is None or self._lost:
            raise Unreachable(f"{self._who}: {self._lost or 'not connected'}")
        return self._client

    def _new_client(self, will: Will | None, *, fresh: bool) -> Client:
        settings = self._settings
        modern = settings.version == "5"
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client,
            clean_session=None if modern else fresh,
            protocol=MQTTProtocolVersion.MQTTv5 if modern else MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = settings.timeout
        if settings.user is not None:
            client.username_pw_set(settings.user.name, settings.user.password.reveal())
        if settings.secure:
            self._context = _context(settings)
            client.tls_set_context(self._context)
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=True)
        loop = asyncio.get_running_loop()
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_message, client.on_subscribe = self._on_message, self._on_subscribe

        def register(*_: object) -> None:
            loop.call_soon_threadsafe(self._write, client)

        client.on_socket_register_write = register
        client.on_socket_close = lambda _client, _data, sock: _forget(loop, sock.fileno())
        return client

    async def _dial(self, client: Client, *, fresh: bool) -> None:
        """Open the socket in a thread: paho knows only the blocking way."""
        settings = self._settings
        host, port = settings.place
        told: Properties | None = None
        if settings.version == "5":
            told = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it bare
            told.SessionExpiryInterval = 0 if fresh else min(int(settings.keep), 2**32 - 1)
            told.ReceiveMaximum = settings.in_flight
            told.MaximumPacketSize = min(int(settings.largest), 2**28)

        def dial() -> None:
            if told is None:
                client.connect(host, port, keepalive=int(settings.keep_alive))
            else:
                client.connect(host, port, keepalive=int(settings.keep_alive), clean_start=fresh, properties=told)

        dialled = asyncio.get_running_loop().run_in_executor(None, dial)
        try:
            await asyncio.shield(dialled)
        except asyncio.CancelledError:
            dialled.add_done_callback(lambda done: self._abandon(client, done))
            raise

    def _abandon(self, client: Client, dialled: asyncio.Future[None]) -> None:
        """Close a socket that was opened for nobody."""
        if dialled.cancelled() or dialled.exception() is not None:
            self._hang_up()
        else:
            _drop(client)

    def _hang_up(self) -> None:
        """Close the socket of a handshake that failed: paho leaves it open."""
        if self._context is not None and self._context.made is not None:
            self._context.made.close()

    def _listen(self, client: Client) -> None:
        sock = client.socket()
        if sock is not None:
            asyncio.get_running_loop().add_reader(sock.fileno(), self._read, client)

    def _read(self, client: Client) -> None:
        """Read some packets; then, with too much waiting for its commit, nothing more until it is committed."""
        for _ in range(_PACKETS):
            before = len(self._waiting)
            sock = client.socket()
            if sock is None or client.loop_read() is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
            if self._bytes >= self._settings.waiting:
                self._paused = True
                asyncio.get_running_loop().remove_reader(sock.fileno())
                return
            if len(self._waiting) == before and not _pending(sock):
                return

    def _write(self, client: Client) -> None:
        sock = client.socket()
        if sock is None:
            return
        loop = asyncio.get_running_loop()
        if client.loop_write() is MQTTErrorCode.MQTT_ERR_SUCCESS and client.want_write():
            loop.add_writer(sock.fileno(), self._write, client)
        elif client.socket() is not None:
            loop.remove_writer(sock.fileno())

    async def _look_after(self, client: Client) -> None:
        """Keep the session alive; a broker that does not answer a ping within the keep-alive is lost."""
        while not self._lost and client.loop_misc() is MQTTErrorCode.MQTT_ERR_SUCCESS:  # noqa: ASYNC110 (it is a clock)
            await asyncio.sleep(min(1.0, self._settings.keep_alive / 4))

    def _on_connect(
        self, _client: Client, _data: object, flags: ConnectFlags, reason: ReasonCode, _told: Properties | None
    ) -> None:
        if self._greeted is None or self._greeted.done():
            return
        if reason.is_failure:
            self._end(f"the broker refuses us: {reason}{_advice(reason)}")
        else:
            self._greeted.set_result(flags.session_present)

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        flags: DisconnectFlags,
        reason: ReasonCode,
        _told: Properties | None,
    ) -> None:
        said = "the broker ended the session" if flags.is_disconnect_packet_from_server else "the link is lost"
        self._end(f"{said}: {reason}{_advice(reason)}")

    def _end(self, why: str) -> None:
        self._lost = self._lost or why
        lost = Unreachable(f"{self._who}: {self._lost}")
        for waiting in (self._greeted, *self._granted.values()):
            if waiting is not None and not waiting.done():
                waiting.set_exception(lost)
        self._wake.set()

    def _on_subscribe(
        self, _client: Client, _data: object, mid: int, codes: list[ReasonCode], _told: Properties | None
    ) -> None:
        answer = self._granted.pop(mid, None)
        if answer is not None and not answer.done():
            answer.set_result(codes)

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""  # fits no filter: it is counted as a message of nobody
        payload = bytes(message.payload)
        mid = message.mid if message.qos else 0
        heard = Message(topic, payload, mid, message.retain, message.dup, self._now())
        self._waiting.append(heard)
        self._bytes += heard.size
        self._wake.set()


class _Context(ssl.SSLContext):
    """Verifies the broker and its name, and remembers the socket that it wrapped."""

    made: ssl.SSLSocket | None = None

    def wrap_socket(self, *given: Any, **named: Any) -> ssl.SSLSocket:
        self.made = super().wrap_socket(*given, **named)
        return self.made


def _context(settings: Broker) -> _Context:
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and host name by default
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ca is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(settings.ca)
    if settings.certificate is not None:
        context.load_cert_chain(settings.certificate, settings.key)
    return context


def _pending(sock: object) -> bool:
    """Bytes that TLS has read already: the socket alone would not wake us for them."""
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0


def _advice(reason: ReasonCode) -> str:
    known = {
        "Not authorized": "look at user, or at the broker's access list",
        "Bad user name or password": "look at user",
        "Unsupported protocol version": 'set version = "3.1.1"',
        "Session taken over": "another client uses this client_id; each gateway and line needs its own",
        "Client identifier not valid": "set another client_id",
        "Unspecified error": "the broker or the network hung up; does another client use this client_id?",
    }
    advice = known.get(str(reason))
    return f" ({advice})" if advice else ""


def _forget(loop: asyncio.AbstractEventLoop, number: int) -> None:
    if number >= 0 and not loop.is_closed():
        loop.remove_reader(number)
        loop.remove_writer(number)


def _drop(client: Client) -> None:
    sock = client.socket()
    if sock is not None:
        _forget(asyncio.get_running_loop(), sock.fileno())
        sock.close()
