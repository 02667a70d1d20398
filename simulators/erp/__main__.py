"""Starts the simulated ERP as a process and says READY with its addresses."""

import argparse
import asyncio
import contextlib
import json
import logging
import secrets
import signal
import sys

from simulators.erp.api import Erp
from simulators.erp.asgi import Door
from simulators.erp.b2mml import B2mml
from simulators.erp.book import Book
from simulators.erp.dynamics import Dynamics
from simulators.erp.faults import Plan
from simulators.erp.frappe import Frappe
from simulators.erp.maximo import Maximo
from simulators.erp.odoo import Odoo
from simulators.erp.oracle import Oracle
from simulators.erp.orders import Habits
from simulators.erp.sap import Sap
from simulators.erp.webhook import Bell
from simulators.idp import JWKS_PATH, METADATA_PATH, TOKEN_PATH, IdentityProvider, Policy


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulators.erp", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--db", default=":memory:", help="SQLite file; without it nothing is kept")
    parser.add_argument("--profile", choices=("header", "lookup"), default="header")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--webhook", default="", help="address that is told about every change of an order")
    parser.add_argument("--webhook-secret", default="", help="whsec_...")
    parser.add_argument("--token-seconds", type=int, default=300, help="life of an access token; 0 says none")
    parser.add_argument("--algorithm", choices=("RS256", "ES256"), default="RS256")
    parser.add_argument("--client-id", default="andon-gateway")
    parser.add_argument("--client-secret", default="", help="default: a random one")
    parser.add_argument("--api-key", default="", help="of the Odoo and the Maximo; default: a random one")
    parser.add_argument("--site", default="BEDFORD", help="of the Maximo under /maximo")
    parser.add_argument("--strict", action="store_true", help="answer 500 to a field that is not known")
    parser.add_argument("--faults", default="[]", help="JSON list of faults to begin with")
    return parser.parse_args()


class UnusableError(Exception):
    """An option that cannot be followed, in one line."""


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT. Raises `UnusableError` for faults that are none and a port that is taken."""
    clients = {
        options.client_id: options.client_secret or secrets.token_urlsafe(24),
        "erp-outbound": secrets.token_urlsafe(24),
    }
    idp = IdentityProvider("", clients, Policy(expires_in=options.token_seconds, algorithm=options.algorithm))
    erp = Erp(Book(options.db), Plan(options.seed), idp, Habits(profile=options.profile, strict=options.strict))
    api_key = options.api_key or secrets.token_hex(20)
    erp.desks = {
        "frappe": Frappe(erp.book, idp, f"andon:{api_key}"),
        "odoo": Odoo(erp.book, api_key),
        "sap": Sap(erp.book, idp, options.client_id, clients[options.client_id]),
        "dynamics": Dynamics(erp.book, idp),
        "oracle": Oracle(erp.book, idp, options.client_id, clients[options.client_id]),
        "maximo": Maximo(erp.book, api_key, options.site),
        "b2mml": B2mml(erp.book, idp),
    }
    try:
        erp.plan.replace(json.loads(options.faults), None)
    except (ValueError, TypeError, AttributeError) as wrong:
        raise UnusableError(f"--faults: {wrong}") from wrong
    # The control has a port of its own: it must answer while the ERP is down.
    erp.door, control = Door(erp.answer, options.host), Door(erp.answer, options.host)
    try:
        idp.issuer = f"http://{options.host}:{await erp.door.open(options.port)}"
    except (OSError, OverflowError) as wrong:
        raise UnusableError(f"cannot listen on {options.host}:{options.port}: {wrong}") from wrong
    control_port = await control.open(0)
    erp.bell = Bell(options.webhook, options.webhook_secret)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    ready = {
        "base_url": idp.issuer,
        "control_url": f"http://{options.host}:{control_port}/_control",
        "token_url": idp.issuer + TOKEN_PATH,
        "jwks_url": idp.issuer + JWKS_PATH,
        "metadata_url": idp.issuer + METADATA_PATH,
        "issuer": idp.issuer,
        "client_id": options.client_id,
        "client_secret": clients[options.client_id],
        "api_key": api_key,
        "outbound_client_id": "erp-outbound",
        "outbound_client_secret": clients["erp-outbound"],
    }
    print("READY", json.dumps(ready), flush=True)
    ringing = asyncio.create_task(erp.bell.run())
    await stop.wait()
    # Requests that still hang are cancelled below, which uvicorn would report as errors of ours.
    logging.getLogger("uvicorn.error").disabled = True
    for door in (erp.door, control):
        await door.shut()
        door.release()
    for job in [*erp.jobs, ringing]:
        job.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await job
    erp.book.close()


def _told(wrong: UnusableError) -> int:
    print(f"simulators.erp: {wrong}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        asyncio.run(serve(_options()))
    except UnusableError as wrong:
        sys.exit(_told(wrong))
