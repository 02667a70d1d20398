"""Settings that were applied, the newest last: which configuration was live when."""

from sqlalchemy import delete, insert, select

from gateway.core.ports import AppliedConfig
from gateway.store.documents import pack, unpack
from gateway.store.part import Part
from gateway.store.tables import configs

_MOST = 200


class Configs(Part):
    """The history of settings: the newest two hundred. Settings name secrets and hold none."""

    def put_config(self, applied: AppliedConfig) -> int:
        """Write down what was applied or tried; gives its number (the one in `applied` does not count)."""
        row = {name: getattr(applied, name) for name in ("at", "digest", "outcome", "detail")}
        row |= {"parts": pack(applied.parts), "content": pack(applied.text)}
        self._db.execute(insert(configs), row)
        number = int(self._db.scalar(select(configs.c.number).order_by(configs.c.number.desc()).limit(1)) or 0)
        self._db.execute(delete(configs).where(configs.c.number <= number - _MOST))
        return number

    def configs(self, *, limit: int = 100) -> list[AppliedConfig]:
        """What was applied or tried, the newest first."""
        look = select(configs).order_by(configs.c.number.desc()).limit(limit)
        return [
            AppliedConfig(
                row.number,
                row.at,
                row.digest,
                row.outcome,
                row.detail,
                unpack(row.parts, dict[str, str]),
                unpack(row.content, str),
            )
            for row in self._db.execute(look)
        ]
