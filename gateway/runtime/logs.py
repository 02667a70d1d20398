"""Logs: facts as JSON lines or, on a terminal, in columns. No secret, no name."""

import logging
import sys

import structlog

_QUIET = ("asyncua", "httpx2", "httpcore2", "httpx", "pymodbus", "uvicorn", "transformers", "aiosqlite", "watchfiles")


def configure(level: str = "INFO", *, json: bool | None = None) -> None:
    """Set logging up once per process, on standard error. JSON unless it is a terminal; no colours but on one.

    asyncua writes the password at DEBUG and every publish at INFO, httpx2 every call: they stay at
    WARNING whatever `level` is.
    """
    structured = not sys.stderr.isatty() if json is None else json
    columns = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    renderer = structlog.processors.JSONRenderer(ensure_ascii=False) if structured else columns
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
