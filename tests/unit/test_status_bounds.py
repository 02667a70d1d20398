"""What an ERP may say of an order by a webhook: words, bounded, each named when it is more than that."""

import msgspec
import pytest

from gateway.core.delivery import StatusUpdate
from gateway.web.bodies import decode
from gateway.web.problems import Wrong

SAID = {"key": "AN3K7Q0V9W2ZT4E1MPRX", "number": "WO-1", "status": "in Arbeit", "closing_code": "B-7"}


@pytest.mark.parametrize(("field", "longest"), [("key", 64), ("number", 200), ("status", 1000), ("closing_code", 1000)])
def test_a_word_without_end_is_refused_by_name(field: str, longest: int) -> None:
    assert decode(msgspec.json.encode(SAID | {field: "x" * longest}), StatusUpdate)
    with pytest.raises(Wrong) as told:
        decode(msgspec.json.encode(SAID | {field: "x" * (longest + 1)}), StatusUpdate)
    assert (told.value.status, [fault.field for fault in told.value.errors]) == (400, [field])
