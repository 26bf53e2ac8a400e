"""Loading connections: what changed is told, what did not is left alone, names become addresses."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from fastesp.gateway.registry import Changes, Registry
from ike.config import AddressTemplate, Child, Connection

A = Connection("a", remote_addrs=(AddressTemplate(address=ip_address("192.0.2.1")),), children=(Child("net", (), ()),))
B = Connection("b", remote_addrs=(AddressTemplate(name="gw.example.org"),))


def test_a_reload_tells_added_changed_removed_and_unchanged() -> None:
    registry = Registry()
    assert registry.load((A, B)) == Changes(added=("a", "b"))
    changed = replace(A, dpd_delay=30.0)
    third = replace(B, name="c")
    assert registry.load((changed, third)) == Changes(added=("c",), changed=("a",), removed=("b",))
    assert registry.load((changed, third)) == Changes(unchanged=("a", "c"))
    assert registry.names() == ("a", "c")


def test_places_alone_are_no_change() -> None:
    registry = Registry()
    registry.load((A,))
    moved = replace(A, where={"remote_addrs": "gw.conf:99"})
    assert registry.load((moved,)) == Changes(unchanged=("a",))
    loaded = registry.get("a")
    assert loaded is not None
    assert loaded.where["remote_addrs"] == "gw.conf:99"


def test_what_came_over_vici_survives_a_reload_of_the_file() -> None:
    registry = Registry()
    registry.load((A,))
    assert registry.put(B) == Changes(added=("b",))
    assert registry.put(B) == Changes(unchanged=("b",))
    assert registry.load(()) == Changes(removed=("a",))
    assert registry.names() == ("b",)


def test_a_connection_taken_over_by_vici_is_not_the_files_any_more() -> None:
    registry = Registry()
    registry.load((A,))
    registry.put(replace(A, dpd_delay=10.0))
    registry.load(())
    assert registry.names() == ("a",)


def test_host_names_become_addresses_for_the_endpoint_only() -> None:
    registry = Registry()
    registry.load((A, B))
    assert registry.resolved() == (A, B)
    assert registry.host_names() == {"gw.example.org"}
    registry.know({"gw.example.org": (ip_address("192.0.2.7"), ip_address("2001:db8::7"))})
    assert registry.resolved()[1].remote_addrs == (
        AddressTemplate(address=ip_address("192.0.2.7")),
        AddressTemplate(address=ip_address("2001:db8::7")),
    )
    assert registry.get("b") == B


def test_a_child_is_found_by_name_within_its_connection() -> None:
    registry = Registry()
    registry.load((A, replace(A, name="z")))
    assert registry.find("net") == (A, A.children[0])
    found = registry.find("net", "z")
    assert found is not None
    assert found[0].name == "z"
    assert registry.find("nothing") is None
    assert registry.find("net", "nobody") is None
