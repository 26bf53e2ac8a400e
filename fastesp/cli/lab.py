"""``fastesp lab``: gateways, hosts and wires in network namespaces of this machine. The command is the lab's own."""

from fastesp.lab.command import lab

__all__ = ["lab"]
