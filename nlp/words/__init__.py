"""Word lists of the lexicon, one file a language."""
