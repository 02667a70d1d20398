"""The web application: routes, rules and layers joined."""

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ASGIApp

from gateway.runtime.api_settings import ApiSettings
from gateway.runtime.gateway import Gateway
from gateway.web import (
    aside,
    changing,
    docs,
    equipment,
    evidence,
    health,
    hints,
    joborder,
    line,
    orders,
    problems,
    production,
    push,
    reports,
    review,
    webhooks,
)
from gateway.web.auth import Guard
from gateway.web.edge import guarded
from gateway.web.lean import Lean
from gateway.web.pages import ui
from gateway.web.pages.stream import Streams
from gateway.web.proofs import FrappeSigned, OdooSent, Verifier

API = "/api/v1"
HANDLERS = [
    reports.submit,
    reports.reports,
    reports.report,
    review.waiting,
    review.decide,
    orders.orders,
    orders.order,
    changing.redeliver,
    changing.cancel,
    orders.episodes,
    orders.diagnoses,
    evidence.order_capsule,
    evidence.order_evidence,
    evidence.evidence,
    line.line,
    equipment.conditions,
    equipment.targets,
    equipment.write,
    push.hand_in,
    push.put_in,
    production.take,
    production.taken,
    production.standing,
    joborder.take,
    joborder.standing,
    aside.aside,
    aside.one,
    aside.put_back,
    aside.give_up,
    webhooks.erp_status,
    webhooks.signed_report,
    hints.odoo,
    hints.frappe,
]
"""What answers under `API`."""


def build(gateway: Gateway) -> ASGIApp:
    """Join the application. Raises `Misconfigured` when a webhook secret cannot be read."""
    return guarded(litestar_app(gateway), gateway)


def litestar_app(gateway: Gateway) -> Litestar:
    """Give the application without its outermost layer."""
    proven = _proofs(gateway.api)
    pages, streams = ui.Pages(gateway), Streams(gateway)
    api = Router(API, route_handlers=HANDLERS)
    return Lean(
        route_handlers=[api, health.live, health.startup, health.ready, health.metrics, *ui.HANDLERS],
        dependencies={
            "gateway": Provide(lambda: gateway, sync_to_thread=False),
            "pages": Provide(lambda: pages, sync_to_thread=False),
            "streams": Provide(lambda: streams, sync_to_thread=False),
            **{name: _given(proof) for name, proof in proven.items()},
        },
        exception_handlers={Exception: problems.answer},
        middleware=[Guard(gateway)],
        openapi_config=docs.config(gateway.version),
        on_startup=[docs.complete],
        lifespan=[streams.running],
        state=State({"pages": pages}),
        logging_config=None,
        request_max_body_size=gateway.api.max_body + 2 * gateway.api.max_photo,
    )


def _proofs(api: ApiSettings) -> dict[str, object]:
    """Give what proves the senders of webhooks, by the names under which handlers ask for it."""
    return {
        "erp_hooks": Verifier(tuple(secret.reveal() for secret in api.erp_secrets)),
        "report_hooks": Verifier(tuple(secret.reveal() for secret in api.report_secrets)),
        "odoo_sent": OdooSent(api.odoo.live(), api.odoo.addresses),
        "frappe_signed": FrappeSigned(api.frappe.live()),
    }


def _given(value: object) -> Provide:
    return Provide(lambda: value, sync_to_thread=False)
