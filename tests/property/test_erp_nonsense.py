"""Whatever an ERP says, reading it ends soon and with words: an order's adapter never falls over an answer."""

import json
from collections.abc import Callable
from contextlib import suppress
from time import process_time
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.erp.dynamics.record import reading as dynamics
from connectors.erp.frappe.door import read as frappe
from connectors.erp.http import Answer, reason_of
from connectors.erp.markup import words
from connectors.erp.maximo.record import reading as maximo
from connectors.erp.odoo.door import refused_load
from connectors.erp.odoo.fields import kinds
from connectors.erp.oracle.record import read as oracle
from connectors.erp.rest.door import Said

SET = {"msdyn_pricelist@odata.bind": "pricelevels"}
READERS: dict[str, Callable[[Answer], object]] = {
    "dynamics": dynamics("msdyn_systemstatus", SET),
    "oracle": oracle,
    "maximo": maximo(("BMXAA8229W",)),
    "frappe": frappe,
    "rest": reason_of,
}
NAMES = (
    *("value", "items", "links", "properties", "rel", "changeIndicator", "msdyn_systemstatus"),
    *("_msdyn_pricelist_value", "error", "message", "code", "errors", "type", "title", "exception", "exc_type"),
    *("_server_messages", "o:errorDetails", "o:errorPath", "detail", "Error", "reasonCode", "errorattrname", "field"),
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(["", "self", "[[", "é"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner),
    max_leaves=20,
)
FIELDS = st.dictionaries(
    st.text(max_size=3), st.fixed_dictionaries({"type": VALUES, "selection": VALUES, "relation": VALUES})
)


def answer(status: int, body: object) -> Answer:
    return Answer(status, httpx2.Headers({"content-type": "application/json"}), json.dumps(body).encode())


@pytest.mark.parametrize("name", READERS)
@given(status=st.sampled_from([200, 201, 400, 403, 409, 412, 417, 500]), body=VALUES)
def test_every_answer_is_read(name: str, status: int, body: object) -> None:
    READERS[name](answer(status, body))


@pytest.mark.parametrize("column", ["msdyn_systemstatus", "_msdyn_pricelist_value"])
@given(value=VALUES)
def test_a_column_of_dataverse_may_hold_anything(column: str, value: object) -> None:
    told = READERS["dynamics"](answer(200, {"value": [{column: value}]}))
    assert isinstance(told, Said)
    assert isinstance(told.body["value"][0]["@status"], str)


@given(told=VALUES | FIELDS)
def test_fields_of_odoo_are_fields_or_a_reason(told: Any) -> None:
    with suppress(ValueError):
        kinds(told)
    refused_load(told)


def test_messages_within_messages_without_end_are_no_messages() -> None:
    deep = answer(417, {"_server_messages": "[" * 100_000, "exc_type": "ValidationError"})
    assert READERS["frappe"](deep) == frappe(answer(417, {"exc_type": "ValidationError"}))
    nested = answer(417, {"_server_messages": json.dumps(["[" * 100_000]), "exc_type": "ValidationError"})
    assert READERS["frappe"](nested) == frappe(answer(417, {"exc_type": "ValidationError"}))


@pytest.mark.parametrize("piece", ["<", "<br", "< ", "<p ", "a<"])
def test_a_text_full_of_brackets_is_read_in_a_moment(piece: str) -> None:
    began = process_time()
    words(piece * 200_000)
    assert process_time() - began < 3
