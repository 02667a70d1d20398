"""A session as it is kept, so that another process can go on with it."""

from typing import Any

import msgspec
from asyncua import ua
from asyncua.ua.ua_binary import nodeid_from_binary, nodeid_to_binary

from connectors.opcua.security import Andon


class Policy(msgspec.Struct, frozen=True, array_like=True):
    """One way in which the server lets users in, as it said when the session was created."""

    id: str
    kind: int
    security: str


class Session(msgspec.Struct, frozen=True, array_like=True):
    """A session on a server. `token` and `nonce` are secrets: whoever has them may take the session over.

    `identity` says by whom and how it was opened; `started` when the server was (its StartTime, "" unknown).
    """

    endpoint: str
    identity: bytes
    started: str
    token: bytes
    nonce: bytes
    policies: tuple[Policy, ...]

    def __repr__(self) -> str:
        return f"Session({self.endpoint})"


def session_of(client: Andon, endpoint: str, identity: bytes, started: str) -> Session:
    """Give what is to be kept of a client's session."""
    policies = tuple(
        Policy(str(one.PolicyId or ""), int(one.TokenType), str(one.SecurityPolicyUri or ""))
        for one in client._policy_ids or ()  # noqa: SLF001 (pinned; the library keeps it nowhere else)
    )
    token = nodeid_to_binary(client.uaclient.session.authentication_token)
    return Session(endpoint, identity, started, token, client._server_nonce or b"", policies)  # noqa: SLF001


def adopt(client: Andon, session: Session) -> None:
    """Let the client go on with a kept session; it is to be activated next. Raises ValueError when it is damaged."""
    try:
        token = nodeid_from_binary(ua.utils.Buffer(session.token))
    except Exception as fault:  # whatever the library's decoder makes of damaged bytes
        raise ValueError("the kept session is damaged") from fault
    client.uaclient.session.restore_authentication_token(token)
    client._server_nonce = session.nonce or None  # noqa: SLF001 (pinned)
    client._policy_ids = [_policy(one) for one in session.policies]  # noqa: SLF001 (pinned)


def _policy(kept: Policy) -> Any:
    return ua.UserTokenPolicy(
        PolicyId=kept.id, TokenType=ua.UserTokenType(kept.kind), SecurityPolicyUri=kept.security or None
    )
