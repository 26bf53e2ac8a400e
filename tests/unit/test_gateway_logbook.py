"""What the gateway says: levels, listeners, and failed negotiations as one record each."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastesp.config.strongswan_conf import LogFile
from fastesp.gateway.failures import BURST, Failures, as_message, describe
from fastesp.gateway.logbook import Logbook, LogLine
from ike.events import AttemptLost, FailureRecord

RECORD = FailureRecord(
    code="no-proposal-chosen",
    summary="no proposal of the peer is one of ours",
    exchange="IKE_SA_INIT",
    role="responder",
    peer="198.51.100.20[500]",
    connection="site-a-to-b",
    offered=("aes128-sha256-modp2048", "aes256-sha256-modp2048"),
    allowed=("aes256-sha384-modp3072",),
    mismatch="key exchange method: MODP_2048, not MODP_3072",
    tried=(AttemptLost("site-a-to-b", "key exchange method differs"),),
    change="gw.conf:12: proposals",
    hint="add modp2048 to proposals, or change the peer's",
)


@pytest.fixture
def written() -> Iterator[tuple[Logbook, io.StringIO]]:
    logbook, stream = Logbook(), io.StringIO()
    logbook.open(1, stream=stream)
    yield logbook, stream
    logbook.close()


def test_a_level_beyond_the_wanted_one_is_not_written(written: tuple[Logbook, io.StringIO]) -> None:
    logbook, stream = written
    logbook.say("IKE", 1, "seen", connection="site", ike_id=3)
    logbook.say("IKE", 2, "unseen")
    assert stream.getvalue().endswith(" IKE site[3] seen\n")


def test_a_listener_hears_more_than_the_log_and_only_until_it_stops(written: tuple[Logbook, io.StringIO]) -> None:
    logbook, stream = written
    heard: list[LogLine] = []
    stop = logbook.listen(heard.append, 2)
    logbook.say("CHD", 2, "detail")
    logbook.say("CHD", 3, "too much")
    stop()
    logbook.say("CHD", 1, "later")
    assert heard == [LogLine("CHD", 2, "detail")]
    assert "detail" not in stream.getvalue()


def test_what_a_module_logs_gets_its_subsystem(written: tuple[Logbook, io.StringIO]) -> None:
    logging.getLogger("fastesp.guard").warning("no nft")
    assert written[1].getvalue().endswith(" KNL no nft\n")


def test_a_peer_cannot_forge_a_line_or_drive_a_terminal(written: tuple[Logbook, io.StringIO]) -> None:
    logbook, stream = written
    logbook.say("IKE", 1, "peer is \x1b[31mroot\r", connection="a\nb", ike_id=1)
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


def test_a_failure_is_one_record_with_what_helps(written: tuple[Logbook, io.StringIO]) -> None:
    logbook, stream = written
    Failures(logbook).add(7, RECORD)
    text = stream.getvalue()
    assert text.count("no-proposal-chosen") == 1
    for part in ("198.51.100.20[500]", "aes256-sha256-modp2048", "aes256-sha384-modp3072", "gw.conf:12: proposals"):
        assert part in text
    assert all(line.startswith("    ") for line in text.splitlines()[1:])


def test_a_failure_carries_the_same_for_programs(written: tuple[Logbook, io.StringIO]) -> None:
    failure = Failures(written[0], clock=lambda: 1.5).add(7, RECORD)
    message = as_message(failure)
    assert message["code"] == "no-proposal-chosen"
    assert message["offered"] == ["aes128-sha256-modp2048", "aes256-sha256-modp2048"]
    assert message["tried"] == {"site-a-to-b": "key exchange method differs"}
    assert message["time"] == "1.500"
    assert "child" not in message


def test_a_flood_of_failures_is_kept_but_not_all_written(written: tuple[Logbook, io.StringIO]) -> None:
    logbook, stream = written
    now = [0.0]
    failures = Failures(logbook, clock=lambda: now[0])
    for _ in range(100):
        failures.add(1, RECORD)
    assert stream.getvalue().count("[no-proposal-chosen]") == BURST
    assert len(failures) == 100
    now[0] = 5.0
    failures.add(1, RECORD)
    assert "80 more records before this one" in stream.getvalue()


def test_empty_parts_leave_no_line() -> None:
    record = FailureRecord("timeout", "no answer", "IKE_SA_INIT", "initiator", "192.0.2.1[500]")
    assert describe(record).splitlines() == [
        "no answer [timeout]",
        "peer       192.0.2.1[500]",
        "exchange   IKE_SA_INIT, as initiator",
    ]


def test_a_file_log_has_a_level_for_each_subsystem(tmp_path: Path) -> None:
    logbook = Logbook()
    path = tmp_path / "charon.log"
    logbook.open_file(LogFile(str(path), default=0, levels={"ike": 2, "cfg": -1}, time_format="%Y", log_level=True))
    try:
        for group, level in (("IKE", 2), ("IKE", 3), ("CFG", 0), ("CHD", 0), ("CHD", 1)):
            logbook.say(group, level, f"text {group} {level}")
    finally:
        logbook.close()
    lines = [line.split(" ", 1)[1] for line in path.read_text().splitlines()]
    assert lines == ["IKE2 text IKE 2", "CHD0 text CHD 0"]


def test_a_file_log_names_the_ike_sa_only_where_ike_name_says_so(tmp_path: Path) -> None:
    for ike_name in (False, True):
        logbook, path = Logbook(), tmp_path / f"{ike_name}.log"
        logbook.open_file(LogFile(str(path), ike_name=ike_name, time_format="%Y"))
        logbook.say("IKE", 1, "up", connection="site", ike_id=3)
        logbook.close()
        assert path.read_text().endswith(" IKE site[3] up\n" if ike_name else " IKE up\n")


def test_stdout_and_stderr_are_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    logbook = Logbook()
    for name in ("stdout", "stderr"):
        logbook.open_file(LogFile(name))
    logbook.say("CFG", 1, "heard")
    logbook.close()
    out, err = capsys.readouterr()
    assert out.endswith("CFG heard\n")
    assert err.endswith("CFG heard\n")
    assert list(tmp_path.iterdir()) == []
