"""What a settings file needs of this machine before anything is started: secrets, and adapters that can be made."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec

from gateway.core.errors import Misconfigured
from gateway.core.ports import ErpAdapter
from gateway.core.production import JobReceiver
from gateway.core.secret import SecretRef
from gateway.flow.settle import lease_of
from gateway.runtime.faults import Fault
from gateway.runtime.making import policy_of
from gateway.runtime.settings import Settings, refuse
from gateway.store.clock import LONGEST_WAIT


def preflight(settings: Settings) -> list[Fault]:
    """Give every secret that is not there and every adapter that refuses its settings. Opens no connection."""
    parts = ("store", "api", "orders", "line", "erp", "events")
    found = [fault for part in parts for fault in _secrets(getattr(settings, part), part)]
    if not found:
        found += [*_webhooks(settings), *_adapters(settings)]
    return found


def demand(settings: Settings) -> None:
    """Raise `Misconfigured` with all that `preflight` found, each with its line in the file."""
    refuse(preflight(settings), settings.text, settings.file)


def open_to_nobody(settings: Settings) -> bool:
    """Tell whether no caller can ever get in: no anonymous scope, no tokens of anybody's, no webhook secret."""
    api = settings.api
    hooks = api.erp_secrets or api.report_secrets or api.odoo.secrets or api.frappe.secrets
    return not (api.anonymous or api.issuer or api.token_folder is not None or hooks)


def _secrets(value: Any, at: str) -> Iterator[Fault]:
    if isinstance(value, SecretRef):
        try:
            value.reveal()
        except Misconfigured as missing:
            yield Fault(at, str(missing))
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _secrets(getattr(value, name), f"{at}.{name}")
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _secrets(member, f"{at}.{name}")
    elif isinstance(value, tuple):
        for number, member in enumerate(value):
            yield from _secrets(member, f"{at}[{number}]")


def _webhooks(settings: Settings) -> Iterator[Fault]:
    for at, hook in (("api.odoo", settings.api.odoo), ("api.frappe", settings.api.frappe)):
        try:
            hook.live()
        except Misconfigured as wrong:
            yield Fault(f"{at}.secrets", str(wrong))


def _leases(name: str, erp: ErpAdapter, settings: Settings) -> Iterator[Fault]:
    """Give what holds an order for longer than the store believes a lease, which would be taken for a dead one's."""
    promised, policy = erp.capabilities, policy_of(settings)
    held = lease_of(promised, policy)
    if max(held, promised.settle) > LONGEST_WAIT:
        told = f"one call may take {_minutes(promised.deadline)}, and to settle {_minutes(promised.settle)}"
        yield Fault(f"erp.{name}", f"{told}: an order would be held for more than an hour", "shorten timeout or settle")
    if name != settings.production.receiver:
        return
    if not isinstance(erp, JobReceiver):
        yield Fault("production.to", f"[erp.{name}] takes no production orders", 'protocol "jobcontrol" does')
    elif erp.deadline + policy.margin > LONGEST_WAIT:
        told = f"a production order may take {_minutes(erp.deadline)}: it would be held for more than an hour"
        yield Fault(f"erp.{name}", told, "shorten timeout")


def _minutes(time: timedelta) -> str:
    return f"{time.total_seconds() / 60:.0f}min"


def _adapters(settings: Settings) -> Iterator[Fault]:
    for group, adapters in (("line", settings.line), ("erp", settings.erp)):
        for name, adapter in adapters.items():
            try:
                opened = adapter.open()  # a constructor only keeps what it is given: nothing to close
            except Misconfigured as wrong:
                yield Fault(f"{group}.{name}", str(wrong))
                continue
            if group == "erp":
                yield from _leases(name, opened, settings)
    for number, subscriber in enumerate(settings.events.to):
        try:
            subscriber.open(settings.events.allowed)
        except Misconfigured as wrong:
            yield Fault(f"events.to[{number}]", str(wrong))
        if why := subscriber.barred(settings.events.allowed):
            yield Fault(f"events.to[{number}].url", why)
