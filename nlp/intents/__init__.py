"""What the report wants: a defect told, work asked for, a check's result, a question, an answer to a repair."""

from nlp.intents.choice import understand
from nlp.intents.defects import product_class
from nlp.intents.meant import FINE, Cues, Meant

__all__ = ["FINE", "Cues", "Meant", "product_class", "understand"]
