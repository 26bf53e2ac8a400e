"""What becomes of a CHILD_SA that IKE agreed on and the data plane cannot carry: closed, and said why."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from support.dataplanes import MemoryDataPlane
from support.events import SITE, established
from support.gateways import memory_gateway

from fastesp.dataplane.base import ChildSa, DataPlaneError, Placement
from fastesp.gateway.gateway import Gateway
from ike.events import ChildSaRekeyed, OutboundReady


@dataclass
class Fragile(MemoryDataPlane):
    """Raises what it is told to, once it is."""

    at_install: Exception | None = None
    at_activation: Exception | None = None

    def install(self, sa: ChildSa) -> Placement:
        if self.at_install is not None:
            raise self.at_install
        return super().install(sa)

    def activate_outbound(self, child_id: int) -> None:
        if self.at_activation is not None:
            raise self.at_activation
        super().activate_outbound(child_id)


@pytest.fixture
def plane() -> Fragile:
    return Fragile()


@pytest.fixture
def gateway(plane: Fragile, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    made = memory_gateway(plane)
    made.registry.load((SITE,))
    closed: list[int] = []

    def close(child_id: int, now: float) -> None:
        del now
        closed.append(child_id)

    monkeypatch.setattr(made.endpoint, "terminate_child", close)
    monkeypatch.setattr(made, "closed", closed, raising=False)
    return made


def codes(gateway: Gateway) -> list[str]:
    return [failure.record.code for failure in gateway.failures]


@pytest.mark.parametrize("error", [DataPlaneError("no room"), OverflowError("too large"), AssertionError()])
def test_what_cannot_be_installed_is_closed_whatever_the_reason(
    gateway: Gateway, plane: Fragile, error: Exception
) -> None:
    plane.at_install = error
    gateway.on_event(established(1))
    assert gateway.closed == [1]  # type: ignore[attr-defined]
    assert codes(gateway) == ["install-failed"]
    assert list(gateway.tunnels) == []


@pytest.mark.parametrize("error", [DataPlaneError("no room for another policy"), MemoryError()])
def test_what_cannot_be_sent_on_is_closed(gateway: Gateway, plane: Fragile, error: Exception) -> None:
    gateway.on_event(established(1))
    plane.at_activation = error
    gateway.on_event(OutboundReady(1, 1))
    assert gateway.closed == [1]  # type: ignore[attr-defined]
    assert codes(gateway) == ["install-failed"]


def test_an_sa_goes_on_sending_where_its_replacement_could_not_be_installed(gateway: Gateway, plane: Fragile) -> None:
    gateway.on_event(established(1))
    gateway.on_event(OutboundReady(1, 1))
    plane.at_install = DataPlaneError("no room")
    gateway.on_event(established(2, replaces=1))
    gateway.on_event(OutboundReady(1, 2))
    gateway.on_event(ChildSaRekeyed(1, 1, 2))
    assert plane.retired == []
    assert gateway.closed == [2]  # type: ignore[attr-defined]
