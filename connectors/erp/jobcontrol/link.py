"""The link to a receiver of jobs: one session, made when it is needed, and what is asked in it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import structlog
from asyncua import ua

from connectors.erp.jobcontrol.states import code_of, meaning
from connectors.erp.jobcontrol.wire import BROKEN, NAMESPACE, Structure, Unreadable, boxed, name_of, unboxed
from connectors.opcua.address import parse
from connectors.opcua.secured import Reached
from connectors.opcua.security import LOST, Andon, advice
from connectors.opcua.session import answers, enter, leave
from gateway.core.delivery import Outcome, Rejected, Throttled, Uncertain, Unsent
from gateway.core.errors import Refused, Unreachable

log: structlog.stdlib.BoundLogger = structlog.get_logger()

METHODS = ("Store", "StoreAndStart", "Update", "Cancel")
RESPONSE = "RequestJobResponseByJobOrderID"
LIST, MOST = "JobOrderList", "MaxDownloadableJobOrders"
_T = TypeVar("_T")


class Place(NamedTuple):
    """A receiver as this session sees it: its object, its children by name, and the index of the namespace."""

    receiver: Any
    responses: Any | None
    nodes: dict[str, Any]
    space: int


class Failed(Exception):
    """A call that gave no answer of the receiver; `outcome` says what that means for an order."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(str(getattr(outcome, "cause", "") or getattr(outcome, "reason", "")))
        self.outcome = outcome


class Link:
    """One session with a server. Used in one event loop; many may ask at once, one at a time connects."""

    def __init__(self, settings: Reached, receiver: str, responses: str) -> None:
        self._settings, self._receiver, self._responses = settings, receiver, responses
        self._opening = asyncio.Lock()
        self._client: Andon | None = None
        self._place: Place | None = None
        self._suspect = False

    async def close(self) -> None:
        """End the session. May be called twice."""
        client, self._client, self._place, self._suspect = self._client, None, None, False
        if client is not None:
            await leave(client, stay=False)

    async def place(self) -> Place:
        """Connect when there is no link, and find the receiver. Raises `Unreachable` and `Refused`."""
        async with self._opening:
            if self._client is not None and self._place is not None and await self._well(self._client):
                return self._place
            await self.close()
            try:
                async with asyncio.timeout(self._settings.timeout * 4):
                    self._client, _ = await enter(self._settings, self._settings.endpoint, None)
                    self._place = await self._found(self._client)
            except (*LOST, TimeoutError) as lost:
                await self.close()
                raise Unreachable(f"{self._settings.name}: {advice(lost)}") from lost
            except BaseException:
                await self.close()
                raise
            return self._place

    async def call(self, method: str, kind: str, value: Structure | str, comment: str) -> int:
        """Call a method of the receiver, once; gives its ReturnStatus.

        Raises `Failed`, with what is known of its effect.
        """
        try:
            place = await self.place()
        except Refused as no:
            raise Failed(Rejected(str(no)[:500])) from no
        except Unreachable as lost:
            raise Failed(Unsent(str(lost))) from lost
        if method not in place.nodes:
            raise Failed(Rejected(f"the receiver has no method {method}"))
        first = ua.Variant(value, ua.VariantType.String) if isinstance(value, str) else _box(kind, value, place.space)
        comments = [ua.LocalizedText(comment)] if comment else []
        outputs = await self._called(place.receiver, place.nodes[method], [first, _texts(comments)])
        if len(outputs) != 1 or not isinstance(outputs[0], int) or isinstance(outputs[0], bool):
            raise Failed(Uncertain("the ERP's answer is no ReturnStatus"))
        return outputs[0]

    async def job(self, name: str) -> dict[str, Any] | None:
        """Look for a job in the receiver's list. Raises `Unreachable` and `Refused`."""
        listed, space = await self._listed()
        try:
            found = next((box for box in listed if name_of(box, space) == name), None)
            return None if found is None else unboxed("JobOrderAndState", found, space)
        except Unreadable as bad:
            raise Refused(f"{LIST} cannot be read: {bad}") from bad

    async def count(self) -> int:
        """Say how many jobs are in the receiver's list. Raises `Unreachable` and `Refused`."""
        listed, space = await self._listed()
        try:
            return len([name_of(box, space) for box in listed])
        except Unreadable as bad:
            raise Refused(f"{LIST} cannot be read: {bad}") from bad

    async def room(self) -> int | None:
        """How many jobs the receiver holds at most; None when it does not say. Raises `Unreachable` and `Refused`."""
        place = await self.place()
        found = await self._read(place.nodes[MOST]) if MOST in place.nodes else None
        return found if isinstance(found, int) and found > 0 else None

    async def response(self, job_order_id: str) -> dict[str, Any] | None:
        """Ask for the job response of an order; None when there is none, or nobody to ask.

        Raises `Unreachable` and `Refused`.
        """
        place = await self.place()
        if place.responses is None or RESPONSE not in place.nodes:
            return None
        try:
            outputs = await self._called(
                place.responses, place.nodes[RESPONSE], [ua.Variant(job_order_id, ua.VariantType.String)]
            )
        except Failed as failed:
            if isinstance(failed.outcome, Rejected):
                raise Refused(failed.outcome.reason) from failed
            raise Unreachable(f"{self._settings.name}: {failed}") from failed
        if not outputs or not isinstance(outputs[0], ua.ExtensionObject) or outputs[0].Body is None:
            return None
        try:
            return unboxed("JobResponse", outputs[0], place.space)
        except Unreadable as bad:
            raise Refused(f"the job response cannot be read: {bad}") from bad

    async def _listed(self) -> tuple[list[Any], int]:
        place = await self.place()
        found = await self._read(place.nodes[LIST])
        if found is not None and not isinstance(found, list):
            raise Refused(f"{LIST} cannot be read: it is no list")
        return found or [], place.space

    async def _read(self, node: Any) -> Any:
        asked = ua.ReadParameters(NodesToRead=[ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value)])
        try:
            [answer] = await self._ask(lambda client: client.uaclient.session.read(asked))
        except Failed as failed:
            if isinstance(failed.outcome, Rejected):
                raise Refused(failed.outcome.reason) from failed
            raise Unreachable(f"{self._settings.name}: {failed}") from failed
        status = answer.StatusCode
        if status is not None and status.is_bad():
            if meaning(str(status.name)) == "refused":
                raise Refused(f"the ERP answered {status.name}")
            raise Unreachable(f"{self._settings.name}: the ERP answered {status.name}")
        return None if answer.Value is None else answer.Value.Value

    async def _called(self, on: Any, method: Any, inputs: Sequence[ua.Variant]) -> list[Any]:
        """Call a method; gives the values of its outputs. Raises `Failed`."""
        request = ua.CallMethodRequest(ObjectId=on, MethodId=method, InputArguments=list(inputs))
        [result] = await self._ask(lambda client: client.uaclient.session.call([request]))
        status = result.StatusCode
        # Uncertain goes with a ReturnStatus that tells why; only a bad one stands alone.
        if status is not None and status.is_bad():
            raise Failed(_failure(str(status.name)))
        return [one.Value for one in result.OutputArguments or ()]

    async def _ask(self, ask: Callable[[Andon], Awaitable[_T]]) -> _T:
        client = self._client
        if client is None or not _lives(client):
            raise Failed(Unsent("the link was lost before anything was sent"))
        try:
            async with asyncio.timeout(self._settings.timeout):
                return await ask(client)
        except ua.UaStatusCodeError as fault:
            failure = _failure(code_of(fault))
            if not isinstance(failure, Rejected | Throttled):
                await self._drop(client)
            raise Failed(failure) from fault
        except TimeoutError as late:
            self._suspect = True
            raise Failed(Uncertain("no answer in time")) from late
        except asyncio.CancelledError:
            self._suspect = True
            raise
        except (*LOST, *BROKEN) as lost:
            await self._drop(client)
            raise Failed(Uncertain(f"the link was lost ({type(lost).__name__})")) from lost

    async def _well(self, client: Andon) -> bool:
        """Say whether a link is good; one on which a request was not answered is tried first."""
        if self._suspect and _lives(client) and not await answers(client, self._settings.timeout):
            return False
        self._suspect = False
        return _lives(client)

    async def _drop(self, client: Andon) -> None:
        """Leave a link that is no good any more; the next question makes another."""
        if self._client is client:
            await self.close()

    async def _found(self, client: Andon) -> Place:
        namespaces = await client.get_namespace_array()
        if NAMESPACE not in namespaces:
            raise Refused(f"the server has no namespace {NAMESPACE}: it is no receiver of jobs (OPC 10031-4 v2)")
        index = namespaces.index(NAMESPACE)
        receiver = _node(self._receiver, namespaces)
        nodes = await _children(client, receiver, [*METHODS, LIST, MOST], index)
        if LIST not in nodes:
            raise Refused(f"{self._receiver} is no receiver of jobs: it has no {LIST}; see receiver")
        responses = _node(self._responses, namespaces) if self._responses else None
        if responses is not None:
            nodes |= await _children(client, responses, [RESPONSE], index)
        return Place(receiver, responses, nodes, index)


async def _children(client: Andon, parent: Any, names: Sequence[str], index: int) -> dict[str, Any]:
    """Find children by their names in one request."""
    reference = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
    paths = []
    for name in names:
        element = ua.RelativePathElement(
            ReferenceTypeId=reference, IsInverse=False, IncludeSubtypes=True, TargetName=ua.QualifiedName(name, index)
        )
        paths.append(ua.BrowsePath(StartingNode=parent, RelativePath=ua.RelativePath(Elements=[element])))
    found = await client.uaclient.session.translate_browsepaths_to_nodeids(paths)
    return {
        name: one.Targets[0].TargetId
        for name, one in zip(names, found, strict=True)
        if one.StatusCode.is_good() and one.Targets
    }


def _node(text: str, namespaces: Sequence[str]) -> Any:
    address = parse(text)
    node = address.node_id(namespaces)
    if node is None:
        raise Refused(f"the server has no namespace {address.uri}")
    return ua.NodeId.from_string(node)


def _lives(client: Andon) -> bool:
    protocol = client.uaclient.protocol
    return protocol is not None and protocol.transport is not None and not protocol.transport.is_closing()


def _failure(code: str) -> Outcome:
    match meaning(code):
        case "refused":
            return Rejected(f"the ERP answered {code}")
        case "wait":
            return Throttled(None, f"the ERP answered {code}")
        case "not begun":
            return Unsent(f"the session was lost ({code})")
    return Uncertain(f"the ERP answered {code}")


def _box(kind: str, value: Structure, index: int) -> ua.Variant:
    return ua.Variant(boxed(kind, value, index), ua.VariantType.ExtensionObject)


def _texts(texts: Sequence[ua.LocalizedText]) -> ua.Variant:
    return ua.Variant(list(texts), ua.VariantType.LocalizedText, is_array=True)
