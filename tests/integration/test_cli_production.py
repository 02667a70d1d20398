"""`andon production`: where a production order stands is said alike by every command, and by the API."""

import sqlite3
from pathlib import Path

import pytest

from gateway.core.delivery import ProductionOrder
from gateway.web.production import now_of
from tests.cli_plant import Plant
from tests.set_aside import NOW

NAMES = ("PO-kept", "PO-waits")


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    plant = Plant(tmp_path)
    for name, to in zip(NAMES, ("", "erp.press"), strict=True):
        order = ProductionOrder(order_id=name, material_code="MAT", quantity=1, due_date="2026-12-01")
        plant.write(lambda tx, order=order, to=to: tx.put_production_order(order, NOW, to))
    return plant


def test_an_order_that_is_handed_to_nobody_is_kept_in_every_form(plant: Plant) -> None:
    listed = {row["order"]["order_id"]: row for row in plant.rows("production", "list")}
    for name, state in zip(NAMES, ("KEPT", "WAITING"), strict=True):
        [shown] = plant.rows("production", "show", name)
        assert shown == listed[name]
        assert (shown["state"], (shown["handover"] or {}).get("state", "KEPT")) == (state, state)
        held = plant.read(lambda tx, name=name: tx.production(name))
        assert now_of(held).state == state
        assert [row["order"]["order_id"] for row in plant.rows("production", "list", "--state", state)] == [name]
        table = plant.say("production", "list", "--state", state.lower(), "-o", "table").stdout
        assert name in table and state in table
    assert plant.say("production", "hand", "PO-kept").exit_code == 0
    assert plant.rows("production", "list", "--state", "KEPT") == []
    again = plant.say("production", "hand", "PO-kept")
    assert (again.exit_code, again.stdout) == (5, "PO-kept: is WAITING: there is nothing to hand over\n")


def test_an_order_of_the_time_before_any_was_handed_over_is_kept_and_can_be_handed_over(plant: Plant) -> None:
    with sqlite3.connect(plant.settings.file) as db:
        db.execute("DELETE FROM handovers")
    db.close()
    assert [row["state"] for row in plant.rows("production", "list")] == ["KEPT", "KEPT"]
    assert plant.say("production", "hand", *NAMES).exit_code == 0
    assert [row["state"] for row in plant.rows("production", "list")] == ["WAITING", "WAITING"]
