"""`andon orders`, `andon dlq` and `andon replay` on what was parked: the real command on a real store."""

import csv
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.cli.dlq_export import guarded
from gateway.core.delivery import StatusUpdate
from gateway.core.errors import Refused
from gateway.core.ports import Tx
from gateway.flow.parked import seen
from gateway.flow.replay import Span, deliver
from gateway.store.settings import Settings
from tests.cli_plant import Plant
from tests.set_aside import ALL, BEHIND, FRESH, NOW, PARKED, THERE, fill, fill_all, put_aside


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


def keys(rows: list[Any]) -> set[str]:
    return {row["order"]["key"] for row in rows}


def test_orders_are_listed_by_state_task_erp_and_by_what_was_refused(plant: Plant) -> None:
    plant.write(fill)
    plant.write(lambda tx: tx.put_status(StatusUpdate(key=THERE.key, number="1", status="Zu", state="done"), NOW))
    listed = {
        ("--state", "PARKED"): {PARKED.key},
        ("--behind",): {BEHIND.key},
        ("--task", "create"): {FRESH.key, PARKED.key},
        ("--erp", "main"): {FRESH.key, PARKED.key, THERE.key, BEHIND.key},
        ("--erp", "other"): set(),
        ("--erp-state", "done"): {THERE.key},
        ("--state", "WITHDRAWN"): set(),
    }
    for words, wanted in listed.items():
        assert keys(plant.rows("orders", "list", *words)) == wanted, words
    told = plant.say("orders", "list", "-o", "table").stdout
    assert "1/2" in told and "not changed: work has begun" in told


def test_an_order_is_shown_with_its_versions_and_its_history(plant: Plant) -> None:
    plant.write(fill)
    told = plant.say("orders", "show", BEHIND.key, "-o", "table").stdout
    for said in ("WO-behind", "2, the ERP has 1", "1 in the ERP", "Worse", "order.not_amended", "work has begun"):
        assert said in told, told
    [whole] = json.loads(plant.say("orders", "show", BEHIND.key, "-o", "json").stdout)
    assert [one["version"] for one in whole["versions"]] == [1, 2]
    assert [line["event"] for line in whole["audit"]] == ["order.delivered", "order.not_amended"]
    assert whole["order"]["title"] == "Worse" and whole["delivery"]["sent"] == 1
    assert plant.say("orders", "show", "AN0").exit_code == 3


def test_parked_orders_and_refused_changes_go_out_again_under_their_key(plant: Plant) -> None:
    plant.write(fill)
    done = plant.say("orders", "redeliver", PARKED.key, BEHIND.key)
    assert (done.exit_code, done.stdout.count("waits again")) == (0, 2)
    assert keys(plant.rows("orders", "list", "--task", "amend")) == {BEHIND.key}
    again = plant.say("orders", "redeliver", PARKED.key, THERE.key, "AN0")
    assert again.exit_code == 5
    assert f"{PARKED.key}: is WAITING: there is nothing to send again" in again.stdout
    assert f"{THERE.key}: is DELIVERED: there is nothing to send again" in again.stdout
    assert "AN0: there is no such order" in again.stdout
    assert plant.trail("order.redelivered") == [(PARKED.key, "command line"), (BEHIND.key, "command line")]


def test_taking_back_says_what_will_happen(plant: Plant) -> None:
    plant.write(fill)
    plant.write(lambda tx: tx.put_status(StatusUpdate(key=BEHIND.key, number="2", status="Done", state="done"), NOW))
    said = {
        order.source.id: plant.say("orders", "cancel", order.key, "--reason", "loose sensor")
        for order in (FRESH, THERE)
    }
    assert "is dropped: nothing of it had left" in said["fresh"].stdout
    assert "main will be asked to cancel WO-there" in said["there"].stdout
    assert keys(plant.rows("orders", "list", "--task", "cancel")) == {THERE.key}
    [gone] = plant.rows("orders", "list", "--state", "WITHDRAWN")
    assert (gone["order"]["key"], gone["delivery"]["reason"]) == (FRESH.key, "loose sensor")
    assert plant.say("orders", "cancel", "AN0", "--reason", "x").exit_code == 3
    assert plant.say("orders", "cancel", PARKED.key).exit_code == 2, "a reason is needed"
    assert plant.trail("order.taken_back")[0] == (FRESH.key, "command line: loose sensor")


def test_an_erp_that_takes_no_order_back_is_named_at_once(plant: Plant) -> None:
    plant.write(fill)
    config = Path(plant.config)
    whole = config.read_text()
    config.write_text(whole[: whole.index("[erp.main.cancel]")] + whole[whole.index("[erp.press]") :])
    no = plant.say("orders", "cancel", THERE.key, "--reason", "loose sensor")
    assert isinstance(no.exception, Refused)
    assert "main takes no order back from us: cancel it there" in str(no.exception)
    assert plant.trail("order.taken_back") == [], "nothing was begun"
    assert plant.say("orders", "cancel", FRESH.key, "--reason", "loose sensor").exit_code == 0, "nothing of it had left"
    config.write_text(whole.replace('auth = "none"', 'auth = "api_key"\napi_key = { env = "ANDON_TEST_NOWHERE" }', 1))
    done = plant.say("orders", "cancel", THERE.key, "--reason", "loose sensor")
    assert done.exit_code == 0 and "not known here" in done.stderr
    config.write_text(whole.replace('erp = "main"', 'erp = "press"', 1))
    other = plant.say("orders", "cancel", BEHIND.key, "--reason", "loose sensor")
    assert isinstance(other.exception, Refused) and "nobody speaks to main any more" in str(other.exception)


def test_what_the_erp_has_ended_is_not_taken_back_and_the_command_says_why(plant: Plant) -> None:
    plant.write(fill)
    plant.write(lambda tx: tx.put_status(StatusUpdate(key=THERE.key, number="1", status="Closed", state="done"), NOW))
    command = ["orders", "cancel", THERE.key, "--reason", "late", "-c", plant.config]
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", *command], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "has come to its end in the ERP: Closed" in done.stderr) == (1, True), done.stderr


def test_everything_that_was_set_aside_is_in_one_list_with_its_reason(plant: Plant) -> None:
    plant.write(fill_all)
    plant.write(put_aside)
    rows = {row["name"]: row for row in plant.rows("dlq", "list")}
    assert set(rows) == ALL
    assert all(row["reason"] and row["next"] and row["since"] for row in rows.values())
    assert rows["report:r-failed"]["reason"] == "it could not be read (ValueError)"
    assert rows["batch:1"]["at"] and "1 value from" in rows["batch:1"]["reason"]
    only = plant.rows("dlq", "list", "--kind", "event")
    assert {row["name"] for row in only} == {"event:mes/evt_1", "event:mes/evt_2"}
    few = plant.say("dlq", "list", "--limit", "2", "-o", "jsonl")
    assert len(few.stdout.splitlines()) == 2 and "there are more" in few.stderr
    for name in ALL:
        shown = plant.say("dlq", "show", name)
        assert shown.exit_code == 0 and json.loads(shown.stdout), name
        assert "张伟" not in shown.output
        [whole] = plant.rows("dlq", "show", name)
        assert [whole] == json.loads(plant.say("dlq", "show", name, "-o", "json").stdout)
        told = plant.say("dlq", "show", name, "-o", "table").stdout
        assert rows[name]["reason"] in told and rows[name]["next"] in told
        assert plant.read(lambda tx, name=name: msgspec.to_builtins(seen(tx, name))) == rows[name]
    assert plant.say("dlq", "show", f"order:{THERE.key}").exit_code == 3, "a delivered order is not set aside"


def test_what_is_put_back_goes_its_old_way_under_its_old_name(plant: Plant) -> None:
    plant.write(fill_all)
    plant.write(put_aside)
    held = plant.read(lambda tx: tx.held())
    done = plant.say("dlq", "retry", *sorted(ALL))
    assert done.exit_code == 0, done.output
    assert plant.rows("dlq", "list") == []

    def look(tx: Tx) -> Any:
        order, change = tx.order(PARKED.key), tx.order(BEHIND.key)
        made, told = tx.production("PO-1"), tx.report("r-failed")
        assert order and change and made and made.handover and told
        waiting = [one.event.id for one in tx.outgoing("mes", state="WAITING")]
        unread = [one.report.id for one in tx.reports(unread=True)]
        back = [number for number, _ in tx.batches_after(0)]
        return order.delivery, change.delivery, made.handover, waiting, unread, back, tx.held()

    order, change, made, waiting, unread, back, now = plant.read(look)
    assert (order.state, order.task, change.state, change.task) == ("WAITING", "create", "WAITING", "amend")
    assert (made.state, made.to) == ("WAITING", "erp.press")
    assert waiting == ["evt_1", "evt_2"] and unread == ["r-failed"] and back == [1, 2]
    assert (now.values, now.aside) == (held.values + 1, 0) and now.size > held.size
    gone = plant.say("dlq", "retry", "event:mes/evt_1", "nonsense", "order:AN0")
    assert gone.exit_code == 5 and gone.output.count("is not set aside") == 2 and "names nothing" in gone.output
    assert gone.output.count("order:AN0") == 1, "each is named once"


def test_all_of_a_kind_is_put_back_at_once(plant: Plant) -> None:
    plant.write(fill_all)
    done = plant.say("dlq", "retry", "--all", "event")
    assert (done.exit_code, done.output.count("waits again")) == (0, 2)
    assert plant.say("dlq", "retry").exit_code == 2
    assert plant.say("dlq", "retry", "--all", "event", "event:mes/evt_1").exit_code == 2
    assert plant.say("dlq", "retry", "--all", "batch").stdout.strip() == "nothing"


def test_a_batch_that_still_cannot_be_read_stays_where_it_is(plant: Plant) -> None:
    plant.write(fill_all)
    plant.write(put_aside)

    def spoil(tx: Any) -> None:
        tx._db.exec_driver_sql("UPDATE set_aside SET body = x'00ff'")

    plant.write(spoil)
    done = plant.say("dlq", "retry", "batch:1")
    assert done.exit_code == 5 and "still cannot be read" in done.output
    assert [row["name"] for row in plant.rows("dlq", "list", "--kind", "batch")] == ["batch:1"]


def test_giving_up_needs_a_reason_and_never_takes_an_order(plant: Plant) -> None:
    plant.write(fill_all)
    plant.write(put_aside)
    assert plant.say("dlq", "drop", "batch:1").exit_code == 2
    blank = plant.say("dlq", "drop", "batch:1", "--reason", " ")
    assert blank.exit_code == 2 and "say why" in blank.output
    kept = plant.say("dlq", "drop", f"order:{PARKED.key}", f"change:{BEHIND.key}", "--reason", "no")
    assert kept.exit_code == 5 and kept.output.count("andon orders cancel") == 2
    rest = sorted(name for name in ALL if not name.startswith(("order:", "change:")))
    done = plant.say("dlq", "drop", *rest, "--reason", "done by hand")
    assert done.exit_code == 0, done.output
    assert {row["name"] for row in plant.rows("dlq", "list")} == {f"order:{PARKED.key}", f"change:{BEHIND.key}"}
    for name, subject in (
        ("production.dropped", "PO-1"), ("events.dropped", "evt_1"), ("report.dropped", "r-failed"),
        ("journal.dropped", "1"),
    ):  # fmt: skip
        assert any(who == subject and "done by hand" in why for who, why in plant.trail(name)), name
    [dropped] = plant.rows("production", "list", "--state", "DROPPED")
    assert dropped["handover"]["reason"] == "done by hand"
    assert plant.say("production", "hand", "PO-1").exit_code == 0, "a person may change her mind"
    told = plant.read(lambda tx: tx.report("r-failed"))
    assert told.reviewed and told.order_key is None


def test_what_was_set_aside_is_exported_whole_and_as_a_table_that_runs_no_formula(plant: Plant) -> None:
    plant.write(fill_all)
    plant.write(put_aside)
    lines, sheet = plant.folder / "parked.jsonl", plant.folder / "parked.csv"
    assert plant.say("dlq", "export", "--to", str(lines)).stdout.strip().endswith(": 7")
    rows = {row["name"]: row["thing"] for row in map(json.loads, lines.read_text().splitlines())}
    assert set(rows) == ALL
    assert rows[f"order:{PARKED.key}"]["order"]["key"] == PARKED.key
    assert rows["event:mes/evt_1"]["event"]["data"] == {"key": "x"} and rows["batch:1"]["body"]
    assert "张伟" not in lines.read_text()
    assert (lines.stat().st_mode & 0o777) == 0o600
    assert plant.say("dlq", "export", "--to", str(sheet), "--kind", "order").exit_code == 0
    [row] = csv.DictReader(sheet.read_text().splitlines())
    assert row["reason"] == "'=unknown equipment"
    for file in (lines, plant.folder / "parked.txt", plant.folder / "no" / "x.csv"):
        done = plant.say("dlq", "export", "--to", str(file))
        assert done.exit_code != 0, file


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_cell_that_begins_like_a_formula_is_text(text: str) -> None:
    assert guarded(text) == f"'{text}"
    assert guarded(f"a{text}") == f"a{text}"


def test_a_replay_of_deliveries_knows_versions_withdrawals_and_ends(plant: Plant) -> None:
    plant.write(fill)
    plant.say("orders", "cancel", FRESH.key, "--reason", "no")
    dry = {
        row["key"]: row["verdict"] for row in plant.rows("replay", "--since", "1h", "--stage", "deliver", "--dry-run")
    }
    wanted = {
        PARKED.key: "would be sent",
        BEHIND.key: "would be changed",
        THERE.key: "delivered already",
        FRESH.key: "taken back",
    }
    assert dry == wanted
    assert keys(plant.rows("orders", "list", "--state", "WAITING")) == set(), "a dry run changes nothing"
    real = {row["key"]: row["verdict"] for row in plant.rows("replay", "--since", "1h", "--stage", "deliver")}
    assert real == wanted | {PARKED.key: "waits again", BEHIND.key: "waits again"}
    assert keys(plant.rows("orders", "list", "--task", "create")) == {PARKED.key}
    assert keys(plant.rows("orders", "list", "--task", "amend")) == {BEHIND.key}
    twice = {row["key"]: row["verdict"] for row in plant.rows("replay", "--since", "1h", "--stage", "deliver")}
    assert twice == wanted | dict.fromkeys((PARKED.key, BEHIND.key), "waits in its lane")
    assert sorted(plant.trail("order.redelivered")) == sorted([(PARKED.key, ""), (BEHIND.key, "")]), "once each"


async def test_an_order_that_has_ended_in_the_erp_is_not_changed_by_a_replay(tmp_path: Path) -> None:
    store = Settings(path=str(tmp_path)).open()
    try:
        await store.write(fill)
        ended = StatusUpdate(key=BEHIND.key, number="2", status="Done", state="done")
        await store.write(lambda tx: tx.put_status(ended, NOW))
        span = Span(NOW - timedelta(hours=1), NOW + timedelta(hours=1))
        rows = await deliver(store, span, dry_run=False, now=NOW, wake=lambda: None)
        assert {row.key: row.verdict for row in rows}[BEHIND.key] == "has ended in the ERP"
    finally:
        await store.close()
