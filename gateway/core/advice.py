"""Findings that hinder nothing yet."""


class Advice(str):
    """A finding of `ErpAdapter.verify` that no order has to wait for: a key that ends in two weeks."""

    __slots__ = ()
