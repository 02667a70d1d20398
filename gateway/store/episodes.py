"""Diagnoses and the episodes that they belong to."""

from datetime import datetime

from sqlalchemy import select

from gateway.core.diagnosis import Diagnosis
from gateway.core.episode import Episode, EpisodeState
from gateway.store.documents import pack, unpack
from gateway.store.part import Part, insert_into, running
from gateway.store.tables import diagnoses, episodes


class Episodes(Part):
    """What was found, window by window, and the troubles that it amounts to."""

    def put_diagnosis(self, diagnosis: Diagnosis) -> bool:
        """Keep a diagnosis; False when this asset's window was diagnosed before (the first one stays)."""
        body = pack(diagnosis)
        row = {"asset": diagnosis.asset, "start_at": diagnosis.start, "fault": diagnosis.fault, "body": body}
        size_to = running(diagnoses.c.size_to, diagnoses.c.number) + len(body)
        put = insert_into(diagnoses, self._db.dialect.name).values(**row, size=len(body), size_to=size_to)
        return self._db.execute(put.on_conflict_do_nothing().returning(diagnoses.c.number)).first() is not None

    def diagnoses(self, asset: str | None = None, *, limit: int = 100) -> list[Diagnosis]:
        """Diagnoses, the newest window first."""
        look = select(diagnoses.c.body).order_by(diagnoses.c.start_at.desc()).limit(limit)
        if asset is not None:
            look = look.where(diagnoses.c.asset == asset)
        return [unpack(body, Diagnosis) for (body,) in self._db.execute(look)]

    def episode(self, key: str) -> Episode | None:
        """One episode by its key."""
        body = self._db.scalar(select(episodes.c.body).where(episodes.c.key == key))
        return None if body is None else unpack(body, Episode)

    def episodes(
        self, asset: str | None = None, *, live: bool = False, since: datetime | None = None, limit: int = 100
    ) -> list[Episode]:
        """Episodes, the latest sign first; `live` leaves out closed ones, `since` those gone quiet before."""
        look = select(episodes.c.body).order_by(episodes.c.last_at.desc()).limit(limit)
        if asset is not None:
            look = look.where(episodes.c.asset == asset)
        if live:
            look = look.where(episodes.c.state.in_((EpisodeState.CANDIDATE, EpisodeState.OPEN)))
        if since is not None:
            look = look.where(episodes.c.last_at >= since)
        return [unpack(body, Episode) for (body,) in self._db.execute(look)]

    def put_episode(self, episode: Episode) -> None:
        """Keep an episode as it now stands."""
        self._upsert(
            episodes,
            key=episode.key,
            asset=episode.asset,
            state=episode.state,
            last_at=episode.last_at,
            body=pack(episode),
        )
