"""A load source that keeps pace: an OPC UA server whose publish responses are built as columns.

The library's server takes 51 us of CPU for each change and ends at 19,000 a second; this one takes under
one. Everything but data changes of its own tags is the library's: channel, session, browsing, reads,
monitored items, transfer. Data changes wait in a queue per item until a publish request takes them, are
kept until acknowledged, can be asked for again, and respect MaxNotificationsPerPublish; a full queue drops
the oldest and sets the overflow bit. Policy None only.

`opcua_load.py --tags N [--period 0.1] [--double] [--core C]` prints `READY port start_us` and, when it is
told to end, one line of JSON: its CPU seconds and the values sent.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import time
from typing import Any

import numpy as np
from asyncua import Server, ua
from asyncua.common.utils import Buffer, ServiceError
from asyncua.server import subscription_service
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.monitored_item_service import MonitoredItemService
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from grid import (
    BOOLEAN,
    DOUBLE,
    FLOAT,
    INT32,
    INT64,
    MACHINE,
    NAMESPACE,
    SECOND,
    UINT16,
    Grid,
    machine_of,
)
from numpy.typing import NDArray

_FORMS = {DOUBLE: "<f8", FLOAT: "<f4", INT32: "<i4", UINT16: "<u2", INT64: "<i8", BOOLEAN: "|u1"}
_TYPES = {
    DOUBLE: ua.ObjectIds.Double,
    FLOAT: ua.ObjectIds.Float,
    INT32: ua.ObjectIds.Int32,
    UINT16: ua.ObjectIds.UInt16,
    INT64: ua.ObjectIds.Int64,
    BOOLEAN: ua.ObjectIds.Boolean,
}
_EPOCH_US = 11_644_473_600 * SECOND  # from 1601 to 1970
_MOST_NOTIFICATIONS = 10_000
_MOST_QUEUE = 1000
_MOST_KEPT = 64
_OVERFLOW = 0x480
_LIFE_S = 1800.0
sent = 0
grid: Grid


def number_of(node_id: Any) -> int | None:
    """Give the number of a tag of ours by its node id."""
    name = node_id.Identifier
    return int(name[1:]) if isinstance(name, str) and node_id.NamespaceIndex and name[1:].isdigit() else None


class Piece:
    """The bytes of some items' changes, with the places where a tick's values and times go."""

    def __init__(self, items: list[tuple[int, int]], *, status: bool) -> None:
        kinds = np.array([grid.kind(tag) for tag, _ in items])
        tags = np.array([tag for tag, _ in items], np.int64)
        widths = np.array([np.dtype(_FORMS[kind]).itemsize for kind in kinds.tolist()])
        sizes = 6 + widths + (4 if status else 0) + 16
        starts = np.concatenate(([0], np.cumsum(sizes)))
        self.count = len(items)
        self._bytes = np.zeros(starts[-1], np.uint8)
        starts = starts[:-1]
        self._put(starts, np.array([handle for _, handle in items], "<u4"))
        self._put(starts + 4, np.full(len(items), 0b1111 if status else 0b1101, np.uint8))
        self._put(starts + 5, kinds.astype(np.uint8))
        if status:
            self._put(starts + 6 + widths, np.full(len(items), _OVERFLOW, "<u4"))
        self._times = _places(starts + sizes - 16, 16)
        self._groups = [
            (kind, tags[kinds == kind], _places(starts[kinds == kind] + 6, np.dtype(form).itemsize))
            for kind, form in _FORMS.items()
            if (kinds == kind).any()
        ]

    def _put(self, places: NDArray[np.int64], values: NDArray[Any]) -> None:
        self._bytes[_places(places, values.itemsize)] = values.view(np.uint8).reshape(len(values), -1)

    def at(self, tick: int) -> bytes:
        """Give the bytes for one tick; source and server time are the tick's."""
        for kind, tags, places in self._groups:
            values = grid.raw(kind, tags, np.int64(tick)).astype(_FORMS[kind])
            self._bytes[places] = values.view(np.uint8).reshape(len(tags), -1)
        when = np.array([(grid.at(tick) + _EPOCH_US) * 10] * 2, "<i8")
        self._bytes[self._times] = when.view(np.uint8)
        return self._bytes.tobytes()


def _places(starts: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    found: NDArray[np.int64] = starts[:, None] + np.arange(width)
    return found


class Items(MonitoredItemService):
    """Monitored items; those of our tags are told to the subscription, and the library never samples them."""

    async def _create_data_change_monitored_item(self, params: Any) -> Any:
        tag = number_of(params.ItemToMonitor.NodeId)
        if tag is None or params.ItemToMonitor.AttributeId != ua.AttributeIds.Value:
            return await super()._create_data_change_monitored_item(params)
        result, item = self._make_monitored_item_common(params)
        if params.ItemToMonitor.NodeId not in self.aspace:
            result.StatusCode = ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown)
            return result
        result.RevisedSamplingInterval = 0.0
        result.RevisedQueueSize = item.queue_size = max(1, min(item.queue_size, _MOST_QUEUE))
        self._commit_monitored_item(result, item)
        self.isub.watch(result.MonitoredItemId, tag, item.client_handle, item.queue_size)
        return result

    def _delete_monitored_items(self, mid: int) -> Any:
        self.isub.unwatch(mid)
        return super()._delete_monitored_items(mid)


class Load(InternalSubscription):
    """A subscription whose data changes come from the grid."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.monitored_item_srv = Items(self, self.monitored_item_srv.aspace)
        self._watched: dict[int, tuple[int, int, int]] = {}
        self._pieces: list[Piece] = []
        self._flagged: list[Piece] = []
        self._stale = False
        self._next = self._last = 0
        self._piece = 0
        self._overflowed = False

    def watch(self, item: int, tag: int, handle: int, queue: int) -> None:
        """A tag is wanted from the next tick on."""
        if not self._watched:
            self._next = grid.tick(time.time_ns() // 1000) + 1
        self._watched[item] = (tag, handle, queue)
        self._stale = True

    def unwatch(self, item: int) -> None:
        """A tag is wanted no more."""
        self._stale |= self._watched.pop(item, None) is not None

    async def publish_results(self, requestdata: Any = None) -> bool:
        """Send what waits, as long as there are requests; the library does the rest."""
        others = self._startup or self._triggered_datachanges or self._triggered_events or self._triggered_statuschanges
        expired = self._publish_cycles_count > self.data.RevisedLifetimeCount
        if others or expired or not self._watched or not self._publishing_enabled:
            return bool(await super().publish_results(requestdata))
        self._sample()
        used = False
        while self._next <= self._last:
            request, requestdata = requestdata, None
            if request is None and (request := self.pub_request_callback(self.data.SubscriptionId)) is None:
                self._publish_cycles_count += not used
                return used
            self._send(request)
            used = True
        return used or bool(await super().publish_results(requestdata))

    def _sample(self) -> None:
        """Take what was made since; the queues hold so much and no more."""
        self._last = grid.tick(time.time_ns() // 1000)
        if self._stale:
            self._stale = False
            found = [(tag, handle) for tag, handle, _ in self._watched.values()]
            most = min(self.most, 5000)
            parts = [found[at : at + most] for at in range(0, len(found), most)]
            self._pieces = [Piece(part, status=False) for part in parts]
            self._flagged = [Piece(part, status=True) for part in parts]
            self._piece = 0
        room = min(queue for _, _, queue in self._watched.values()) if self._last - self._next > 1 else 2
        if self._last - self._next + 1 > room:
            self._next, self._piece, self._overflowed = self._last - room + 1, 0, True

    most = _MOST_NOTIFICATIONS

    def _send(self, request: Any) -> None:
        global sent  # noqa: PLW0603 (one process, one figure)
        parts: list[bytes] = []
        count = 0
        while self._next <= self._last:
            piece = (self._flagged if self._overflowed else self._pieces)[self._piece]
            if count and count + piece.count > self.most:
                break
            parts.append(piece.at(self._next))
            count += piece.count
            self._piece += 1
            if self._piece == len(self._pieces):
                self._next, self._piece, self._overflowed = self._next + 1, 0, False
        sent += count
        sequence = self._notification_seq
        self._notification_seq = sequence % 0xFFFFFFFF + 1
        self._keep_alive_count = self._publish_cycles_count = 0
        kept = self._not_acknowledged_results
        kept[sequence] = note = _note(sequence, count, parts)
        while len(kept) > _MOST_KEPT:
            del kept[next(iter(kept))]
        more = self._next <= self._last
        body = _response(request, self.data.SubscriptionId, list(kept), note, more=more)
        processor = self.pub_result_callback.__self__
        processor._transport.write(  # noqa: SLF001 (there is no public road for bytes)
            processor._connection.message_to_binary(body, request_id=request.seqhdr.RequestId)  # noqa: SLF001
        )

    def republish(self, nb: int) -> Any:
        """Give a kept message again. Raises `ServiceError` when it is kept no more."""
        kept = self._not_acknowledged_results.get(nb)
        if kept is None:
            raise ServiceError(ua.StatusCodes.BadMessageNotAvailable)
        return struct_from_binary(ua.NotificationMessage, Buffer(kept)) if isinstance(kept, bytes) else kept


def _note(sequence: int, count: int, parts: list[bytes]) -> bytes:
    changes = count.to_bytes(4, "little") + b"".join(parts) + b"\xff\xff\xff\xff"
    when = (time.time_ns() // 1000 + _EPOCH_US) * 10
    head = sequence.to_bytes(4, "little") + when.to_bytes(8, "little") + b"\x01\0\0\0\x01\x00\x2b\x03\x01"
    return head + len(changes).to_bytes(4, "little") + changes


def _response(request: Any, subscription: int, available: list[int], note: bytes, *, more: bool) -> bytes:
    when = (time.time_ns() // 1000 + _EPOCH_US) * 10
    results = request.results or []
    return b"".join(
        (
            b"\x01\x00\x3d\x03",
            when.to_bytes(8, "little"),
            request.requesthdr.RequestHandle.to_bytes(4, "little"),
            b"\0\0\0\0\0\xff\xff\xff\xff\0\0\0",  # Good, no diagnostics, no strings, no header
            subscription.to_bytes(4, "little"),
            len(available).to_bytes(4, "little"),
            np.array(available, "<u4").tobytes(),
            bytes([more]),
            note,
            len(results).to_bytes(4, "little"),
            np.array([result.value for result in results], "<u4").tobytes(),
            b"\xff\xff\xff\xff",
        )
    )


async def serve(tags: int, port: int) -> None:
    """Serve until told to end."""
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    subscription_service.InternalSubscription = Load
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(NAMESPACE)
    create = server.iserver.subscription_service.create_subscription

    async def created(params: Any, *args: Any, **kwargs: Any) -> Any:
        result = await create(params, *args, **kwargs)
        made = server.iserver.subscription_service.subscriptions[result.SubscriptionId]
        made.most = min(params.MaxNotificationsPerPublish or _MOST_NOTIFICATIONS, _MOST_NOTIFICATIONS)
        return result

    server.iserver.subscription_service.create_subscription = created
    for start in range(0, tags, MACHINE):
        name = machine_of(start)
        machine = await server.nodes.objects.add_folder(ua.NodeId(name, index), f"{index}:{name}")
        await _add(server, machine.nodeid, index, range(start, min(tags, start + MACHINE)))
    over = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, over.set)
    async with server:
        print("READY", server.bserver.port, grid.start_us, flush=True)
        try:
            async with asyncio.timeout(_LIFE_S):
                await over.wait()
        finally:
            print(json.dumps({"cpu_s": time.process_time(), "sent": sent}), flush=True)


async def _add(server: Any, folder: Any, index: int, tags: range) -> None:
    """Make one machine's nodes; a read gives the value of the running tick."""
    space = server.iserver.aspace

    def now(node_id: Any, _attribute: Any) -> Any:
        tag, tick = number_of(node_id) or 0, grid.tick(time.time_ns() // 1000)
        kind = grid.kind(tag)
        whole = int(grid.raw(kind, np.int64(tag), np.int64(tick)))
        value = bool(whole) if kind == BOOLEAN else float(whole) if kind in {DOUBLE, FLOAT} else whole
        at = ua.win_epoch_to_datetime((grid.at(tick) + _EPOCH_US) * 10)
        return ua.DataValue(ua.Variant(value, ua.VariantType(kind)), SourceTimestamp=at, ServerTimestamp=at)

    for tag in tags:
        kind = grid.kind(tag)
        item = ua.AddNodesItem()
        item.RequestedNewNodeId = ua.NodeId(f"t{tag}", index)
        item.BrowseName = ua.QualifiedName(f"t{tag}", index)
        item.NodeClass = ua.NodeClass.Variable
        item.ParentNodeId = folder
        item.ReferenceTypeId = ua.NodeId(ua.ObjectIds.HasComponent)
        item.TypeDefinition = ua.NodeId(ua.ObjectIds.BaseDataVariableType)
        shape = ua.VariableAttributes()
        shape.DisplayName = ua.LocalizedText(f"t{tag}")
        shape.DataType = ua.NodeId(_TYPES[kind])
        zero = False if kind == BOOLEAN else 0.0 if kind in {DOUBLE, FLOAT} else 0
        shape.Value = ua.Variant(zero, ua.VariantType(kind))
        item.NodeAttributes = shape
        [result] = await server.iserver.isession.add_nodes([item])
        result.StatusCode.check()
        space.set_attribute_value_callback(item.RequestedNewNodeId, ua.AttributeIds.Value, now)


def check(tags: int, ticks: int) -> bool:
    """Say whether the library reads our bytes as we mean them, and would have written the same."""
    items = [(tag, tag + 7) for tag in range(tags)]
    piece = Piece(items, status=True)  # as the library writes it: always with a status
    note = _note(5, piece.count * ticks, [piece.at(tick) for tick in range(ticks)])
    read = struct_from_binary(ua.NotificationMessage, Buffer(note))
    return bool(struct_to_binary(read) == note) and len(read.NotificationData[0].MonitoredItems) == tags * ticks


def main() -> int:
    """Read the command line and serve."""
    global grid  # noqa: PLW0603 (a process of its own)
    parser = argparse.ArgumentParser(prog="opcua_load.py", description="OPC UA load source (policy None, loopback).")
    parser.add_argument("--tags", type=int, default=1000)
    parser.add_argument("--period", type=float, default=0.1, help="seconds between two values of a tag")
    parser.add_argument("--double", action="store_true", help="Double alone instead of mixed types")
    parser.add_argument("--core", type=int, help="run on this processor core alone")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--check", action="store_true", help="encode, let the library decode and encode, compare, end")
    given = parser.parse_args()
    grid = Grid(int(time.time()) * SECOND, round(given.period * SECOND), mixed=not given.double)
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})
    if given.check:
        return 0 if check(given.tags, 3) else 1
    asyncio.run(serve(given.tags, given.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
