"""How the receiving process stays small: it needs none of the numerical packages that others import beside it.

Nothing but the standard library is imported here, so that the new process comes here first.
"""

import gc
import pickle
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

HEAVY = ("numpy", "scipy", "SimpleITK", "PIL", "gdcm", "torch", "matplotlib")


def run_unquoted(body: Callable[..., None], *arguments: object) -> None:
    """Run the body of a process; what ends it is logged without its message, which may quote a patient's values."""
    try:
        body(*arguments)
    except Exception as error:  # noqa: BLE001  the edge of a process
        import structlog

        from survnode.node.errors import trace_of

        structlog.get_logger().error("process.failed", trace=trace_of(error))
        sys.exit(1)


def receive(pickled_config: bytes, path: Path, ready: Connection) -> None:
    """Take associations until SIGTERM: the body of the receiving process, see `receiving.receive`."""
    import_nothing_heavy()
    from survnode.node.service.receiving import receive as take_associations

    gc.freeze()  # what was imported stays: no collection has to look at it again
    take_associations(pickle.loads(pickled_config), path, ready)  # noqa: S301  its parent has made it


def import_nothing_heavy() -> None:
    """Make the import of a heavy package fail in this process, where it has not been imported yet.

    pydicom imports NumPy, Pillow and gdcm if it finds them, and does without if it does not; they cost 35 MB and a
    fifth of a second, and whoever imports them by oversight is told so at once, by an ImportError.
    """
    for name in HEAVY:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # what the import system asks for
