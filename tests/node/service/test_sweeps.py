from pathlib import Path

from survnode.model.checkpoint import checkpoint_folder, read_card
from survnode.node.config import DestinationConfig, NodeConfig
from survnode.node.service.leases import Leases
from survnode.node.service.sweeps import Sweeps, destination_of
from survnode.node.service.watchdog import ReceiverWatchdog
from survnode.node.state.database import Database


def test_the_clock_starts_and_stops(tmp_path: Path, database: Database) -> None:
    destination = DestinationConfig(name="pacs", ae_title="PACS", host="127.0.0.1", port=104, commitment=True)
    config = NodeConfig(data_dir=tmp_path, destinations=(destination,))
    leases = Leases(database, 1.0, lambda _: None, set)
    watchdog = ReceiverWatchdog(config, lambda: None, lambda _: True)
    sweeps = Sweeps(config, database, read_card(checkpoint_folder("demo")), leases, watchdog)
    sweeps.start()
    sweeps.stop()


def test_a_destination_is_given_up_and_asked_again_as_configured() -> None:
    settings = DestinationConfig(name="pacs", ae_title="PACS", host="h", port=104, give_up_after_h=2.0, timeout_s=5.0)
    assert destination_of(settings, "ME").retry.max_elapsed_s == 7200.0
    assert destination_of(settings, "ME").commitment is None
    asked = destination_of(settings.model_copy(update={"commitment": True, "commitment_timeout_s": 60.0}), "ME")
    assert asked.commitment is not None
    assert (asked.commitment.first_delay_s, asked.dimse_timeout_s) == (60.0, 5.0)
