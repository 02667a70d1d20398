"""Verifying an order: every hash again, then the text and the decision again, from what the capsule names alone."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec
import numpy as np
from msgspec.structs import replace

from gateway.core import capsule as capsules
from gateway.core.asset import Asset, Plant
from gateway.core.capsule import Capsule, Seen, Told
from gateway.core.diagnosis import Diagnosis, Evidence
from gateway.core.episode import Decision
from gateway.core.errors import Misconfigured
from gateway.core.order import WorkOrder
from gateway.core.plural import plural
from gateway.core.ports import Diagnoser, Grounded, Interpreter, Verdict
from gateway.core.report import QualityReport
from gateway.flow import evidence, grow, policy, seal
from gateway.flow.dossier import Blobs, Dossier, opened, pieces_of, window_of

TOLERANCE = 1e-4
"""How far a probability may lie from the one that was decided by, when the very same features are judged again."""
NEAR = 1e-4
"""How far a feature may lie from the one that was judged, relative to its size, when it is computed again from the raw
bytes. One window alone and one among many are added up in another order, and another processor rounds in another way: a
tree may then turn the other way, which is why the features that were judged are kept beside the bytes."""
_LOG_ODDS = 0.001
_LEVEL = 0.01

Finding = Literal["proven", "differs", "missing", "not checked"]


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at. `differs` and `missing` mean that the order is not proven."""

    what: str
    verdict: Finding
    detail: str = ""

    @property
    def fine(self) -> bool:
        """Whether nothing speaks against the order here."""
        return self.verdict in {"proven", "not checked"}


class Models(msgspec.Struct, frozen=True):
    """Who judges again. Both open the models that the capsule names, and raise `Misconfigured` without them."""

    diagnoser: Callable[[Capsule], Diagnoser]
    interpreter: Callable[[Capsule], Interpreter]


def verify(dossier: Dossier, models: Models) -> Iterator[Check]:
    """Look at everything and name what differs. What stands on something that is not as it was is not checked."""
    order = dossier.order
    yield from _beside(dossier)
    if order.capsule is None:
        yield from _hashes(order.evidence, dossier.blobs)
        yield Check(
            "capsule", "missing", "the order was made before there were capsules: its decision cannot be redone"
        )
        return
    document = dossier.blobs.get(order.capsule)
    known = opened(document)
    yield _capsule(order, document, known)
    if document is None or known is None:
        yield from _hashes(order.evidence, dossier.blobs)
        return
    found = list(_hashes(pieces_of(order, known), dossier.blobs))
    yield from found
    yield _text(order, dossier.before, known)
    yield _trail(dossier)
    if not all(check.fine for check in found):
        yield Check("decision", "not checked", "some of what it stands on is not as it was")
    elif known.seen is not None:
        yield from _judgement(known, known.seen, dossier.blobs, models)
    elif known.told is not None:
        yield from _reading(known, known.told, dossier, models)


def _beside(dossier: Dossier) -> Iterator[Check]:
    for name in dossier.strange:
        yield Check(name, "differs", "is no part of this order: nothing vouches for it")
    for name in dossier.damaged:
        yield Check(name, "differs", "is damaged: it cannot be read")
    for name in dossier.words:
        yield Check(name, "not checked", "these words are not those that this version of Andon writes")


def _capsule(order: WorkOrder, document: bytes | None, known: Capsule | None) -> Check:
    name = order.capsule or ""
    if document is None:
        return Check("capsule", "missing", f"sha256 {name}")
    if (hashed := capsules.named(document)) != name:
        return Check("capsule", "differs", f"the order names {name}, the bytes are {hashed}")
    if known is None:
        return Check("capsule", "differs", "it cannot be read: not of the format andon.capsule/1")
    if (known.order, known.version) != (order.key, order.version):
        return Check("capsule", "differs", f"it is that of {known.order} version {known.version}")
    return Check("capsule", "proven", f"sha256 {name}")


def _hashes(pieces: Sequence[Evidence], blobs: Blobs) -> Iterator[Check]:
    for piece in pieces:
        what = f"{piece.kind} {piece.tag}".strip()
        content = blobs.get(piece.sha256)
        if content is None:
            yield Check(what, "missing", f"sha256 {piece.sha256}")
        elif (hashed := capsules.named(content)) != piece.sha256:
            yield Check(what, "differs", f"it is kept as {piece.sha256}, the bytes are {hashed}")
        elif len(content) != piece.size:
            yield Check(what, "differs", f"{plural(len(content), 'byte')}, the capsule says {piece.size}")
        else:
            yield Check(what, "proven", f"{plural(piece.size, 'byte')}, sha256 {piece.sha256}")


def _text(order: WorkOrder, before: WorkOrder | None, known: Capsule) -> Check:
    """Compose the order again and compare every field; a later version follows from the one before it as well."""
    try:
        again = _again(order, before, known)
    except ValueError as bad:
        return Check("order", "differs", str(bad))
    odd = [name for name in order.__struct_fields__ if getattr(order, name) != getattr(again, name)]
    if odd:
        made = f" (it was made by version {known.terms.software})" if known.terms.software else ""
        return Check("order", "differs", f"it does not follow from the capsule: {', '.join(odd)}{made}")
    return Check("order", "proven", "every field follows from the capsule")


def _again(order: WorkOrder, before: WorkOrder | None, known: Capsule) -> WorkOrder:
    if order.version == 1:
        return seal.again(known, order.capsule or "")
    if before is None:
        raise ValueError(f"version {order.version - 1}, which it grew from, is not at hand")
    again = grow.again(before, known, order.capsule or "")
    if again is None:
        raise ValueError(f"nothing in the capsule changes version {before.version}")
    return again


def _trail(dossier: Dossier) -> Check:
    order = dossier.order
    if dossier.broken is not None:
        return Check("audit trail", "differs", f"the chain breaks at line {dossier.broken}")
    for line in dossier.trail:
        if f"capsule {order.capsule}" in line.detail and line.subject == order.key:
            named = f"line {line.number} of {line.at:%Y-%m-%d %H:%M:%S} names it"
            if dossier.whole:
                return Check("audit trail", "proven", f"{named}, the chain is whole")
            return Check("audit trail", "not checked", f"{named}; the trail itself stays with the gateway")
    return Check("audit trail", "missing", "no line names this capsule")


def _judgement(known: Capsule, seen: Seen, blobs: Blobs, models: Models) -> Iterator[Check]:
    """Judge the window again, from the capsule's bytes alone, by the rules that it holds."""
    if known.version == 1:
        yield _rules(known)
    try:
        diagnoser = models.diagnoser(known)
    except Misconfigured as other:
        yield Check("model", "differs", str(other))
        yield Check("decision", "not checked", "the models that decided are not at hand")
        return
    yield Check("model", "proven", known.model)
    try:
        window = window_of(known, seen, blobs)
    except (ValueError, KeyError) as bad:
        yield Check("decision", "differs", f"the window cannot be put together again: {bad}")
        return
    if seen.baseline is not None:
        diagnoser.restore(blobs[seen.baseline.sha256])
    if seen.features is None or not isinstance(diagnoser, Grounded):
        [again] = diagnoser.diagnose([window])
        yield _compared(seen.diagnosis, again)
        return
    [(_, grounds)] = diagnoser.judge([window], every=True)
    row = blobs[seen.features.sha256]
    yield _features(row, b"" if grounds is None else grounds.features)
    try:
        yield _compared(seen.diagnosis, diagnoser.decide(row))
    except ValueError as bad:
        yield Check("decision", "differs", str(bad))
    if grounds is not None:
        kept = [blobs[piece.sha256] for piece in known.evidence if piece.kind == "spectrum"]
        yield _spectra(kept, [spectrum.values for spectrum in grounds.spectra])


def _rules(known: Capsule) -> Check:
    """Decide again by the rules that the capsule holds."""
    episode, terms = known.episode, known.terms
    asset = known.asset or Asset(id=episode.asset)
    decided = policy.of_machine(episode, asset, terms.limit) is Decision.ORDER
    by = plural(episode.hits, "window")
    told = f"confirmed by {by}, confidence {episode.peak_confidence:.3f}, limit {terms.limit:g}"
    return Check("rules", "proven" if decided and episode.hits >= terms.confirm else "differs", told)


def _features(judged: bytes, again: bytes) -> Check:
    """Compare the features that were judged with those that come out of the raw bytes again."""
    one, other = np.frombuffer(judged, "<f8"), np.frombuffer(again, "<f8")
    if one.size != other.size:
        return Check("window", "differs", f"{one.size} features were judged, the window gives {other.size}")
    away = np.isnan(one) != np.isnan(other)
    far = np.nan_to_num(np.abs(one - other) / (1 + np.abs(one)))
    if away.any() or far.max(initial=0.0) > NEAR:
        return Check(
            "window",
            "differs",
            f"{int((away | (far > NEAR)).sum())} of {one.size} features are not those of the raw bytes",
        )
    return Check("window", "proven", f"{one.size} features from the raw bytes again, within {far.max(initial=0.0):.1g}")


def _compared(before: Diagnosis, again: Diagnosis | Verdict) -> Check:
    if before.fault != again.fault:
        return Check(
            "decision", "differs", f"decided {before.fault or 'nothing'}, judged again {again.fault or 'nothing'}"
        )
    names = sorted({*before.probabilities, *again.probabilities})
    numbers = {
        **{one: (before.probabilities.get(one, 0.0), again.probabilities.get(one, 0.0)) for one in names},
        "confidence": (before.confidence, again.confidence),
        "severity": (before.severity, again.severity),
    }
    far = {name: abs(one - other) for name, (one, other) in numbers.items()}
    odd = [f"{name} {numbers[name][0]:.4f} and {numbers[name][1]:.4f}" for name in far if not far[name] <= TOLERANCE]
    told = ({part.modality: part.weight for part in one.contributions} for one in (before, again))
    first, second = told
    weights = {name: abs(first.get(name, 0.0) - second.get(name, 0.0)) for name in {*first, *second}}
    odd += [f"contribution of {name}" for name in sorted(weights) if not weights[name] <= _LOG_ODDS]
    if odd:
        return Check("decision", "differs", "; ".join(odd))
    most = max(far.values(), default=0.0)
    return Check("decision", "proven", f"{before.fault} {before.confidence:.3f}; probabilities within {most:.1g}")


def _spectra(kept: Sequence[bytes], again: Sequence[bytes]) -> Check:
    same = len(kept) == len(again) and all(
        len(one) == len(other)
        and bool(np.allclose(np.frombuffer(one, "<f4"), np.frombuffer(other, "<f4"), rtol=_LEVEL, atol=_LEVEL))
        for one, other in zip(kept, again, strict=True)
    )
    return Check("spectra", "proven" if same else "differs", "computed again from the waveform" if same else "others")


def _reading(known: Capsule, told: Told, dossier: Dossier, models: Models) -> Iterator[Check]:
    """Read the reporter's words again, where they are at hand, with the plant that was known then."""
    try:
        plant = capsules.read_plant(dossier.blobs[told.plant.sha256])
    except msgspec.DecodeError as bad:
        yield Check("plant", "differs", f"it cannot be read: {bad}")
        return
    if told.ruled:
        yield Check("reading", "not checked", "a person looked at it and confirmed it")
    elif dossier.report is None:
        yield Check("reading", "not checked", "the reporter's own words stay in the store")
    else:
        yield _read_again(known, told, dossier.report, plant, models)


def _read_again(known: Capsule, told: Told, report: QualityReport, plant: Plant, models: Models) -> Check:
    try:
        reader = models.interpreter(known)
    except Misconfigured as other:
        return Check("reading", "differs", str(other))
    again = evidence.nameless(reader.interpret(report, plant), report.text)
    before = told.extraction
    if abs(before.confidence - again.confidence) <= TOLERANCE:
        again = replace(again, confidence=before.confidence)
    odd = [name for name in before.__struct_fields__ if getattr(before, name) != getattr(again, name)]
    if odd:
        return Check("reading", "differs", f"read again, these are others: {', '.join(odd)}")
    return Check("reading", "proven", f"{known.model} reads the same")
