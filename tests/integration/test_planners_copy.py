"""A planner who copies an order in the ERP by hand, with our key in it: the copy is his, and a ghost is ours."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from connectors.erp.rest import Settings
from connectors.erp.rest.plan import Cancel
from gateway.core.delivery import Delivered
from gateway.core.ports import Store
from gateway.core.secret import SecretRef
from gateway.flow.ghosts import Ghosts
from gateway.flow.patience import Patience
from gateway.flow.settle import Policy
from tests.erp_process import SECRET, Erp, make_order, running_erp


@pytest.fixture(scope="module")
def plant() -> Iterator[Erp]:
    with running_erp("--profile", "lookup") as erp:
        yield erp


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize(("maker", "left"), [("created_by", ["first", "copy"]), ("", ["first"])])
async def test_a_ghost_is_cancelled_and_a_planners_copy_stays_where_the_erp_says_who_made_it(
    store: Store, plant: Erp, monkeypatch: pytest.MonkeyPatch, maker: str, left: list[str]
) -> None:
    monkeypatch.setenv("TEST_ERP_SECRET", SECRET)
    erp = Settings(
        name="main",
        base_url=plant.url,
        token_url=plant.ready["token_url"],
        client_id=plant.ready["client_id"],
        client_secret=SecretRef(env="TEST_ERP_SECRET"),
        audience="erp",
        idempotency="lookup",
        fields_in="order",
        maker_field=maker,
        cancel=Cancel(path="/api/orders/{number}", body={"status": "CANCELLED"}),
    ).open()
    order = make_order(f"copied {maker}")
    await store.write(lambda tx: tx.put_order(order, "main", now()))
    made = [outcome for _ in range(2) for outcome in await erp.deliver([order])]
    assert all(isinstance(outcome, Delivered) for outcome in made)
    first, ghost = await erp.find(order.key)
    plant.copy(first.number)
    found = await erp.find(order.key)
    names = dict(zip([ref.number for ref in found], ["first", "ghost", "copy"], strict=True))
    patience = Patience(now, timedelta(seconds=1))
    await Ghosts(store, erp, now, Policy(), patience).leave_one(order, found)
    standing = [names[ref.number] for ref in await erp.find(order.key) if ref.state == "open"]
    await erp.close()
    assert standing == left
    [line] = await store.read(lambda tx: tx.audit_of(order.key))
    assert line.event == "order.duplicate" and f"{ghost.number} cancelled" in line.detail
