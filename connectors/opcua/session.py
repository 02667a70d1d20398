"""Session: the road from a socket to an active session, anew or where the last run left it, and back."""

import asyncio
from contextlib import suppress
from typing import Any

import structlog
from asyncua import ua

from connectors.opcua.kept import Session, adopt
from connectors.opcua.secured import Reached
from connectors.opcua.security import Andon, make_client
from gateway.core.errors import Unreachable

log: structlog.stdlib.BoundLogger = structlog.get_logger()
FAREWELL_S = 3.0
"""How long closing session, channel and socket may take."""
_START = ua.NodeId(ua.ObjectIds.Server_ServerStatus_StartTime)
_STATE = ua.NodeId(ua.ObjectIds.Server_ServerStatus_State)


async def enter(settings: Reached, endpoint: str, kept: Session | None) -> tuple[Andon, bool]:
    """Connect and activate a session; says whether it is the kept one.

    A kept session that the server does not give back costs one more connection: the client that was
    refused is never used again. Raises `Unreachable` and the library's errors.
    """
    if kept is not None:
        client = await make_client(settings, endpoint)
        try:
            async with asyncio.timeout(settings.timeout * 4):
                await _open(client)
                adopt(client, kept)
                await _activate(client)
        except (ua.UaStatusCodeError, ValueError) as no:
            await leave(client, stay=True)
            why = ua.StatusCode(no.code).name if isinstance(no, ua.UaStatusCodeError) else str(no)
            log.info("opcua.session.not_given_back", source=settings.name, why=why)
        except Unreachable as no:  # the server's refusal in words; a session of its own may still be had
            await leave(client, stay=True)
            log.info("opcua.session.not_given_back", source=settings.name, why=str(no))
        except BaseException:
            await leave(client, stay=True)
            raise
        else:
            return client, True
    client = await make_client(settings, endpoint)
    try:
        async with asyncio.timeout(settings.timeout * 4):
            await _open(client)
            await client.create_session()
            await _activate(client)
    except BaseException:
        await leave(client, stay=False)
        raise
    return client, False


async def _open(client: Andon) -> None:
    await client.connect_socket()
    await client.send_hello()
    await client.open_secure_channel()


async def _activate(client: Andon) -> None:
    await client.activate_session(client._username, client._password, client.user_certificate)  # noqa: SLF001 (pinned)
    client._start_renew_loop()  # noqa: SLF001 (pinned; `connect` would start its own supervisor too)
    client.uaclient.session.ensure_publish_loop = lambda: None  # it acknowledges before anything is stored


async def leave(client: Andon, *, stay: bool) -> None:
    """Close what is open; with `stay` the session and its subscriptions remain on the server, to come back to.

    The link may be dead: nothing here may last or fail.
    """
    with suppress(ua.UaError, OSError, TimeoutError, AssertionError):
        async with asyncio.timeout(FAREWELL_S):
            if stay:
                await _end_renewal(client)
                await client.close_secure_channel()
            else:
                await client.disconnect()
    await _end_renewal(client)
    client.disconnect_socket()
    await asyncio.sleep(0)  # the transport closes in the next turn of the loop


async def _end_renewal(client: Andon) -> None:
    client.uaclient.pre_request_hook = None
    await client._cancel_task(client._renew_channel_task)  # noqa: SLF001 (pinned)
    client._renew_channel_task = None  # noqa: SLF001 (pinned)


async def started_at(client: Andon) -> str:
    """Say when the server was started, as it says it; "" when it does not."""
    try:
        found: Any = await client.get_node(_START).read_value()
    except ua.UaStatusCodeError:
        return ""
    return str(found or "")


async def answers(client: Andon, within_s: float) -> bool:
    """Say whether the session still answers a read."""
    try:
        async with asyncio.timeout(within_s):
            await client.get_node(_STATE).read_value()
    except (ua.UaError, OSError, TimeoutError):
        return False
    return True
