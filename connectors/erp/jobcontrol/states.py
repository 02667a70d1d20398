"""What a receiver of jobs says: the states of a job, the bits of a ReturnStatus, the codes of a call."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from asyncua import ua

NO_ERROR, UNKNOWN_ID, INVALID_STATUS, CANNOT_ACCEPT, INVALID_REQUEST = 0, 1, 3, 4, 32
"""Bits of a ReturnStatus (OPC 10031-4, B.2); from 33 on they are the vendor's own."""
_BITS = {
    UNKNOWN_ID: "unknown job order",
    2: "invalid command",
    INVALID_STATUS: "not in this state of the job",
    CANNOT_ACCEPT: "unable to accept the job order",
    INVALID_REQUEST: "invalid request",
}
STATES = {
    1: "NotAllowedToStart",
    2: "AllowedToStart",
    3: "Running",
    4: "Interrupted",
    5: "Ended",
    6: "Aborted",
}
"""The numbers of the top-level states."""
UNTOUCHED = frozenset({"NotAllowedToStart", "AllowedToStart"})
"""Nobody has begun."""

_REFUSED = frozenset(
    {
        "BadUserAccessDenied",
        "BadNodeIdUnknown",
        "BadNodeIdInvalid",
        "BadMethodInvalid",
        "BadNotImplemented",
        "BadNotSupported",
        "BadNotExecutable",
        "BadArgumentsMissing",
        "BadTooManyArguments",
        "BadInvalidArgument",
        "BadTypeMismatch",
        "BadOutOfRange",
        "BadDecodingError",
        "BadRequestTooLarge",
        "BadSecurityModeInsufficient",
        "BadNothingToDo",
    }
)
_WAIT = frozenset({"BadTooManyOperations", "BadTcpServerTooBusy", "BadResourceUnavailable", "BadServerHalted"})
_NOT_BEGUN = frozenset(
    {
        "BadSessionIdInvalid",
        "BadSessionClosed",
        "BadSessionNotActivated",
        "BadSecureChannelIdInvalid",
        "BadSecureChannelTokenUnknown",
    }
)


def meaning(code: str) -> Literal["refused", "wait", "not begun", "unsure"]:
    """Say what a bad status code means for a call that may have had an effect.

    A request in a session that is none is turned away before anything is done.
    """
    if code in _REFUSED:
        return "refused"
    if code in _WAIT:
        return "wait"
    return "not begun" if code in _NOT_BEGUN else "unsure"


def says(status: int, bit: int) -> bool:
    """Say whether a bit of a ReturnStatus is set."""
    return bool(status >> bit & 1)


def words(status: int) -> str:
    """Say what a ReturnStatus says."""
    named = [f"{text} (bit {bit})" for bit, text in _BITS.items() if says(status, bit)]
    others = [str(bit) for bit in range(64) if says(status, bit) and bit not in _BITS and bit != NO_ERROR]
    named += [f"bit {', '.join(others)}"] if others else []
    return "; ".join(named) or f"ReturnStatus {status}"


def top(states: Sequence[Mapping[str, Any]]) -> str:
    """Give the name of the top-level state: the first entry, whose path is empty."""
    if not states:
        return ""
    first = states[0]
    number, text = first.get("StateNumber"), first.get("StateText")
    said = str(getattr(text, "Text", None) or "")
    # The text may be in the machine's language; the number is the standard's.
    return STATES.get(number, said) if isinstance(number, int) else said


def state_of(name: str) -> Literal["open", "done", "cancelled", "unknown"]:
    """Say what a top-level state means to us."""
    match name:
        case "Ended":
            return "done"
        case "Aborted":
            return "cancelled"
        case "NotAllowedToStart" | "AllowedToStart" | "Running" | "Interrupted":
            return "open"
    return "unknown"


def code_of(fault: ua.UaStatusCodeError) -> str:
    """Give the name of a status code that was raised."""
    return str(ua.StatusCode(fault.code).name)
