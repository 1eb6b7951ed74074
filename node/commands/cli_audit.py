"""The commands of whoever audits the node: who sent, made, sent on, withdrew and retried what."""

from typing import Annotated

import typer

from survnode.node.commands.options import Config, Json, Since, Until

audit_app = typer.Typer(help="Who sent what, what was made of it, where it went.", no_args_is_help=True)


@audit_app.command("verify")
def verify_audit(
    config: Config,
    head: Annotated[str, typer.Option(metavar="HASH", help="A head that was noted earlier and must be there.")] = "",
    as_json: Json = False,
) -> None:
    """Hold every entry of the audit trail against its hash; say its head, to be noted elsewhere."""
    from survnode.node.commands.configured_node import configured_node_of
    from survnode.node.commands.printing import print_json
    from survnode.node.state.audit import verify

    verdict = verify(configured_node_of(config).database, head)
    if as_json:
        print_json(verdict)
    else:
        typer.echo(f"{verdict.entries} entries are as they were written. Head: {verdict.head or 'none'}")
        if verdict.fault:
            typer.echo(verdict.fault, err=True)
    if verdict.fault:
        raise typer.Exit(1)


@audit_app.command("export")
def export_audit(config: Config, since: Since = None, until: Until = None) -> None:
    """Print the entries as audit messages (DICOM PS3.15 A.5, RFC 3881), XML, one a line."""
    from survnode.node.commands.configured_node import configured_node_of
    from survnode.node.delivery.audit_messages import message_of
    from survnode.node.state.audit import read_entries

    node = configured_node_of(config)
    span = [None if moment is None else moment.timestamp() for moment in (since, until)]
    for entry in read_entries(node.database, *span):
        typer.echo(message_of(entry, node.settings.receiver.ae_title))
