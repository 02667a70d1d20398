"""Fixtures that more than one folder of tests uses, and what holds for every test."""

from hypothesis import settings

# A machine that is shared is slow at times: a law that holds late holds too.
settings.register_profile("andon", deadline=None)
settings.load_profile("andon")
