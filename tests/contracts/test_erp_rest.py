"""The REST adapter keeps the contract against the simulated ERP, in both of its profiles."""

import tomllib
from collections.abc import AsyncIterator, Iterator
from typing import Literal

import msgspec
import pytest

from connectors.erp.rest import SAMPLE, Settings
from gateway.core.delivery import Delivered, Rejected
from gateway.core.errors import Misconfigured, Refused
from gateway.core.ports import ErpAdapter
from gateway.core.secret import SecretRef
from gateway.core.units import Duration, decode
from tests.contracts.erp_adapter import OAuthContract
from tests.erp_process import SECRET, Erp, make_order, running_erp


def settings(plant: Erp, idempotency: Literal["header", "lookup"], **fields: object) -> Settings:
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
    return Settings(**{**given, **fields})  # type: ignore[arg-type]  # a table of test values


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_ERP_SECRET", SECRET)


@pytest.fixture(scope="module")
def header_erp() -> Iterator[Erp]:
    with running_erp("--profile", "header") as erp:
        yield erp


@pytest.fixture(scope="module")
def lookup_erp() -> Iterator[Erp]:
    with running_erp("--profile", "lookup") as erp:
        yield erp


class TestHeader(OAuthContract):
    @pytest.fixture
    def plant(self, header_erp: Erp) -> Erp:
        header_erp.faults()
        return header_erp

    @pytest.fixture
    async def erp(self, plant: Erp) -> AsyncIterator[ErpAdapter]:
        adapter = settings(plant, "header").open()
        yield adapter
        await adapter.close()

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
        assert isinstance(outcome, Rejected)


class TestLookup(OAuthContract):
    @pytest.fixture
    def plant(self, lookup_erp: Erp) -> Erp:
        lookup_erp.faults()
        return lookup_erp

    @pytest.fixture
    async def erp(self, plant: Erp) -> AsyncIterator[ErpAdapter]:
        adapter = settings(plant, "lookup").open()
        yield adapter
        await adapter.close()

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
    row = tomllib.loads(SAMPLE)["erp"]["main"]
    assert row.pop("protocol") == "rest"
    found = msgspec.convert({"name": "main", **row}, Settings, dec_hook=decode)
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
    row = {**tomllib.loads(SAMPLE)["erp"]["main"], "name": "main", **change}
    row.pop("protocol")
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert(row, Settings, dec_hook=decode)


def test_a_mapping_of_a_field_that_is_not_there_is_a_fault_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERP_SECRET", "x")
    row = {**tomllib.loads(SAMPLE)["erp"]["main"], "name": "main", "mapping": {"reference": "key", "title": "titel"}}
    row.pop("protocol")
    with pytest.raises(Misconfigured, match=r"mapping\.title: no field 'titel'"):
        msgspec.convert(row, Settings, dec_hook=decode).open()


def test_a_missing_secret_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ERP_SECRET", raising=False)
    row = {**tomllib.loads(SAMPLE)["erp"]["main"], "name": "main"}
    row.pop("protocol")
    with pytest.raises(Misconfigured, match="ERP_SECRET"):
        msgspec.convert(row, Settings, dec_hook=decode).open()
