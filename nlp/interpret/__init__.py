"""Quality reports into extractions: grammar first, then the lexicon, then the network for what is left."""

from nlp.interpret.reading import Reading, SpanReader, open_interpreter, signs_of
from nlp.interpret.understood import LONGEST

__all__ = ["LONGEST", "Reading", "SpanReader", "open_interpreter", "signs_of"]
