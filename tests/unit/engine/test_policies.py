"""Policy lookup beside a model that walks a list: order, ranges, ports, changes while flows are cached."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engines import any_packet, batch_of, every_packet, selector, udp, verdicts

from fastesp.dataplane.base import PolicyAction, Selector
from fastesp.engine import Engine, Verdict
from fastesp.engine.policy import Policies


@dataclass(frozen=True)
class Flow:
    local: IPv4Address | IPv6Address
    remote: IPv4Address | IPv6Address
    protocol: int
    local_port: int
    remote_port: int
    opaque: bool


def within(choice: Selector, flow: Flow) -> bool:
    def port(value: int, start: int, end: int) -> bool:
        return (start, end) in ((0, 65535), (65535, 0)) if flow.opaque else start <= value <= end

    return (
        choice.local_start.version == flow.local.version
        and choice.protocol in (0, flow.protocol)
        and choice.local_start <= flow.local <= choice.local_end
        and choice.remote_start <= flow.remote <= choice.remote_end
        and port(flow.local_port, choice.local_port_start, choice.local_port_end)
        and port(flow.remote_port, choice.remote_port_start, choice.remote_port_end)
    )


def narrowness(choice: Selector) -> int:
    """Prefix bits first, then ports and protocol: what comes first among equal priorities."""
    width = choice.local_start.max_prefixlen

    def bits(start: int, end: int) -> int:
        return width - (start ^ end).bit_length()

    ports = (choice.local_port_start, choice.local_port_end), (choice.remote_port_start, choice.remote_port_end)
    return (
        3 * bits(int(choice.local_start), int(choice.local_end))
        + 3 * bits(int(choice.remote_start), int(choice.remote_end))
        + sum(pair != (0, 65535) for pair in ports)
        + (choice.protocol != 0)
    )


class Model:
    """All rows in a list, walked from the front."""

    def __init__(self) -> None:
        self.rows: list[tuple[tuple[int, int, int], Selector, int]] = []
        self.order = 0

    def add(self, selectors: list[Selector], priority: int, policy: int) -> None:
        for choice in selectors:
            self.rows.append(((priority, -narrowness(choice), self.order), choice, policy))
            self.order += 1
        self.rows.sort(key=lambda row: row[0])

    def remove(self, policy: int) -> None:
        self.rows = [row for row in self.rows if row[2] != policy]

    def match(self, flow: Flow) -> int | None:
        return next((policy for _, choice, policy in self.rows if within(choice, flow)), None)


def addresses(family: int) -> st.SearchStrategy[int]:
    """A small world, so that things meet."""
    base = 0x0A000000 if family == 4 else 0x20010DB8 << 96
    spread = st.one_of(st.integers(0, 20), st.sampled_from([255, 256, 65535, 65536]))
    return spread.map(lambda value: base + value)


@st.composite
def selectors(draw: st.DrawFn) -> Selector:
    family = draw(st.sampled_from([4, 4, 6]))
    make = IPv4Address if family == 4 else IPv6Address
    ends = []
    for _ in range(2):
        one = addresses(family)
        ends.extend(sorted(draw(st.one_of(st.tuples(one, one), one.map(lambda a: (a, a))))))
    if draw(st.booleans()):
        ends[:2] = [0, make("255.255.255.255" if family == 4 else "ffff:" * 7 + "ffff")]
    low = st.integers(0, 5)
    ports = st.one_of(st.just((0, 65535)), st.just((65535, 0)), st.tuples(low, low).map(lambda p: (min(p), max(p))))
    local_ports, remote_ports = draw(ports), draw(ports)
    return Selector(
        *(make(int(end)) for end in ends),
        protocol=draw(st.sampled_from([0, 6, 17])),
        local_port_start=local_ports[0],
        local_port_end=local_ports[1],
        remote_port_start=remote_ports[0],
        remote_port_end=remote_ports[1],
    )


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    family = draw(st.sampled_from([4, 4, 6]))
    make = IPv4Address if family == 4 else IPv6Address
    return Flow(
        make(draw(addresses(family))),
        make(draw(addresses(family))),
        draw(st.sampled_from([6, 17, 50])),
        draw(st.integers(0, 6)),
        draw(st.integers(0, 6)),
        draw(st.booleans()),
    )


def asked(policies: Policies, flow: Flow) -> int | None:
    return policies.match(
        flow.local.version,
        flow.local,
        flow.remote,
        flow.protocol,
        flow.local_port,
        flow.remote_port,
        flow.opaque,
    )


actions = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(selectors(), min_size=1, max_size=3), st.integers(0, 2)),
        st.tuples(st.just("remove"), st.integers(0, 50)),
        st.tuples(st.just("ask"), flows()),
    ),
    max_size=80,
)


@settings(deadline=None, max_examples=200)
@given(actions=actions, size=st.sampled_from([2, 64]))
def test_lookups_agree_with_a_list_whatever_is_added_and_removed(actions: list[tuple], size: int) -> None:
    policies, model = Policies(64, size), Model()
    installed: list[int] = []
    asked_before: list[Flow] = []
    for action, *values in actions:
        if action == "add":
            policy = policies.add(values[0], PolicyAction.PROTECT, priority=values[1])
            model.add(values[0], values[1], policy)
            installed.append(policy)
        elif action == "remove" and installed:
            policy = installed.pop(values[0] % len(installed))
            policies.remove(policy)
            model.remove(policy)
        elif action == "ask":
            asked_before.append(values[0])
        for flow in asked_before[-4:]:
            assert asked(policies, flow) == model.match(flow)
    assert policies.count == len(installed)


def test_ten_thousand_policies_are_all_found_and_all_removed() -> None:
    policies = Policies(16384, 1024)
    numbers = [
        policies.add(
            [selector(f"10.{at >> 8}.{at & 255}.0-10.{at >> 8}.{at & 255}.255", "192.0.2.0-192.0.2.255")], "protect"
        )
        for at in range(10_000)
    ]
    remote = ip_address("192.0.2.77")
    for at in range(0, 10_000, 37):
        flow = Flow(ip_address(f"10.{at >> 8}.{at & 255}.9"), remote, 6, 1, 2, False)
        assert asked(policies, flow) == numbers[at]
    for number in numbers:
        policies.remove(number)
    assert policies.count == 0
    assert asked(policies, Flow(ip_address("10.0.0.9"), remote, 6, 1, 2, False)) is None


def test_a_lower_priority_goes_first_and_among_equals_the_narrower() -> None:
    policies = Policies(8, 2)
    wide = policies.add(any_packet(), "discard", priority=5)
    narrow = policies.add([selector("10.0.0.0-10.0.0.255", "10.1.0.0-10.1.0.255")], "protect", priority=5)
    flow = Flow(ip_address("10.0.0.1"), ip_address("10.1.0.1"), 6, 1, 2, False)
    assert asked(policies, flow) == narrow
    first = policies.add(any_packet(), "bypass", priority=4)
    assert asked(policies, flow) == first
    policies.remove(first)
    policies.remove(narrow)
    assert asked(policies, flow) == wide


def test_a_cached_flow_sees_every_change_at_once() -> None:
    engine = Engine(max_sas=2, max_policies=8, flows=16)
    packet = udp()

    def verdict() -> Verdict:
        batch = batch_of(packet)
        engine.encapsulate(batch, 1)
        return verdicts(batch)[0]

    assert verdict() is Verdict.NO_POLICY
    wide = engine.add_policy(every_packet(), PolicyAction.BYPASS, priority=9)
    assert verdict() is Verdict.BYPASS
    narrow = engine.add_policy([selector("10.1.0.5", "10.2.0.9")], PolicyAction.DISCARD, priority=1)
    assert verdict() is Verdict.DISCARD
    engine.change_policy(narrow, action=PolicyAction.TRAP)
    assert verdict() is Verdict.ACQUIRE
    engine.remove_policy(narrow)
    assert verdict() is Verdict.BYPASS
    engine.remove_policy(wide)
    assert verdict() is Verdict.NO_POLICY


def test_a_full_table_says_so_and_keeps_what_it_has() -> None:
    policies = Policies(2, 2)
    policies.add(any_packet(), "bypass")
    last = policies.add(any_packet(), "discard")
    with pytest.raises(MemoryError, match="2 of 2"):
        policies.add(any_packet(), "discard")
    policies.remove(last)
    assert policies.add(any_packet(), "discard") == last


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (Selector(ip_address("10.0.0.9"), ip_address("10.0.0.1"), *[ip_address("1.1.1.1")] * 2), "backwards"),
        (Selector(*[ip_address("10.0.0.9")] * 2, *[ip_address("::1")] * 2), "mixes"),
        (selector("1.1.1.1", "2.2.2.2", local_port_start=5, local_port_end=4), "port range"),
    ],
)
def test_selectors_that_cannot_be_are_refused(bad: Selector, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Policies(2, 2).add([bad], "bypass")


def test_callers_mistakes_are_named() -> None:
    policies = Policies(2, 2)
    with pytest.raises(ValueError, match="unknown policy action 'allow'"):
        policies.add(any_packet(), "allow")
    with pytest.raises(ValueError, match="at least one selector"):
        policies.add([], "bypass")
    for call in (policies.remove, policies.sa_of):
        with pytest.raises(KeyError, match="no policy in slot 1"):
            call(1)
