"""What a retry leaves in the audit trail: each reason once, and its count when it is over."""

from msgspec.structs import replace

from gateway.core.delivery import Delivery, DeliveryState
from gateway.flow.counted import counted
from tests.fakes import at

CLAIMED = Delivery("A1", "A", "main", DeliveryState.SENDING, 1, at(0))


def waiting(reason: str) -> Delivery:
    return replace(CLAIMED, state=DeliveryState.WAITING, attempt=0, reason=reason)


def claimed(before: Delivery, state: DeliveryState = DeliveryState.SENDING) -> Delivery:
    return replace(before, state=state)


def test_a_reason_is_told_once_and_counted() -> None:
    first, told = counted(CLAIMED, waiting("closed"), "closed")
    assert (first.reason, told) == ("closed", "closed")
    second, told = counted(claimed(first), waiting("closed"), "closed")
    assert (second.reason, told) == ("closed (2 times)", None)
    third, told = counted(claimed(second), waiting("closed"), "closed")
    assert (third.reason, told) == ("closed (3 times)", None)
    delivered = replace(CLAIMED, state=DeliveryState.DELIVERED)
    assert counted(claimed(third), delivered, "4711") == (delivered, "4711; before that 3 times: closed")


def test_another_reason_is_told_with_the_count_of_the_one_before() -> None:
    after, told = counted(
        claimed(waiting("closed (12 times)")), waiting("the ERP answered 429"), "the ERP answered 429"
    )
    assert (after.reason, told) == ("the ERP answered 429", "the ERP answered 429; before that 12 times: closed")
    assert counted(claimed(waiting("closed")), after, "x") == (after, "x")


def test_another_state_is_told_though_the_reason_is_the_same() -> None:
    doubt = replace(CLAIMED, state=DeliveryState.UNCERTAIN, reason="cut")
    assert counted(claimed(waiting("cut")), doubt, "cut") == (doubt, "cut")
    assert counted(doubt, waiting("cut"), "cut") == (waiting("cut"), "cut")
    assert counted(doubt, replace(doubt, attempt=2), "cut") == (replace(doubt, attempt=2), None)
