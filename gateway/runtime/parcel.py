"""Parcel: an order with its capsule and evidence in one zip file, for whoever has no store to look into."""

import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec

from gateway.core.capsule import Capsule
from gateway.core.errors import Refused
from gateway.core.order import WorkOrder
from gateway.core.ports import AuditLine
from gateway.flow.dossier import Dossier, opened, pieces_of

T = TypeVar("T")

MOST = 1 << 30
"""Bytes that a file may unpack to; a window holds some megabytes."""
_MANY = 10_000
_ORDER, _BEFORE, _CAPSULE, _TRAIL, _EVIDENCE = "order.json", "before.json", "capsule.json", "audit.jsonl", "evidence"
_README_NAME = "README.txt"
_PACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_HOW = "`andon orders export` writes one"
_NEVER = (1980, 1, 1, 0, 0, 0)
"""The same order gives the same file, whenever it is written."""
_ENDINGS = {"text/plain": ".txt", "image/jpeg": ".jpg", "image/png": ".png", "application/json": ".json"}

_README = """This is the evidence of work order {key}, version {version}, as Andon kept it.

order.json    the order as it was handed to the ERP; its field "capsule" is the SHA-256 of capsule.json
before.json   the version before it (only of an order that has grown)
capsule.json  all that the order stands on: the window, the rules, the model's hash, the diagnosis
evidence/     what the capsule names; every file is named by its own SHA-256
audit.jsonl   the lines of the audit trail about this order

    andon verify --file {file}

computes every hash and makes the decision again, with the models that the capsule names. It needs no gateway and no
store. Without Andon: the SHA-256 of capsule.json and of every file in evidence/ must be the name that it goes by.
Numbers in *.bin are little-endian; what they are stands beside each piece in capsule.json, as its media type.
"""


def pack(dossier: Dossier, file: Path) -> None:
    """Write a dossier into a new file. Raises `Refused` when it is there already."""
    try:
        with zipfile.ZipFile(file, "x", zipfile.ZIP_DEFLATED) as parcel:
            for name, content in _members(dossier, file.name):
                parcel.writestr(zipfile.ZipInfo(name, _NEVER), content, zipfile.ZIP_DEFLATED)
    except FileExistsError as there:
        raise Refused(f"{file} is there already: name another one") from there
    except OSError as lost:
        raise Refused(f"{file} cannot be written: {lost.strerror}") from lost


def _members(dossier: Dossier, file: str) -> Iterator[tuple[str, bytes]]:
    order = dossier.order
    yield _README_NAME, _README.format(key=order.key, version=order.version, file=file).encode()
    yield _ORDER, msgspec.json.encode(order)
    if dossier.before is not None:
        yield _BEFORE, msgspec.json.encode(dossier.before)
    document = dossier.blobs.get(order.capsule or "")
    if document is not None:
        yield _CAPSULE, document
    written = {order.capsule}
    for piece in pieces_of(order, opened(document)):
        if piece.sha256 in dossier.blobs and piece.sha256 not in written:
            written.add(piece.sha256)
            ending = _ENDINGS.get(piece.media_type, ".bin")
            yield f"{_EVIDENCE}/{piece.sha256}{ending}", dossier.blobs[piece.sha256]
    yield _TRAIL, b"".join(msgspec.json.encode(line) + b"\n" for line in dossier.trail)


def unpack(file: Path) -> Dossier:
    """Read a parcel. Raises `Refused` when it is none, or its order cannot be read; `damaged` has what else is not."""
    try:
        with zipfile.ZipFile(file) as parcel:
            return _dossier(parcel, file)
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as bad:
        raise Refused(f"{file} cannot be read: {bad}; {_HOW}") from bad
    except KeyError as bad:
        raise Refused(f"{file} is no order's parcel: it holds no {_ORDER}; {_HOW}") from bad
    except (msgspec.DecodeError, ValueError) as bad:
        raise Refused(f"{file}: what it says of the order cannot be read: {bad}") from bad


def _dossier(parcel: zipfile.ZipFile, file: Path) -> Dossier:
    infos = parcel.infolist()
    if len(infos) > _MANY or sum(info.file_size for info in infos) > MOST:
        raise Refused(f"{file} holds more than an order's evidence ever does")
    if any(info.compress_type not in _PACKED for info in infos):
        raise Refused(f"{file} is no order's parcel: it is packed in another way")
    places = Counter(_place(info.filename) for info in infos)
    twice = next((place for place, times in places.items() if times > 1), None)
    if twice is not None:  # what is checked would not be what another program shows
        raise Refused(f"{file} is no order's parcel: it holds {twice} twice")
    order = msgspec.json.decode(parcel.read(_ORDER), type=WorkOrder)
    damaged: list[str] = []
    held = _Held(parcel, damaged)
    before = held.decoded(_BEFORE, WorkOrder)
    evidence = sorted(info.filename for info in infos if info.filename.startswith(f"{_EVIDENCE}/"))
    blobs = {PurePosixPath(name).stem: content for name in evidence if (content := held.read(name)) is not None}
    if order.capsule is not None and (document := held.read(_CAPSULE)) is not None:
        blobs[order.capsule] = document
    trail = tuple(held.lines(_TRAIL))
    known = opened(blobs.get(order.capsule or ""))
    strange, words = tuple(_strange(parcel, order, known)), tuple(_words(held, order))
    return Dossier(order, before, blobs, trail, strange=strange, words=words, damaged=tuple(dict.fromkeys(damaged)))


class _Held:
    """What a parcel holds, file by file; the name of one that cannot be read is put into `damaged`."""

    def __init__(self, parcel: zipfile.ZipFile, damaged: list[str]) -> None:
        self._parcel, self._damaged = parcel, damaged
        self._names = frozenset(parcel.namelist())

    def read(self, name: str) -> bytes | None:
        """Give a file's bytes; None without it, and when they are not those that were packed."""
        if name not in self._names:
            return None
        try:
            return self._parcel.read(name)
        except (zipfile.BadZipFile, zlib.error, EOFError):
            self._damaged.append(name)
            return None

    def decoded(self, name: str, kind: type[T]) -> T | None:
        """Give what a file says; None without it, and when it says nothing of that kind."""
        content = self.read(name)
        return None if content is None else self._decoded(name, content, kind)

    def lines(self, name: str) -> Iterator[AuditLine]:
        """Give the lines of the audit trail that can be read."""
        for line in (self.read(name) or b"").splitlines():
            if (said := self._decoded(name, line, AuditLine)) is not None:
                yield said

    def _decoded(self, name: str, content: bytes, kind: type[T]) -> T | None:
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.DecodeError, ValueError):  # also what is no UTF-8
            self._damaged.append(name)
            return None


def _strange(parcel: zipfile.ZipFile, order: WorkOrder, known: Capsule | None) -> Iterator[str]:
    """Name what somebody put beside an order: nobody shall take it for evidence."""
    expected = {_README_NAME, _ORDER, _CAPSULE, _TRAIL, f"{_EVIDENCE}/", *((_BEFORE,) if order.version > 1 else ())}
    vouched = {piece.sha256 for piece in pieces_of(order, known)}
    whole = order.capsule is None or known is not None  # else nobody knows what belongs to it: the capsule is named
    for info in parcel.infolist():
        inside = info.filename.startswith(f"{_EVIDENCE}/") and info.filename != f"{_EVIDENCE}/"
        named = PurePosixPath(info.filename).stem in vouched and info.filename.count("/") == 1
        if info.filename not in expected and not (inside and (named or not whole)):
            yield info.filename
    if parcel.comment:
        yield "the comment of the zip file"
    if min((info.header_offset for info in parcel.infolist()), default=0) > 0:
        yield "what stands before the first file"


def _words(held: _Held, order: WorkOrder) -> Iterator[str]:
    """Name the text for people when it is another one; the file may have got another name since."""
    begins, _, ends = _README.format(key=order.key, version=order.version, file="\0").partition("\0")
    content = held.read(_README_NAME)
    if content is not None:
        told = content.decode("utf-8", "replace")
        if not (told.startswith(begins) and told.endswith(ends) and "\n" not in told[len(begins) : -len(ends)]):
            yield _README_NAME


def _place(name: str) -> str:
    """Give what stands under a name: evidence is known by its hash, whatever the ending."""
    return name.rsplit(".", 1)[0] if name.startswith(f"{_EVIDENCE}/") else name
