"""Policies whose SA another worker owns: each worker's table says where a packet goes, and all say the same."""

from __future__ import annotations

import secrets
import subprocess
from importlib.util import find_spec

import pytest
from support.engines import any_packet, batch_of, udp, verdicts

from fastesp.dataplane.base import PolicyAction
from fastesp.engine import Engine, Verdict
from fastesp.engine.batch import ELSEWHERE, NO_SLOT, WORKERS_MAX
from fastesp.engine.policy import Policies


@pytest.mark.parametrize("action", [PolicyAction.PROTECT, PolicyAction.TRAP])
@pytest.mark.parametrize("worker", [0, 1, WORKERS_MAX - 1])
def test_a_packet_whose_sa_is_elsewhere_says_where_and_stays_as_it_was(action: PolicyAction, worker: int) -> None:
    engine = Engine(max_sas=4, max_policies=8, flows=16)
    engine.add_policy(any_packet(), action, sa=ELSEWHERE + worker)
    packet = udp()
    batch = batch_of(packet)
    assert engine.encapsulate(batch, 1) == 0
    assert verdicts(batch) == [Verdict.ELSEWHERE]
    assert batch.view["sa"][0] == ELSEWHERE + worker
    assert batch.data(0) == packet
    assert not Verdict.ELSEWHERE.is_drop
    assert engine.verdicts[1][Verdict.ELSEWHERE] == 1


def test_no_worker_s_number_is_taken_for_no_sa() -> None:
    assert ELSEWHERE + WORKERS_MAX - 1 < NO_SLOT


def test_tables_of_one_seed_give_each_flow_the_same_of_several_sas() -> None:
    seed = tuple(secrets.randbits(64) for _ in range(4))
    one, other = (Engine(max_sas=8, max_policies=8, flows=256, seed=seed) for _ in range(2))
    for engine, own in ((one, 0), (other, 1)):
        slot = engine.add_policy(any_packet(), PolicyAction.PROTECT)
        # Worker `own` has one of the two SAs itself: its slot, which nobody installed here, is none of the others'.
        engine.share_policy(slot, [7 if worker == own else ELSEWHERE + worker for worker in range(2)])
    for port in range(200):
        batches = [batch_of(udp(sport=1000 + port)) for _ in range(2)]
        one.encapsulate(batches[0], 1)
        other.encapsulate(batches[1], 1)
        goes = [verdicts(batch)[0] for batch in batches]
        assert sorted(goes) == [Verdict.NO_SA, Verdict.ELSEWHERE]


def test_a_seed_has_four_numbers() -> None:
    with pytest.raises(ValueError, match="four numbers"):
        Policies(8, 16, (1, 2))


@pytest.mark.parametrize(
    "name", ["outbound", "inbound", "handed", "mailbox", "receive", "send", "segment", "coalesce", "held", "path"]
)
def test_no_lock_is_linked_into_what_workers_run(name: str) -> None:
    """Nor a way to the interpreter: in C without the GIL there is nothing to wait for but packets."""
    found = find_spec(f"fastesp.io.{name}")
    assert found is not None
    assert found.origin is not None
    symbols = subprocess.run(["nm", "-D", found.origin], capture_output=True, text=True, check=True)
    names = {line.split()[-1].partition("@")[0] for line in symbols.stdout.splitlines()}
    assert f"PyInit_{name}" in names
    assert not [symbol for symbol in names if symbol.startswith(("pthread_", "sem_", "PyGILState"))]
