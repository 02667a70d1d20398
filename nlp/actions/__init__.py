"""Which work is asked for: requests, not work that was done, denied, or a noun that looks like a verb."""

from nlp.actions.english import is_wanted
from nlp.actions.naming import core
from nlp.actions.stop import is_order_to_stop

__all__ = ["core", "is_order_to_stop", "is_wanted"]
