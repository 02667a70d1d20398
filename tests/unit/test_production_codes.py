"""Numbers and codes of a production order: what ends a line or is not seen is no part of one."""

import msgspec
import pytest

from gateway.core.delivery import ProductionOrder
from gateway.web.bodies import decode
from gateway.web.problems import Wrong

SOUND = {"order_id": "PO-1/2 α", "material_code": "料-9", "quantity": 5.0, "due_date": "2026-12-01"}


@pytest.mark.parametrize("field", ["order_id", "material_code"])
@pytest.mark.parametrize("code", ["a\nb", "PO-1\n", "\x1b[2J", "\u202eabc", "a\x85b", "a\u2028b", "\t"])
def test_a_code_with_what_is_not_seen_is_refused_by_name(field: str, code: str) -> None:
    with pytest.raises(Wrong) as told:
        decode(msgspec.json.encode(SOUND | {field: code}), ProductionOrder)
    assert told.value.status == 400
    assert field in told.value.errors[0].message


def test_codes_of_every_script_are_taken() -> None:
    assert decode(msgspec.json.encode(SOUND), ProductionOrder).order_id == "PO-1/2 α"
