"""Importers: what other gateways were told, as our settings and tag tables. Pure: text in, text out.

Nothing is dropped silently: each key that has no place here is a note with its place in the file.
"""

from connectors.line.importers.found import Imported, ImportedLine, Note, joined
from connectors.line.importers.kepware import kepware
from connectors.line.importers.opcpublisher import opcpublisher
from connectors.line.importers.telegraf import telegraf
from connectors.line.importers.thingsboard import thingsboard
from connectors.line.importers.written import csv_of, toml_of

__all__ = [
    "Imported",
    "ImportedLine",
    "Note",
    "csv_of",
    "joined",
    "kepware",
    "opcpublisher",
    "telegraf",
    "thingsboard",
    "toml_of",
]
