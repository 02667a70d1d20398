"""Whose a second record under our key is."""

from gateway.core.delivery import ErpRef
from gateway.flow.copies import apart


def ref(number: str, maker: str = "", state: str = "open") -> ErpRef:
    return ErpRef("AN1", number, state="cancelled" if state == "cancelled" else "open", maker=maker)


def test_what_our_own_user_made_is_ours_and_what_another_made_is_a_copy() -> None:
    found = [ref("1", "us"), ref("2", "us"), ref("3", "mei")]
    assert apart(found, found[0]) == ([found[1]], [found[2]])


def test_where_nobody_says_who_made_it_all_are_ours() -> None:
    found = [ref("1"), ref("2"), ref("3", "mei")]
    assert apart(found, found[0]) == (found[1:], [])
    found = [ref("1", "us"), ref("2")]
    assert apart(found, found[0]) == (found[1:], [])


def test_of_an_order_that_was_taken_back_the_oldest_says_who_we_are() -> None:
    found = [ref("1", "us", "cancelled"), ref("2", "us"), ref("3", "mei")]
    assert apart(found, None) == ([found[1]], [found[2]])
    assert apart(found, found[2]) == ([found[1]], [])


def test_the_order_that_was_confirmed_to_us_says_who_we_are_where_numbers_do_not_rise() -> None:
    copy, first, ghost = ref("0a", "mei"), ref("b0", "us"), ref("ff", "us")
    assert apart([copy, first, ghost], first, "b0") == ([ghost], [copy])
    gone = ref("b0", "us", "cancelled")
    assert apart([copy, gone, ghost], None, "b0") == ([ghost], [copy])
    assert apart([first, ghost, copy], first, "one that is gone") == ([ghost], [copy])
