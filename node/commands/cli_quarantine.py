"""The commands on images that came under a known UID with other bytes."""

import time
from typing import Annotated

import typer

from survnode.node.commands.configured_node import configured_node_of
from survnode.node.commands.options import Config, Json, Wide

quarantine_app = typer.Typer(help="Images that came under a known UID with other bytes.", no_args_is_help=True)

Names = Annotated[
    list[str] | None, typer.Argument(metavar="IMAGE", help="So much of the beginning of its sha256 that none is alike.")
]
OfStudy = Annotated[
    str | None, typer.Option("--study", metavar="STUDY", help="All of this study that wait for a decision.")
]


@quarantine_app.command("list")
def list_images(
    config: Config,
    study: Annotated[str | None, typer.Option("--study", metavar="STUDY", help="Those of this study.")] = None,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """The images in quarantine, the last that came first."""
    from survnode.node.commands.table_layouts import of_quarantined
    from survnode.node.state.quarantine_rows import list_quarantined
    from survnode.node.state.summaries import Listing

    node = configured_node_of(config)
    with node.database.reading() as connection:
        images = list_quarantined(connection, node.find(study) if study else None)
    node.show_listing(Listing(images, 0), of_quarantined, title="images in quarantine", wide=wide, as_json=as_json)


@quarantine_app.command("accept")
def accept_images(config: Config, image: Names = None, study: OfStudy = None, as_json: Json = False) -> None:
    """Let images stand in place of those that came first, and have their study judged again; once more undoes it."""
    from survnode.node.commands.printing import counted
    from survnode.node.commands.quarantine import accept, find_quarantined

    node = configured_node_of(config)
    images = find_quarantined(node.database, image or (), node.find(study) if study else None)
    number = accept(node.database, node.settings.received_dir, images, now=time.time())
    _say({"accepted": number}, f"Accepted {counted(number, 'image')}; what stood before is in quarantine.", as_json)


@quarantine_app.command("drop")
def drop_images(config: Config, image: Names = None, study: OfStudy = None, as_json: Json = False) -> None:
    """Delete images from quarantine for good; what came first stands."""
    from survnode.node.commands.printing import counted
    from survnode.node.commands.quarantine import drop, find_quarantined

    node = configured_node_of(config)
    images = find_quarantined(node.database, image or (), node.find(study) if study else None)
    number = drop(node.database, node.settings.received_dir, images, now=time.time())
    _say({"dropped": number}, f"Deleted {counted(number, 'image')} from quarantine.", as_json)


def _say(result: dict[str, int], words: str, as_json: bool) -> None:
    from survnode.node.commands.printing import print_json

    if as_json:
        print_json(result)
    else:
        typer.echo(words)
