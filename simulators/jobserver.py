"""The OPC UA server of a machine that takes jobs: its receiver, its responses, its plain variables, and its faults."""

import asyncio
import logging
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Self

from asyncua import Server, ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.internal_session import SessionState
from asyncua.ua.uaerrors import UaStatusCodeError

from simulators.jobs import NUMBERS, OK, UNKNOWN, Book, Job
from simulators.jobtypes import URI, add_types
from simulators.papers import Papers

OWN = "urn:andon:machine"
KINDS = {
    "error_before": "Bad_InternalError, nothing was made",
    "unknown_field": "an exception in the machine's program, nothing was made",
    "error_after": "Bad_InternalError, but the job was made",
    "hang": "no answer for `seconds`, nothing was made",
    "lost_hang": "the job was made, no answer for `seconds`",
    "cut": "the link is cut before anything was made",
    "lost_reply": "the job was made, then the link is cut",
    "truncated": "the job was made, then the link is cut",
    "ghost": "the link is cut; the job is made `seconds` later",
    "garbage": "the job was made, the answer is no ReturnStatus",
    "throttle": "Bad_TooManyOperations",
    "unavailable": "Bad_ResourceUnavailable",
    "refuse": "ReturnStatus: invalid request",
    "forbidden": "Bad_UserAccessDenied",
    "redirect": "Bad_MethodInvalid",
    "vendor": "ReturnStatus: a bit of the vendor",
    "slow": "the right answer after `seconds`",
}
_BAD = {
    "error_before": ua.StatusCodes.BadInternalError,
    "error_after": ua.StatusCodes.BadInternalError,
    "throttle": ua.StatusCodes.BadTooManyOperations,
    "unavailable": ua.StatusCodes.BadResourceUnavailable,
    "forbidden": ua.StatusCodes.BadUserAccessDenied,
    "redirect": ua.StatusCodes.BadMethodInvalid,
}
_VENDOR = 1 << 40
_VARIABLES: dict[str, tuple[Any, ua.VariantType]] = {
    "order-id": ("", ua.VariantType.String),
    "material": ("", ua.VariantType.String),
    "quantity": (0, ua.VariantType.Int32),
    "start": (False, ua.VariantType.Boolean),
}


@dataclass(slots=True)
class Fault:
    """One rule: `path` "store", "update", "cancel" or "list" and `reference` (a job's id) narrow it."""

    kind: str
    path: str = "store"
    reference: str = ""
    count: int = -1
    seconds: float = 1.0
    fired: int = 0


class Machine:
    """Serves the jobs of a book. Use as a context manager: it listens inside."""

    def __init__(self, host: str, port: int, book: Book, papers: Papers | None = None) -> None:
        self._host, self._port, self.book, self._papers = host, port, book, papers
        self.denied = False
        self._server = Server(user_manager=self)
        self.faults: list[Fault] = []
        self._called: dict[str, int] = {}
        self.written: dict[str, int] = {}
        self._later: set[asyncio.Task[None]] = set()
        self._space = self._types = 0
        self._list = ua.NodeId()
        self._gone: dict[str, Job] = {}

    @property
    def endpoint(self) -> str:
        """Where clients connect to."""
        return f"opc.tcp://{self._host}:{self._port}"

    async def __aenter__(self) -> Self:
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # its faults are meant
        await self._server.init()
        await self._server.set_application_uri(OWN)
        if self._papers is None:
            self._server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
            self._server.set_identity_tokens([ua.AnonymousIdentityToken])
        else:
            await self._papers.apply(self._server, OWN, self._host)
        self._server.set_endpoint(self.endpoint)
        self._space = await self._server.register_namespace(OWN)
        self._types = await self._server.register_namespace(URI)
        await add_types(self._server, self._types)
        await self._build()
        self.book.changed = self._note
        await self._server.start()
        self._port = self._server.bserver.port
        for endpoint in self._server.iserver.endpoints:
            endpoint.EndpointUrl = self.endpoint
        return self

    def get_user(self, *_: object, **__: object) -> User | None:
        """Say who that is; the library asks at every activation."""
        return None if self.denied else User(role=UserRole.Admin)

    async def __aexit__(self, *_: object) -> None:
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)
        await self._server.stop()

    async def _build(self) -> None:
        objects, order = self._server.get_objects_node(), ua.NodeId(3008, self._types)
        receiver = await objects.add_object(ua.NodeId("JobOrderControl", self._space), self._own("JobOrderControl"))
        listed = await receiver.add_variable(
            ua.NodeId("JobOrderControl.List", self._space),
            self._name("JobOrderList"),
            ua.Variant([], ua.VariantType.ExtensionObject, is_array=True),
            datatype=ua.NodeId(3015, self._types),
        )
        self._list = listed.nodeid
        self._server.iserver.aspace.set_attribute_value_callback(
            self._list, ua.AttributeIds.Value, lambda *_: self._listing()
        )
        most = await receiver.add_property(
            ua.NodeId("JobOrderControl.Most", self._space),
            self._name("MaxDownloadableJobOrders"),
            self.book.most,
            ua.VariantType.UInt16,
        )
        self._server.iserver.aspace.set_attribute_value_callback(
            most.nodeid,
            ua.AttributeIds.Value,
            lambda *_: ua.DataValue(ua.Variant(self.book.most, ua.VariantType.UInt16)),
        )
        for method in ("Store", "StoreAndStart", "Update"):
            await self._method(receiver, method, self._whole(method), [order, ua.NodeId(21)], [ua.NodeId(9)])
        for method in ("Cancel", "Clear", "Start", "RevokeStart", "Pause", "Resume", "Stop", "Abort"):
            await self._method(receiver, method, self._named(method), [ua.NodeId(12), ua.NodeId(21)], [ua.NodeId(9)])
        results = await objects.add_object(ua.NodeId("JobOrderResults", self._space), self._own("JobOrderResults"))
        outputs = [ua.NodeId(3013, self._types), ua.NodeId(9)]
        await self._method(results, "RequestJobResponseByJobOrderID", self._respond, [ua.NodeId(12)], outputs)
        for name, (first, kind) in _VARIABLES.items():
            node = await objects.add_variable(ua.NodeId(name, self._space), self._own(name), ua.Variant(first, kind))
            await node.set_writable()
            self._server.iserver.aspace.add_datachange_callback(
                node.nodeid, ua.AttributeIds.Value, lambda *_, name=name: self._wrote(name)
            )

    def _wrote(self, name: str) -> None:
        self.written[name] = self.written.get(name, 0) + 1

    async def _method(self, parent: Any, name: str, does: Any, inputs: list[Any], outputs: list[Any]) -> None:
        identifier = ua.NodeId(f"{parent.nodeid.Identifier}.{name}", self._space)
        await parent.add_method(identifier, self._name(name), does, inputs, outputs)

    def _own(self, name: str) -> ua.QualifiedName:
        return ua.QualifiedName(name, self._space)

    def _name(self, name: str) -> ua.QualifiedName:
        return ua.QualifiedName(name, self._types)

    def _whole(self, method: str) -> Any:
        path = "update" if method == "Update" else "store"

        async def does(_: ua.NodeId, order: ua.Variant, __: ua.Variant) -> Any:
            def act() -> int:
                if method == "Update":
                    return self.book.update(order.Value)
                return self.book.store(order.Value, start=method == "StoreAndStart")

            return await self._struck(path, method, str(order.Value.JobOrderID), act)

        return does

    def _named(self, method: str) -> Any:
        async def does(_: ua.NodeId, name: ua.Variant, __: ua.Variant) -> Any:
            def act() -> int:
                if method in {"Cancel", "Clear"}:
                    return self.book.remove(str(name.Value), method)
                return self.book.move(str(name.Value), method)

            return await self._struck("cancel", method, str(name.Value), act)

        return does

    async def _struck(self, path: str, method: str, name: str, act: Any) -> Any:
        """Do what a method does, with the fault that is due."""
        self._called[method] = self._called.get(method, 0) + 1
        fault = self._draw(path, name)
        kind = fault.kind if fault is not None else ""
        if fault is not None and kind in {"hang", "slow"}:
            await asyncio.sleep(fault.seconds)
        if kind == "hang":
            return ua.StatusCode(ua.StatusCodes.BadTimeout)
        if kind == "unknown_field":
            raise RuntimeError("Traceback: /opt/machine/jobs.py")
        if kind == "ghost" and fault is not None:
            self._after(fault.seconds, act)
        if kind in {"cut", "ghost"}:
            return self.cut()
        if kind in {"refuse", "vendor"}:
            return [ua.Variant(1 << 32 if kind == "refuse" else _VENDOR, ua.VariantType.UInt64)]
        if kind in _BAD and kind != "error_after":
            return ua.StatusCode(_BAD[kind])
        status = act()
        if kind in {"lost_reply", "truncated"}:
            return self.cut()
        if kind == "lost_hang" and fault is not None:
            await asyncio.sleep(fault.seconds)
        if kind == "error_after":
            return ua.StatusCode(_BAD[kind])
        if kind == "garbage":
            return [ua.Variant("<html>", ua.VariantType.String)]
        return [ua.Variant(status, ua.VariantType.UInt64)]

    async def _respond(self, _: ua.NodeId, name: ua.Variant) -> Any:
        self._called["RequestJobResponseByJobOrderID"] = self._called.get("RequestJobResponseByJobOrderID", 0) + 1
        job = self.book.jobs.get(str(name.Value)) or self._gone.get(str(name.Value))
        if job is None:
            return [ua.Variant(ua.ExtensionObject()), ua.Variant(UNKNOWN, ua.VariantType.UInt64)]
        data = [ua.ISA95ParameterDataType(ID="code", Value=ua.Variant(job.code))] if job.code else None
        told = ua.ISA95JobResponseDataType(
            JobResponseID=f"{name.Value}-1",
            JobOrderID=str(name.Value),
            StartTime=job.began_at,
            EndTime=job.ended_at,
            JobState=[_state(job)],
            JobResponseData=data,
        )
        return [ua.Variant(told), ua.Variant(OK, ua.VariantType.UInt64)]

    def _listing(self) -> ua.DataValue:
        fault = self._draw("list", "")
        if fault is not None and fault.kind in _BAD:
            return ua.DataValue(StatusCode=ua.StatusCode(_BAD[fault.kind]))
        rows = [
            ua.ISA95JobOrderAndStateDataType(JobOrder=job.order, State=[_state(job)]) for job in self.book.jobs.values()
        ]
        return ua.DataValue(
            ua.Variant(rows, ua.VariantType.ExtensionObject, is_array=True), SourceTimestamp=datetime.now(UTC)
        )

    def _note(self, name: str) -> None:
        """Keep what is needed of a job that is cleared: its response can still be asked for."""
        job = self.book.jobs.get(name)
        if job is not None and job.state in {"Ended", "Aborted"}:
            self._gone[name] = job

    def _draw(self, path: str, reference: str) -> Fault | None:
        for fault in self.faults:
            if fault.count != 0 and fault.path == path and fault.reference in ("", reference):
                fault.count -= 1 if fault.count > 0 else 0
                fault.fired += 1
                return fault
        return None

    def cut(self) -> ua.StatusCode:
        """Cut every link."""
        for client in list(self._server.bserver.clients):
            if client.transport is not None:
                client.transport.abort()
        return ua.StatusCode(ua.StatusCodes.BadConnectionClosed)

    def _after(self, seconds: float, act: Any) -> None:
        async def later() -> None:
            await asyncio.sleep(seconds)
            act()

        task = asyncio.create_task(later())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def down(self, seconds: float) -> None:
        """Close the port and every link, and come back on the same port."""
        served = self._server.bserver
        port = served.port
        self.cut()
        served._server.close()  # noqa: SLF001  the library has no way to close the port alone
        await served._server.wait_closed()  # noqa: SLF001

        async def back() -> None:
            await asyncio.sleep(seconds)
            loop = asyncio.get_running_loop()
            made = served._make_protocol  # noqa: SLF001
            served._server = await loop.create_server(made, self._host, port)  # noqa: SLF001

        task = asyncio.create_task(back())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    def forget_sessions(self) -> None:
        """Forget every session; the links stay."""
        for client in list(self._server.bserver.clients):
            if client.processor is not None and client.processor.session is not None:
                client.processor.session.state = SessionState.Created

    async def values(self) -> dict[str, Any]:
        """Give what the plain variables hold."""
        found = {}
        for name in _VARIABLES:
            try:
                found[name] = await self._server.get_node(ua.NodeId(name, self._space)).read_value()
            except UaStatusCodeError:
                found[name] = None
        return found

    def state(self) -> dict[str, Any]:
        """Give the oracle: jobs, how often each was made, what was called."""
        return {
            "jobs": {name: {"state": job.state, "order": _plain(job.order)} for name, job in self.book.jobs.items()},
            "commits": self.book.made,
            "faults": [asdict(fault) for fault in self.faults],
            "called": self._called,
        }


def _state(job: Job) -> Any:
    return ua.ISA95StateDataType(
        BrowsePath=ua.RelativePath(), StateText=ua.LocalizedText(job.state), StateNumber=NUMBERS[job.state]
    )


def _plain(value: Any) -> Any:
    """Give a structure as JSON has it."""
    if isinstance(value, ua.Variant):
        return _plain(value.Value)
    if isinstance(value, ua.LocalizedText):
        return value.Text
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat()
    names = getattr(value, "__dataclass_fields__", None)
    if names is None:
        return value
    return {name: _plain(getattr(value, name)) for name in names if getattr(value, name) not in (None, [])}
