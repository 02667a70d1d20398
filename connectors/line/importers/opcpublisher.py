"""OPC Publisher: the published nodes file (pn.json)."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connectors.line.importers.found import Field, Finding, Imported, number_text, plain_name
from connectors.line.importers.shared import (
    duration,
    identifier_of,
    node_address,
    publish,
    seconds_of,
    security,
    user_of,
)
from connectors.line.importers.taking import Taking
from gateway.core.errors import Refused

_CLOUD = "is about how messages are made for the cloud: nothing of ours needs it"
_GROUPED = (
    "DataSetWriterGroup",
    "DataSetClassId",
    "DataSetDescription",
    "DataSetExtensionFields",
    "DataSetKeyFrameCount",
    "DataSetFetchDisplayNames",
    "MaxKeyFrameCount",
    "MessageEncoding",
    "MessagingMode",
    "MetaDataUpdateTime",
    "MetaDataUpdateTimeTimespan",
    "SendKeepAliveDataSetMessages",
    "WriterGroupMessageTtlTimepan",
    "WriterGroupTransport",
    "WriterGroupQueueName",
    "BatchSize",
    "BatchTriggerInterval",
    "BatchTriggerIntervalTimespan",
    "QueueName",
    "Version",
    "LastChangeTimespan",
    "LastChangeDateTime",
    "Priority",
)


def opcpublisher(text: str, namespaces: Sequence[str] = ()) -> Imported:
    """Read a published nodes file: one line for each server and user, one asset for each writer.

    Raises `Refused` when it is not the JSON of such a file.
    """
    try:
        rows = json.loads(text)
    except ValueError as bad:
        raise Refused(f"not JSON: {bad}") from bad
    if not isinstance(rows, list):
        raise Refused("not a published nodes file: a list of endpoints is wanted")
    finding = Finding()
    entries: list[_Entry] = []
    secrets: dict[tuple[str, str], str] = {}
    for number, row in enumerate(rows):
        entry = _entry(Taking(row, f"entry {number}", finding), namespaces, secrets)
        same = next((one for one in entries if entry is not None and one.key == entry.key), None)
        if same is not None and entry is not None:
            same.join(entry, finding)
        elif entry is not None:
            entries.append(entry)
    for entry in entries:
        finding.line(entry.name, "opcua", entry.fields, entry.tags)
    return finding.done()


@dataclass(slots=True)
class _Entry:
    """One entry of the file; those for one server with one user become one line."""

    name: str
    fields: dict[str, Field]
    tags: list[dict[str, str]]

    @property
    def key(self) -> str:
        """What must be the same for one session."""
        return repr([self.fields[name] for name in sorted(self.fields) if name not in {"publish", "user"}]) + _who(
            self.fields
        )

    def join(self, other: "_Entry", finding: Finding) -> None:
        """Take the tags of another entry, and the faster publishing."""
        mine, theirs = (seconds_of(str(fields.get("publish", ""))) for fields in (self.fields, other.fields))
        if mine != theirs:
            faster = min((one for one in (mine, theirs) if one is not None), default=1.0)
            self.fields["publish"] = duration(faster)
            finding.note(other.name, f"shares a session with {self.name}: both are published every {faster:g} s")
        self.tags += other.tags


def _who(fields: dict[str, Field]) -> str:
    user = fields.get("user")
    return str(user["name"]) if isinstance(user, dict) else ""


def _entry(one: Taking, namespaces: Sequence[str], secrets: dict[tuple[str, str], str]) -> _Entry | None:
    """Read one entry. `secrets` has whose password is whose: one for a server and a user."""
    url = one.text("EndpointUrl")
    writer = one.text("DataSetWriterId") or one.text("DataSetName") or one.text("DataSetWriterGroup")
    name = writer or url.removeprefix("opc.tcp://").split("/", maxsplit=1)[0] or "opcua"
    fields: dict[str, Field] = {"endpoint": url, **_security(one)}
    plain = "insecure" in fields
    method = {"usernamepassword": "username"}.get(
        one.text("OpcAuthenticationMode").lower(), one.text("OpcAuthenticationMode")
    )
    user, password = one.text("OpcAuthenticationUsername"), one.text("OpcAuthenticationPassword")
    one.known(
        "is sealed for the publisher: give name and password anew",
        "EncryptedAuthUsername",
        "EncryptedAuthPassword",
    )
    if method.lower() == "username" and not user:
        one.note("logs in by name, which cannot be read here: write user = { name = …, password = … }")
    fields |= user_of(secrets.setdefault((url, user), name), method, user, password, one, plain=plain)
    fields |= publish(_interval(one, "DataSetPublishingInterval"), one)
    sampling = _interval(one, "DataSetSamplingInterval")
    one.known(_CLOUD, *_GROUPED)
    one.settled("DataSetName", "DataSetWriterGroup")
    nodes = [*one.tables("OpcNodes"), *one.tables("OpcEvents")]
    legacy = one.table("NodeId")
    if identifier := legacy.text("Identifier"):
        nodes.append(legacy.renamed(Id=identifier))
    legacy.rest()
    tags = [tag for node in nodes if (tag := _node(node, name, sampling, namespaces))]
    _settle_publishing(nodes, fields, one)
    for node in nodes:
        node.rest()
    one.rest()
    if not url.startswith("opc.tcp://"):
        one.note("has no opc.tcp:// endpoint: left out", "EndpointUrl")
        return None
    return _Entry(name, fields, tags)


def _security(one: Taking) -> dict[str, Field]:
    """Give the security of an entry: without a word of it the publisher reads in plain text."""
    policy, mode = one.text("EndpointSecurityPolicy"), one.text("EndpointSecurityMode")
    wanted = one.flag("UseSecurity")
    if not policy and not mode:
        mode = "Best" if wanted else "None"
    if mode == "Sign":
        return security(policy, mode, one)
    return security(policy, "None" if mode == "None" else "SignAndEncrypt", one)


def _interval(one: Taking, key: str) -> float | None:
    """Take an interval in milliseconds, or as a time span; the span wins. Gives seconds."""
    milliseconds = one.number(key)
    span = seconds_of(one.text(f"{key}Timespan"))
    return span if span is not None else None if milliseconds is None else milliseconds / 1000


def _settle_publishing(nodes: Sequence[Taking], fields: dict[str, Field], one: Taking) -> None:
    """Take the fastest publishing interval of the nodes for the line, where the line has none."""
    asked = [seconds for node in nodes if (seconds := _interval(node, "OpcPublishingInterval")) is not None]
    if not asked:
        return
    if len(set(asked)) > 1 or "publish" in fields:
        told = f"publishing intervals of nodes, {min(asked):g} to {max(asked):g} s: there is one for the line"
        one.note(f"{told}; [[line.….group]] has others")
    if "publish" not in fields:
        fields |= publish(min(asked), one)


def _node(node: Taking, asset: str, sampling: float | None, namespaces: Sequence[str]) -> dict[str, str] | None:
    text = node.text("ExpandedNodeId") or node.text("Id")
    node.settled("Id")
    called = node.text("DataSetFieldId") or node.text("DisplayName") or identifier_of(text)
    node.settled("DisplayName", "FetchDisplayName")
    node.usual(
        "is not taken over: [[line.….group]] has discard and trigger", DiscardNew=False, DataChangeTrigger="StatusValue"
    )
    node.usual("is not taken over: the first value counts like any other", SkipFirst=False)
    node.usual("is not taken over: values alone are read", AttributeId="Value")
    node.known("is not taken over: andon config sample shows [[line.….event]]", "EventFilter", "ConditionHandling")
    node.known("keeps values alive: here a heartbeat is never a sample, see stale_after", *_HEARTBEATS)
    node.known("is the line's: queue", "QueueSize")
    node.known("is not needed: values come by subscription", "UseCyclicRead", "CyclicReadMaxAge", "RegisterNode")
    node.known(_CLOUD, "DataSetClassFieldId", "DataSetWriterId", "QualityOfService", "Topic", "TriggeredNodes")
    cells = dict(_cells(node, sampling))
    address = node_address(text, namespaces, node) if text else None
    if "EventFilter" in node or address is None:
        node.note("is a source of events: left out" if "EventFilter" in node else "has no node id: left out")
        return None
    return {"asset": plain_name(asset), "tag": plain_name(called), "address": address, **cells}


_HEARTBEATS = ("HeartbeatInterval", "HeartbeatIntervalTimespan", "HeartbeatBehavior")


def _cells(node: Taking, sampling: float | None) -> Iterator[tuple[str, str]]:
    own = _interval(node, "OpcSamplingInterval")
    seconds = sampling if own is None else own
    if seconds is not None and seconds > 0:
        yield "every", duration(max(0.001, seconds))
    kind, value = node.text("DeadbandType"), node.number("DeadbandValue")
    if value and kind.lower() == "absolute":
        yield "deadband", number_text(value)
    elif value:
        node.note(f'of {value:g} per cent: [[line.….group]] with deadband = "{value:g}%"', "DeadbandValue")
