"""A gateway of ours and a charon that live through many configurations, as daemons do, each loaded by ``swanctl``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from support.swanctl import swanctl
from support.tunnels import Pair, configure, pair

from fastesp.lab import Lab
from fastesp.lab.errors import LabError
from fastesp.lab.peer import Peer
from fastesp.lab.process import wait_until

LIMIT = 20.0
NOTHING = "connections {\n}\n"


@contextmanager
def living_pair(
    *, options: str = "", settings: str = "", router: bool = False, kernel: bool = False, mtu: int = 1500
) -> Iterator[Pair]:
    """Both run, without a connection. ``options``: strongswan.conf lines of charon; ``settings``: ours."""
    with Lab("test") as lab:
        both = pair(lab, options=options, router=router, kernel=kernel, mtu=mtu)
        both.ours.settings = settings
        for peer in (both.ours, both.theirs):
            peer.swanctl.configure(NOTHING)
        both.start()
        yield both


@contextmanager
def configured(
    both: Pair, *, ours: dict[str, str] | None = None, theirs: dict[str, str] | None = None, **common: str
) -> Iterator[None]:
    """Mirrored configurations (see :func:`support.tunnels.configure`) for the time of the block; then none is left."""
    configure(both, ours=ours, theirs=theirs, **common)
    with loaded(both):
        yield


@contextmanager
def loaded(both: Pair) -> Iterator[None]:
    """What stands in both directories is loaded for the time of the block; afterwards nothing is left on any side."""
    try:
        for peer in (both.theirs, both.ours):
            load(peer)
        yield
    except (AssertionError, LabError):
        print(both.lab.logs(60))
        raise
    finally:
        close(both)


def load(peer: Peer) -> None:
    """``swanctl --load-all`` of a gateway's directory, in place of what was loaded before."""
    said = swanctl(peer, "--load-all", "--clear", "--noprompt")
    assert said.code == 0, said.text


def close(both: Pair) -> None:
    """Unload everything, then close what is up: nothing that is tried again may come in between."""
    for peer in (both.ours, both.theirs):
        peer.swanctl.configure(NOTHING)
        swanctl(peer, "--load-all", "--clear", "--noprompt")
    for peer in (both.ours, both.theirs):
        end_all(peer)
    for peer in (both.ours, both.theirs):
        wait_until(lambda peer=peer: not peer.ike_sas(), f"the end of {peer.kind}'s SAs", LIMIT)  # type: ignore[misc]


def end_all(peer: Peer) -> None:
    """Every IKE SA, whether the other side agrees or not."""
    for sa in peer.ike_sas():
        swanctl(peer, "--terminate", "--ike-id", sa.unique_id, "--force", "--timeout", "2")
