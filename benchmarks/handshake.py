"""Full IKEv2 handshakes (IKE_SA and CHILD_SA, X25519): our gateway beside charon, each answering the same initiators.

A rate is handshakes by second of processor time that the responder used, all of its threads together: what one core
does. So it holds on a busy machine, and whatever the load generator costs. Both install what they agree on: charon into
kernel-libipsec, ours into its user-space data plane, routes included.

1. ``psk.vs_charon``, ``ecdsa.vs_charon`` (P-256), ``rsa.vs_charon`` (2048 bits).
2. ``mlkem.per_second``: PSK with an additional ML-KEM-768, which charon 5.9.8 has not.
3. ``state_bytes``: what an established IKE SA with its CHILD_SA adds to the gateway's memory.
4. The table ``where``: what the responder's time goes into (under a profiler, in memory, without data plane).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from benchmarks import handshake_profile
from benchmarks.initiators import Initiators
from benchmarks.report import Report, arguments, finish
from fastesp.config.load import load
from fastesp.lab import Lab, LabError, two_sites
from fastesp.lab.configurations import configuration
from fastesp.lab.namespace import Namespace
from fastesp.lab.ours import OurGateway
from fastesp.lab.peer import Peer
from fastesp.lab.pki import Authority, SwanctlDirectory
from fastesp.lab.strongswan import CHARON, StrongSwan
from ike.wire.constants import TransformType

CLASSIC = "aes256gcm16-prfsha384-x25519"
HYBRID = f"{CLASSIC}-ke1_mlkem768"
BEHIND = "10.128.0.0/9"
"""Where the initiators' hosts are."""
WARM_UP = 10


@dataclass(frozen=True, slots=True)
class Kind:
    """How both sides authenticate; ``key`` as :meth:`fastesp.lab.pki.Authority.issue` names it."""

    auth: str
    key: str = "ecdsa-256"
    proposals: str = CLASSIC


KINDS = {"psk": Kind("psk"), "ecdsa": Kind("pubkey", "ecdsa-256"), "rsa": Kind("pubkey", "rsa-2048")}
MLKEM = Kind("psk", proposals=HYBRID)


@dataclass(frozen=True, slots=True)
class Responder:
    """A gateway that answers, and the initiators that ask it."""

    peer: Peer
    load: Initiators

    def rate(self, number: int) -> float:
        """Handshakes a second of its processor time; what came up is deleted afterwards."""
        process = self.peer.process
        assert process is not None
        before = process.cpu_seconds()
        self.load.connect(number)
        # Ten handshakes of a fast responder may fit between two ticks of that clock.
        used = max(process.cpu_seconds() - before, 1 / os.sysconf("SC_CLK_TCK"))
        self.load.disconnect()
        return number / used


def main() -> None:
    """Each kind in turns of both responders, then what is ours alone."""
    options = arguments("handshake", __doc__ or "")
    rounds, number, states = (3, 60, 300) if options.quick else (7, 300, 10_000)
    report = Report("handshake", options.quick)
    for name, kind in KINDS.items():
        _beside_charon(report, name, kind, rounds, number)
    _mlkem(report, rounds, number)
    _state(report, states)
    report.tables["where"] = handshake_profile.table(number)
    finish(report, options.json)


def _beside_charon(report: Report, name: str, kind: Kind, rounds: int, number: int) -> None:
    figure = f"{name}.vs_charon"
    if not CHARON.exists():
        report.leave_out(figure, f"{CHARON} is not installed")
        return
    with responder(OurGateway, kind) as ours, responder(StrongSwan, kind) as charon:
        rates: dict[str, list[float]] = {"ours": [], "charon": []}
        for each in (ours, charon):
            each.rate(WARM_UP)
        for _ in range(rounds):
            rates["ours"].append(ours.rate(number))
            rates["charon"].append(charon.rate(number))
    for who, values in rates.items():
        report.sample(f"{name}.{who}", values, "handshakes/s of one core")
    report.figure(f"{name}.per_second", rates["ours"], "1/s")
    report.ratio(figure, rates["ours"], rates["charon"], "charon 5.9, kernel-libipsec")


def _mlkem(report: Report, rounds: int, number: int) -> None:
    try:
        with responder(OurGateway, MLKEM) as ours:
            ours.rate(WARM_UP)
            if not any(transform.type == TransformType.ADDKE1 for transform in ours.load.suite):
                raise LabError("no additional key exchange was agreed on (RFC 9370)")
            report.figure("mlkem.per_second", [ours.rate(number) for _ in range(rounds)], "1/s")
    except LabError as failed:
        report.leave_out("mlkem.per_second", str(failed).splitlines()[0])


def _state(report: Report, number: int) -> None:
    """Memory that stays, by established SA."""
    with responder(OurGateway, KINDS["psk"]) as ours:
        process = ours.peer.process
        assert process is not None
        ours.rate(WARM_UP)
        before = process.rss()
        began = time.monotonic()
        ours.load.connect(number)
        report.sample("state.seconds", [time.monotonic() - began], "s")
        report.figure("state_bytes", [(process.rss() - before) / number], "bytes")
    report.sample("state.sas", [number], "IKE SAs")


@contextlib.contextmanager
def responder(make: Callable[[Lab, Namespace], Peer], kind: Kind) -> Iterator[Responder]:
    """One that listens at site a, in a lab of its own; the initiators are at site b's gateway."""
    with Lab("bench-handshake") as lab:
        sites = two_sites(lab)
        authority = Authority("benchmark CA")
        peer = make(lab, sites.a.gateway)
        own = SwanctlDirectory(lab.directory / "initiator")
        for directory, me, other, selectors in (
            (peer.swanctl, sites.a, sites.b, {"remote_ts": BEHIND}),
            (own, sites.b, sites.a, {"local_ts": BEHIND}),
        ):
            text = configuration(
                me,
                other,
                auth=kind.auth,
                proposals=kind.proposals,
                connection="unique = never\n    rekey_time = 0",
                child="rekey_time = 0",
                **selectors,
            )
            directory.configure(text)
            if kind.auth == "pubkey":
                directory.trust(authority)
                directory.own(authority.issue(f"CN=site-{me.name}", kind=kind.key))
        peer.start()
        settings = load(own.file)
        connection = replace(settings.connections[0], keyingtries=1)
        load_of = Initiators(sites.b.gateway, sites.b.outer, sites.a.outer, connection, settings.credentials)
        try:
            yield Responder(peer, load_of)
        finally:
            load_of.close()


if __name__ == "__main__":
    main()
