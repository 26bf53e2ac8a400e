"""Gateways, hosts behind them and wires between them in network namespaces.

The demo, the tests and the benchmarks share it.

It needs root, and touches only namespaces of its own::

    with Lab("try") as lab:
        sites = two_sites(lab)
        ping(sites.a.host, sites.b.host_address)
"""

from .errors import LabError
from .namespace import Namespace
from .process import Process
from .sites import Site, Sites, two_sites
from .topology import Lab

__all__ = ["Lab", "LabError", "Namespace", "Process", "Site", "Sites", "two_sites"]
