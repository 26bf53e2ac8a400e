"""What stands on the way and lets not everything through."""

from __future__ import annotations

from fastesp.lab.namespace import Namespace


def drop(space: Namespace | None, rule: str) -> None:
    """A router that drops what an nftables ``rule`` matches, as a firewall or a simple NAT does."""
    assert space is not None, "there is no router on this wire"
    chain = f"type filter hook forward priority 0\n {rule} drop"
    space.run("nft", "-f", "-", stdin=f"table inet lab {{\n chain through {{\n {chain}\n }}\n}}\n")
