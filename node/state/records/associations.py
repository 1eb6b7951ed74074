"""How an association went."""

from dataclasses import dataclass

from survnode.model.errors import Explained


class AssociationEnd(Explained):
    """How an association ended, or why there was none."""

    RELEASED = "RELEASED", "The peer released it, as it should."
    ABORTED_BY_PEER = "ABORTED_BY_PEER", "The peer aborted it."
    ABORTED_BY_NODE = "ABORTED_BY_NODE", "This node aborted it: see the detail."
    CONNECTION_LOST = "CONNECTION_LOST", "The connection ended without a release."
    REJECTED = "REJECTED", "This node rejected it: see the detail."
    ADDRESS_REFUSED = "ADDRESS_REFUSED", "The peer's address is not in the receiver's networks."
    TLS_REFUSED = "TLS_REFUSED", "The TLS handshake failed: see the detail."
    NO_REQUEST = "NO_REQUEST", "The peer connected, but did not ask for an association."


@dataclass(frozen=True)
class Association:
    """One association that has ended, or a connection that did not become one.

    Parameters
    ----------
    peer : its address
    calling_ae_title, called_ae_title : as the peer gave them; empty if it asked for nothing
    contexts_accepted, contexts_rejected : how many presentation contexts
    rejected : each rejected SOP class and why; the first of them where there are many
    echoes : C-ECHO requests that were answered
    images : C-STORE requests that were answered with success
    refused : C-STORE requests that were answered otherwise
    size_bytes : of the data sets of all C-STORE requests
    detail : why it was rejected or aborted; empty if it was not
    certificate : whose it was, where the peer showed one that is trusted
    """

    peer: str
    calling_ae_title: str
    called_ae_title: str
    began_at: float
    ended_at: float
    end: AssociationEnd
    contexts_accepted: int = 0
    contexts_rejected: int = 0
    rejected: tuple[str, ...] = ()
    echoes: int = 0
    images: int = 0
    refused: int = 0
    size_bytes: int = 0
    detail: str = ""
    certificate: str = ""
