"""Replay of a diagnosis: the same models, rules and names as the live road, on its own."""

from concurrent.futures import ThreadPoolExecutor

from gateway.core.ports import Store
from gateway.flow.diagnose import BASELINES
from gateway.flow.replay import Replayed, Span, diagnose
from gateway.runtime.making import book_of, business_secret, cutter_of, now, open_diagnoser
from gateway.runtime.settings import Settings


async def diagnose_again(settings: Settings, store: Store, span: Span, *, dry_run: bool) -> Replayed:
    """Put recorded readings through the models again, with each asset's baseline as it stands now."""
    diagnoser = open_diagnoser(settings)
    baselines = await store.read(lambda tx: tx.get(BASELINES))
    if baselines is not None:
        diagnoser.restore(baselines)
    secret = await business_secret(settings, store)
    with ThreadPoolExecutor(1, thread_name_prefix="models") as pool:
        return await diagnose(
            store,
            diagnoser,
            book_of(settings, secret),
            cutter_of(settings),
            span,
            pool,
            dry_run=dry_run,
            now=now(),
        )
