"""One line a happening: a stable event name, UIDs and ids as fields, never an identity; JSON where nobody watches.

Nothing that others say reaches the log as they say it: warnings, messages of libraries and the words of errors that
nobody expected quote attribute values. Of these it is told who spoke and where, see `Unquoted`.
"""

import fcntl
import logging
import os
import re
import stat
import sys
import threading
from contextlib import suppress
from io import UnsupportedOperation
from typing import Any, TextIO

import structlog

from survnode.node.errors import trace_of

log = structlog.get_logger()

MAX_TRACE = 3000  # characters, so that a line stays below the 4096 bytes that a pipe takes as one

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_WARNING = re.compile(r"(?P<file>.*?):(?P<line>\d+): (?P<category>\w+): ", re.DOTALL)  # as the standard library says it


def configure_logging(level: str) -> None:
    """Send this process's log lines to stderr."""
    renderer: Any = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _shorten_trace,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=_lines_to(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.captureWarnings(True)
    root = logging.getLogger()
    if not any(isinstance(handler, Unquoted) for handler in root.handlers):
        root.addHandler(Unquoted(logging.WARNING))
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # what it says of associations, delivery says itself


def end_unquoted() -> None:
    """Log the errors that end this process or one of its threads without their message, which may quote a value."""
    sys.excepthook = lambda _kind, error, _trace: _log_end("process.failed", error)
    threading.excepthook = lambda args: _log_end("thread.failed", args.exc_value)


class Unquoted(logging.Handler):
    """Logs that a library said something, and where in it; never what."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log it: an error as a warning, everything else for whoever debugs."""
        say = log.warning if record.levelno >= logging.ERROR else log.debug
        where: dict[str, Any] = {"module": record.module, "line": record.lineno}
        warned = _WARNING.match(record.getMessage()) if record.name == "py.warnings" else None
        if warned:
            file = warned["file"].rpartition("/")[2].removesuffix(".py")
            where = {"module": file, "line": int(warned["line"]), "category": warned["category"]}
        if record.exc_info and record.exc_info[1] is not None:
            where["trace"] = trace_of(record.exc_info[1])
        say("library.said", library=record.name, severity=record.levelname.lower(), **where)


class LineWriter:
    """Writes each line in one call to a descriptor, so that the lines of several processes never mix.

    A log that cannot be written ends nothing: neither a full disk nor a reader that has gone.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def msg(self, message: str) -> None:
        """Write one line."""
        line = (message + "\n").encode(errors="backslashreplace")
        with suppress(OSError):
            while line:  # a second call only where the first could not take it whole
                line = line[os.write(self._descriptor, line) :]

    debug = info = warning = error = critical = msg


def _lines_to(stream: TextIO) -> Any:
    """What makes loggers that write to ``stream``, by its descriptor if it has one."""
    try:
        descriptor = stream.fileno()
    except (UnsupportedOperation, ValueError):
        return structlog.WriteLoggerFactory(stream)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_APPEND)
    return lambda *_: LineWriter(descriptor)


def _shorten_trace(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Keep the end of a long trace, where it happened."""
    if len(trace := str(event.get("trace", ""))) > MAX_TRACE:
        event["trace"] = "..." + trace[-MAX_TRACE:]
    return event


def _log_end(event: str, error: BaseException | None) -> None:
    if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
        log.error(event, trace=trace_of(error))
