"""One line a happening: a stable event name, UIDs and ids as fields, never an identity; JSON where nobody watches."""

import logging
import sys
from typing import Any

import structlog

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_logging(level: str) -> None:
    """Send this process's log lines to stderr."""
    renderer: Any = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),  # a line in one write: others write there too
        cache_logger_on_first_use=True,
    )
    # pydicom and highdicom quote attribute values, identities among them, in what they log and in their warnings.
    logging.captureWarnings(True)
    for name in ("py.warnings", "pydicom", "pynetdicom", "highdicom", "matplotlib", "PIL"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
