"""Adapters to the outside: line protocols and ERPs."""
