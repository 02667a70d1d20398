"""The REST adapter keeps the contract against the simulated ERP, by each of the five strategies."""

from collections.abc import Iterator
from typing import ClassVar

import msgspec
import pytest

from connectors.erp.mapping import DEFAULT, Rule
from connectors.erp.rest import SAMPLE, Settings
from connectors.erp.rest.plan import Amend, Batch, Cancel
from gateway.core.delivery import Delivered, Rejected
from gateway.core.errors import Misconfigured, Refused
from gateway.core.ports import ErpAdapter
from gateway.core.secret import SecretRef
from gateway.core.units import Duration
from tests.contracts.erp_adapter import OAuthContract
from tests.erp_makes import sampled
from tests.erp_planners import AtGeneric
from tests.erp_plant import Planner
from tests.erp_process import SECRET, Erp, make_order, running_erp

PLACE = "/api/orders/{number}"
CHANGES: dict[str, object] = {
    "fields_in": "order",
    "precondition": "etag",
    "amend": Amend(path=PLACE),
    "cancel": Cancel(path=PLACE, body={"status": "CANCELLED"}, reason="closing_code"),
    "batch": Batch(
        path="/api/orders/batch",
        rows="orders",
        item="order",
        key="key",
        answers="results",
        record="order",
        error="problem",
        size=50,
    ),
}
LEAN: dict[str, str | Rule] = {**DEFAULT, "number": "key"}


def settings(plant: Erp, idempotency: str, **fields: object) -> Settings:
    given: dict[str, object] = {
        "name": "main",
        "base_url": plant.url,
        "token_url": plant.ready["token_url"],
        "client_id": plant.ready["client_id"],
        "client_secret": SecretRef(env="TEST_ERP_SECRET"),
        "audience": "erp",
        "idempotency": idempotency,
        "timeout": Duration(1.0),
        "settle": Duration(1.0),
    }
    return Settings(**{**given, **CHANGES, **fields})  # type: ignore[arg-type]  # a table of test values


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_ERP_SECRET", SECRET)


@pytest.fixture(scope="module")
def header_erp() -> Iterator[Erp]:
    with running_erp("--profile", "header") as erp:
        yield erp


def fresh(plant: Erp, **habits: object) -> Erp:
    plant.faults()
    usual = {"precondition": "etag", "needs_match": False, "atomic": False, "writes": True, "rate": 0, "strict": False}
    plant.habits(**{**usual, "search_lag": 0.0, "patches_new": False, "quiet": False, **habits})
    return plant


class _Generic(OAuthContract):
    """The generic profile, and a planner at it."""

    __test__ = False
    profile: ClassVar[str] = "lookup"
    habits: ClassVar[dict[str, object]] = {}

    @pytest.fixture(scope="class")
    @classmethod
    def process(cls) -> Iterator[Erp]:
        with running_erp("--profile", cls.profile) as erp:
            yield erp

    @pytest.fixture
    def plant(self, process: Erp) -> Erp:
        return fresh(process, **self.habits)

    @pytest.fixture
    def planner(self, plant: Erp) -> Planner:
        return AtGeneric(plant)


class TestHeader(_Generic):
    """Idempotency-Key is honoured; changes by ETag, and without one refused; batches."""

    __test__ = True
    profile: ClassVar[str] = "header"
    habits: ClassVar[dict[str, object]] = {"needs_match": True}

    def open(self, plant: Erp) -> ErpAdapter:
        return settings(plant, "header").open()

    async def test_the_same_order_twice_gives_the_same_number(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("twice")
        [first] = await erp.deliver([order])
        [second] = await erp.deliver([order])
        assert isinstance(first, Delivered) and isinstance(second, Delivered)
        assert first.ref == second.ref and first.created and not second.created
        assert plant.commits(order.key) == 1

    async def test_another_order_under_the_same_key_is_refused(self, erp: ErpAdapter) -> None:
        order = make_order("same key")
        await erp.deliver([order])
        [outcome] = await erp.deliver([msgspec.structs.replace(order, title="another")])
        assert isinstance(outcome, Rejected) and "another body" in outcome.reason


class TestUpsert(_Generic):
    """PUT under our key that only creates; an ERP that compares its time of change."""

    __test__ = True
    habits: ClassVar[dict[str, object]] = {"precondition": "timestamp"}
    create: ClassVar[dict[str, str]] = {"method": "PUT", "path": "/api/orders"}

    def open(self, plant: Erp) -> ErpAdapter:
        found = settings(
            plant, "upsert", create_only=True, precondition="timestamp", version_field="updated_at", stale=(409,)
        )
        return msgspec.structs.replace(found, batch=None).open()


class TestUpsertThatWritesOver(_Generic):
    """PUT under our key that writes over, changes by PUT of the whole, without a precondition."""

    __test__ = True
    habits: ClassVar[dict[str, object]] = {"precondition": "none"}
    create: ClassVar[dict[str, str]] = {"method": "PUT", "path": "/api/orders"}
    change: ClassVar[dict[str, str]] = {"method": "PUT", "path": "/api/orders"}
    withdraw: ClassVar[dict[str, str]] = {"method": "POST", "path": "/api/orders"}

    def open(self, plant: Erp) -> ErpAdapter:
        return settings(
            plant,
            "upsert",
            precondition="none",
            batch=None,
            amend=Amend(path="/api/orders/{key}", method="PUT", whole=True),
            cancel=Cancel(path=f"{PLACE}/cancel", method="POST"),
        ).open()


class TestClientId(_Generic):
    """The number is ours; one that is taken is refused and read back."""

    __test__ = True

    def open(self, plant: Erp) -> ErpAdapter:
        return settings(plant, "client_id", mapping=LEAN, reference_field="number").open()

    async def test_a_number_that_another_order_has_is_said(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("taken by another")
        other = {"number": order.key, "reference": "somebody's", "title": "another", "equipment": "M-99"}
        bearer = {"authorization": f"Bearer {_token(plant)}"}
        assert plant.http.post("/api/orders", json=other, headers=bearer).status_code == 201
        adapter = settings(plant, "client_id", mapping=LEAN).open()
        [outcome] = await adapter.deliver([order])
        assert isinstance(outcome, Rejected) and "differs in reference" in outcome.reason
        assert plant.commits(order.key) == 0
        await adapter.close()


class TestLookup(_Generic):
    """An ERP that knows nothing of keys, and refuses a whole batch for the sake of one."""

    __test__ = True
    habits: ClassVar[dict[str, object]] = {"atomic": True}

    def open(self, plant: Erp) -> ErpAdapter:
        return settings(plant, "lookup").open()

    async def test_this_erp_does_make_a_second_order_when_it_is_asked_to(self, erp: ErpAdapter, plant: Erp) -> None:
        order = make_order("twice")
        await erp.deliver([order])
        await erp.deliver([order])
        assert plant.commits(order.key) == 2
        assert len(await erp.find(order.key)) == 2

    async def test_an_erp_that_ignores_the_filter_is_not_believed(self, plant: Erp) -> None:
        adapter = settings(plant, "lookup", lookup_param="no_such_filter").open()
        await adapter.deliver([make_order("filter")])
        with pytest.raises(Refused, match="lookup_param"):
            await adapter.find(make_order("filter two").key)
        await adapter.close()


class TestNone(_Generic):
    """An ERP that cannot even be asked, and takes neither changes nor withdrawals."""

    __test__ = True

    def open(self, plant: Erp) -> ErpAdapter:
        return settings(plant, "none", amend=None, cancel=None, batch=None, precondition="none").open()


def _token(plant: Erp) -> str:
    form = {"grant_type": "client_credentials", "client_id": plant.ready["client_id"], "client_secret": SECRET}
    return str(plant.http.post(plant.ready["token_url"], data={**form, "audience": "erp"}).json()["access_token"])


async def test_verify_names_a_client_that_is_not_accepted(header_erp: Erp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_ERP_SECRET", "wrong")
    adapter = settings(header_erp, "header").open()
    [fault] = await adapter.verify()
    assert "invalid_client" in fault and "wrong" not in fault
    await adapter.close()


async def test_verify_names_a_token_for_another_place(header_erp: Erp) -> None:
    header_erp.faults()
    adapter = settings(header_erp, "header", audience="elsewhere").open()
    [fault] = await adapter.verify()
    assert "audience" in fault
    await adapter.close()


async def test_verify_names_a_wrong_path(header_erp: Erp) -> None:
    header_erp.faults()
    adapter = settings(header_erp, "header", orders_path="/api/nothing").open()
    [fault] = await adapter.verify()
    assert "/api/nothing" in fault and "404" in fault
    await adapter.close()


def test_the_sample_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERP_SECRET", "x")
    found = sampled(Settings, SAMPLE, "rest")
    assert found.replay_window == Duration(12 * 3600)
    assert found.open().name == "main"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base_url": "http://erp.example"}, "plain text"),
        ({"token_url": "http://erp.example/token"}, "plain text"),
        ({"timeout": "10min"}, "at most 5min"),
        ({"settle": "2h"}, "at most 54min"),
        ({"idempotency": "hope"}, "idempotency"),
        ({"colour": "red"}, "colour"),
        ({"mapping": {"title": {"max": 3}}}, "where a field comes from"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        sampled(Settings, SAMPLE, "rest", **change)


def test_a_mapping_of_a_field_that_is_not_there_is_a_fault_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERP_SECRET", "x")
    read = sampled(Settings, SAMPLE, "rest", mapping={"reference": "key", "title": "titel"})
    with pytest.raises(Misconfigured, match=r"mapping\.title: no field 'titel'"):
        read.open()


def test_a_missing_secret_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ERP_SECRET", raising=False)
    read = sampled(Settings, SAMPLE, "rest")
    with pytest.raises(Misconfigured, match="ERP_SECRET"):
        read.open()
