"""Fixtures that more than one folder of tests uses, and what holds for every test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import settings

from gateway.core.ports import Store
from gateway.store.settings import Settings

# A machine that is shared is slow at times: a law that holds late holds too.
settings.register_profile("andon", deadline=None)
settings.load_profile("andon")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Give an empty store of the test's own, in a file."""
    opened = Settings(path=str(tmp_path)).open()
    yield opened
    await opened.close()
