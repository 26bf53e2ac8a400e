"""The VICI protocol, server side: what ``swanctl``, the ``vici`` package and ``fastesp`` speak to it."""
