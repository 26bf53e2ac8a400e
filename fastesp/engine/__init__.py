"""The ESP engine: batches of packets in, batches of packets out, without the GIL.

engine = Engine(provider="auto")
slot = engine.install_outbound(spi, suite, key, epoch=1)
engine.add_policy(selectors, PolicyAction.PROTECT, sa=slot)
engine.encapsulate(batch, now)
"""

from fastesp.engine.batch import BATCH_MAX, HEADROOM, NO_SLOT, TAILROOM, Batch
from fastesp.engine.esp import Engine
from fastesp.engine.providers import available_providers
from fastesp.engine.suites import ENCRYPTION, INTEGRITY, SUITES
from fastesp.engine.verdict import Verdict

__all__ = [
    "BATCH_MAX",
    "ENCRYPTION",
    "HEADROOM",
    "INTEGRITY",
    "NO_SLOT",
    "SUITES",
    "TAILROOM",
    "Batch",
    "Engine",
    "Verdict",
    "available_providers",
]
