"""Proof: an order's dossier out of a store, and the models that judge it again."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from gateway.core.artifact import read_manifest
from gateway.core.asset import Asset, Plant
from gateway.core.capsule import Capsule
from gateway.core.errors import Misconfigured
from gateway.core.ports import AuditLine, Diagnoser, Interpreter, Store, Tx
from gateway.flow.dossier import Dossier, collect
from gateway.flow.verify import Check, Models, verify
from gateway.store.audit import verify as broken_at

_PAGE = 2000
RULE = "rule"
"""The name that a diagnosis without trained models carries."""


async def dossier_of(store: Store, key: str, version: int | None) -> Dossier | None:
    """Collect what a verification looks at, the order's lines of the audit trail too; None without such an order."""
    found = await store.read(lambda tx: collect(tx, key, version))
    if found is None:
        return None
    before: AuditLine | None = None
    broken: int | None = None
    mine: list[AuditLine] = []
    while lines := await store.read(partial(_page, 0 if before is None else before.number)):
        if broken is None:
            broken = broken_at(lines, before=before)
        mine += [line for line in lines if line.subject == key]
        before = lines[-1]
    return replace(found, trail=tuple(mine), whole=True, broken=broken)


async def dossiers_of(store: Store, key: str, version: int | None) -> list[Dossier]:
    """Collect one version of an order, or every one, the oldest first; empty without such an order."""
    newest = await dossier_of(store, key, version)
    if newest is None:
        return []
    older: list[Dossier] = []
    for number in range(1, newest.order.version) if version is None else ():
        found = await store.read(partial(_collected, key, number))
        if found is not None:
            older.append(replace(found, trail=newest.trail, whole=newest.whole, broken=newest.broken))
    return [*older, newest]


def _collected(key: str, version: int, tx: Tx) -> Dossier | None:
    return collect(tx, key, version)


def _page(after: int, tx: Tx) -> list[AuditLine]:
    return list(tx.audit(after=after, limit=_PAGE))


def prove(dossier: Dossier, diagnosis: Path, language: Path) -> list[Check]:
    """Verify a dossier with the models of these bundles. Takes seconds: call it off the event loop."""
    return list(verify(dossier, Models(partial(open_diagnoser, diagnosis), partial(open_interpreter, language))))


def prove_all(dossiers: Sequence[Dossier], diagnosis: Path, language: Path) -> list[Check]:
    """Verify several versions; each finding says of which one it is, when there are several."""
    return [
        check if len(dossiers) == 1 else replace(check, what=f"v{dossier.order.version} {check.what}")
        for dossier in dossiers
        for check in prove(dossier, diagnosis, language)
    ]


def open_diagnoser(bundle: Path, capsule: Capsule) -> Diagnoser:
    """Load the models that a capsule names, for its one asset. Raises `Misconfigured` when they are others."""
    from gateway.diagnosis.diagnoser import open_diagnoser as opened  # noqa: PLC0415  (torch takes seconds)
    from gateway.diagnosis.rule import open_rule  # noqa: PLC0415
    from nlp.logs import open_log_modality  # noqa: PLC0415

    plant = Plant(capsule.site, (capsule.asset or Asset(id=capsule.episode.asset),))
    if capsule.model == RULE:
        return open_rule(plant)
    known = read_manifest(bundle).digest
    if known != capsule.model:
        raise Misconfigured(f"bundle {capsule.model} decided, {bundle} is {known}: name the other with --models DIR")
    return opened(bundle, plant, modalities=[open_log_modality(bundle)])


def open_interpreter(bundle: Path, capsule: Capsule) -> Interpreter:
    """Load the engine that read a report. Raises `Misconfigured` when the bundle is another one."""
    from nlp.interpret import open_interpreter as opened  # noqa: PLC0415

    if not capsule.terms.reader:
        return opened(engine="lite")
    known = read_manifest(bundle).digest
    if known != capsule.terms.reader:
        wanted = capsule.terms.reader
        raise Misconfigured(f"bundle {wanted} read it, {bundle} is {known}: name the other with --models DIR")
    return opened(engine="encoder", bundle=bundle)
