"""Large documents: zlib is tried only where it pays for what it costs."""

import numpy as np

from gateway.store.documents import pack, unpack


def picture(noise: int) -> bytes:
    """A megabyte of a camera's numbers."""
    dice = np.random.default_rng(1)
    return np.asarray(29_815 + dice.integers(0, noise, (512, 1024))).astype("<u2").tobytes()


def test_a_noisy_picture_stays_as_it_is_and_a_flat_one_is_made_small() -> None:
    noisy, flat = picture(30), picture(1)
    assert pack(noisy)[0] == 0 and len(pack(flat)) < 20_000
    assert unpack(pack(noisy), bytes) == noisy and unpack(pack(flat), bytes) == flat


def test_what_is_small_is_made_smaller_as_before() -> None:
    some = picture(30)[:100_000]
    assert pack(some)[0] == 1 and unpack(pack(some), bytes) == some
