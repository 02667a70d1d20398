"""When it is wanted: phrases such as 明早8点前, 月底前, "by Friday 5pm", "within 2 hours" into a moment.

Works in the site's time zone on a normalised text. Past times, narrated times and clock directions are none.
"""

from nlp.due.choice import find_due
from nlp.due.hit import Due, Hit
from nlp.due.shifts import end_of_shift

__all__ = ["Due", "Hit", "end_of_shift", "find_due"]
