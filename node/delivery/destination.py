"""A peer that gets results: where it is, how long it is waited for, and when it is tried again."""

from dataclasses import dataclass, field

from survnode.node.retry import RetryPolicy
from survnode.node.tls import ClientTLS


@dataclass(frozen=True)
class Destination:
    """A peer that gets results.

    Parameters
    ----------
    name : how it is called here
    ae_title, host, port : of the peer
    calling_ae_title : our own
    dimse_timeout_s : how long an answer to one object may take
    retry : when to try again and when to leave it to a person
    commitment : when to ask again for storage commitment; None: it is not asked for
    report_sop_class : that reports are sent in; None: the best that it accepts
    tls : what connections to it begin with; None: nothing
    """

    name: str
    ae_title: str
    host: str
    port: int
    calling_ae_title: str = "SURVNODE"
    connection_timeout_s: float = 10.0
    acse_timeout_s: float = 10.0
    dimse_timeout_s: float = 60.0
    retry: RetryPolicy = field(default_factory=lambda: RetryPolicy(max_elapsed_s=3 * 86400.0))
    commitment: RetryPolicy | None = None
    report_sop_class: str | None = None
    tls: ClientTLS | None = None
