"""What Prometheus reads: the numbers of ``status``, under the same reasons and names, over a small HTTP server.

Everything is collected in the gateway's own thread, because the data plane belongs to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from .gateway import Gateway

logger = logging.getLogger("fastesp.daemon")

REQUEST_TIMEOUT = 5.0
REQUEST_MOST = 8192
"""Bytes of a request's head; a scraper needs some hundred."""

CLIENTS_MOST = 16


def split_address(text: str) -> tuple[str, int]:
    """``127.0.0.1:9100`` or ``[::1]:9100``. Raises :class:`ValueError`."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is no address for metrics: write it like 127.0.0.1:9100")
    return host.strip("[]") or "127.0.0.1", int(port)


class Collector:
    """Turns a gateway's state into metrics. ``drops`` was asked for before, since the guard's take a moment."""

    def __init__(self, gateway: Gateway, drops: dict[str, int]) -> None:
        self._gateway = gateway
        self._drops = drops

    def collect(self) -> Iterable[Metric]:
        """One family after the other."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        gateway = self._gateway
        sas = gateway.ike_sas()
        states = GaugeMetricFamily("fastesp_ike_sas", "IKE SAs by state", labels=["state"])
        for state in sorted({ike.state for ike in sas} | {"ESTABLISHED"}):
            states.add_metric([state], sum(ike.state == state for ike in sas))
        yield states
        yield GaugeMetricFamily("fastesp_child_sas", "Installed CHILD_SAs", value=sum(len(i.children) for i in sas))
        yield GaugeMetricFamily("fastesp_half_open", "IKE SAs half open", value=gateway.endpoint.half_open)
        yield CounterMetricFamily("fastesp_failures", "Failed negotiations", value=len(gateway.failures))
        drops = CounterMetricFamily("fastesp_drops", "Packets dropped", labels=["reason"])
        for reason, count in sorted(self._drops.items()):
            drops.add_metric([reason], count)
        yield drops
        exchanges = CounterMetricFamily("fastesp_ike", "IKE events, as swanctl --counters names them", labels=["event"])
        for (connection, event), count in sorted(gateway.counts.items()):
            if not connection:
                exchanges.add_metric([event], count)
        yield exchanges
        yield from self._traffic()
        yield from self._workers()

    def _traffic(self) -> Iterable[Metric]:
        """Summed over the live SAs of a child: it falls back when one goes, so it is a gauge."""
        from prometheus_client.core import GaugeMetricFamily

        labels = ["connection", "child", "direction"]
        families = {
            "bytes": GaugeMetricFamily("fastesp_child_bytes", "Inner bytes of the live SAs", labels=labels),
            "packets": GaugeMetricFamily("fastesp_child_packets", "Inner packets of the live SAs", labels=labels),
        }
        sums: dict[tuple[str, str, str, str], int] = {}
        for tunnel in self._gateway.tunnels:
            counters = self._gateway.tunnels.counters(tunnel.child_id)
            if counters is None:
                continue
            for what in families:
                for way in ("in", "out"):
                    key = (what, tunnel.connection, tunnel.config.name, way)
                    sums[key] = sums.get(key, 0) + getattr(counters, f"{what}_{way}")
        for (what, connection, child, way), count in sorted(sums.items()):
            families[what].add_metric([connection, child, way], count)
        yield from families.values()

    def _workers(self) -> Iterable[Metric]:
        """What each worker carries, and what it leaves to the owner of an SA."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        labels = ["worker", "direction"]
        packets = CounterMetricFamily("fastesp_worker_packets", "Packets that a worker took in", labels=labels)
        handed = CounterMetricFamily("fastesp_worker_handed", "Of these, left to the SA's owner", labels=labels)
        sas = GaugeMetricFamily("fastesp_worker_child_sas", "CHILD_SAs that a worker owns", labels=["worker"])
        for number, figures in enumerate(self._gateway.dataplane.worker_figures()):
            for way in ("in", "out"):
                packets.add_metric([str(number), way], figures[f"{way}_packets"])
                handed.add_metric([str(number), way], figures[f"{way}_handed"])
            sas.add_metric([str(number)], figures["sas"])
        yield packets
        yield handed
        yield sas


class MetricsServer:
    """``GET /metrics``, and nothing else."""

    def __init__(self, gateway: Gateway, address: str) -> None:
        self._gateway = gateway
        self._host, self._port = split_address(address)
        self._server: asyncio.AbstractServer | None = None
        self._clients = 0

    async def start(self) -> None:
        """Listen. Raises :class:`OSError`, with what is missing where the library is not installed."""
        try:
            import prometheus_client  # noqa: F401 - only whether it is there
        except ImportError:
            raise OSError("--metrics needs the package prometheus-client: pip install prometheus-client") from None
        self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=REQUEST_MOST)

    def close(self) -> None:
        """Listen no longer."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def page(self) -> bytes:
        """The metrics as text."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(Collector(self._gateway, await self._gateway.drops()))
        return generate_latest(registry)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._clients >= CLIENTS_MOST:
            writer.transport.abort()
            return
        self._clients += 1
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._answer(head.split(b"\r\n", 1)[0]))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a client that does not finish its request gets no answer
        except Exception:
            logger.exception("internal error while answering for metrics")
        finally:
            self._clients -= 1
            with contextlib.suppress(OSError):
                writer.close()

    async def _answer(self, line: bytes) -> bytes:
        words = line.split()
        if len(words) != 3 or words[0] != b"GET" or words[1].split(b"?")[0] not in (b"/metrics", b"/"):
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        from prometheus_client import CONTENT_TYPE_LATEST

        body = await self.page()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE_LATEST}\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"Connection: close\r\n\r\n" + body
