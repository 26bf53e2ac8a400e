"""The exit codes that scripts rely on, each brought about the way it comes about: by what a gateway answers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.vici_thread import ViciThread

from fastesp.cli import main
from fastesp.cli.exits import Exit
from fastesp.gateway.vici.codec import text
from fastesp.gateway.vici.server import RefusedError, Request

CONNECTIONS = {
    "site-a-to-b": {"children": {"net": {"mode": "TUNNEL"}, "voice": {"mode": "TUNNEL"}}},
    "site-a-to-c": {"children": {"net": {"mode": "TUNNEL"}}},
    "bare": {"children": {}},
}
CHILD = {
    "name": "net",
    "uniqueid": "7",
    "state": "INSTALLED",
    "mode": "TUNNEL",
    "protocol": "ESP",
    "encap": "yes",
    "spi-in": "c0ffee01",
    "spi-out": "c0ffee02",
    "encr-alg": "AES_GCM_16",
    "encr-keysize": "256",
    "bytes-in": "1610612736",
    "packets-in": "1200000",
    "use-in": "3",
    "bytes-out": "100",
    "packets-out": "2",
    "rekey-time": "3000",
    "life-time": "3900",
    "local-ts": ["10.10.0.0/24"],
    "remote-ts": ["10.20.0.0/24"],
    "placement": "userspace/0",
    "placement-why": ["packet:eth0: no IPsec offload"],
    "drops": {"replay": "3"},
}
SA = {
    "uniqueid": "1",
    "version": "2",
    "state": "ESTABLISHED",
    "local-host": "203.0.113.10",
    "local-port": "4500",
    "local-id": "CN=site-a",
    "remote-host": "198.51.100.20",
    "remote-port": "4500",
    "remote-id": "CN=site-b",
    "initiator": "yes",
    "nat-remote": "yes",
    "encr-alg": "AES_CBC",
    "encr-keysize": "256",
    "integ-alg": "HMAC_SHA2_384_192",
    "prf-alg": "PRF_HMAC_SHA2_384",
    "dh-group": "MODP_3072",
    "established": "732",
    "rekey-time": "13200",
    "child-sas": {"net-7": CHILD},
}
RECORD = {
    "code": "no-proposal-chosen",
    "summary": "no common IKE proposal",
    "number": "3",
    "offered": ["aes128-sha256-x25519"],
    "allowed": ["aes256-sha384-modp3072"],
    "change": "gw.conf:13: proposals",
}
ANSWERS: Mapping[str, Mapping[str, object]] = {
    "refused": {
        "errmsg": "failed",
        "reason": "it said no",
        "code": "no-proposal-chosen",
        "outcome": "refused",
        "failure": RECORD,
    },
    "timeout": {"errmsg": "not established after 1000ms", "code": "command-timeout", "outcome": "timeout"},
    "failed": {"errmsg": "broken", "outcome": "failed"},
    "not-found": {"errmsg": "gone meanwhile", "code": "no-such-child", "outcome": "not-found"},
    "no outcome": {"errmsg": "as strongSwan says it"},
}


class Gateway(ViciThread):
    """A gateway that answers as it is told to."""

    def __init__(self, path: Path) -> None:
        self.outcome = "up"
        self.asked: list[tuple[str, dict[str, object]]] = []
        super().__init__(
            path,
            {
                "list-conns": self._connections,
                "list-sas": self._sas,
                "list-failures": self._failures,
                "stats": self._stats,
                "version": self._version,
                "initiate": self._act,
                "terminate": self._act,
                "rekey": self._act,
                "reload-settings": self._act,
                "get-conns": self._names,
            },
        )

    async def _connections(self, request: Request) -> Mapping[str, object]:
        for name, body in CONNECTIONS.items():
            await request.stream("list-conn", {name: body})
        return {}

    async def _sas(self, request: Request) -> Mapping[str, object]:
        if self.outcome != "nothing up":
            await request.stream("list-sa", {"site-a-to-b": SA})
        return {}

    async def _failures(self, request: Request) -> Mapping[str, object]:
        await request.stream("list-failure", {"3": RECORD})
        return {}

    async def _stats(self, _: Request) -> Mapping[str, object]:
        return {"dataplane": {"kind": "userspace", "policies": 2}, "drops": {"no-policy": 2, "bad-icv": 40}}

    async def _version(self, _: Request) -> Mapping[str, object]:
        return {"daemon": "fastesp", "version": "0"}

    async def _names(self, _: Request) -> Mapping[str, object]:
        return {"conns": list(CONNECTIONS)}

    async def _act(self, request: Request) -> Mapping[str, object]:
        self.asked.append((request.command, {key: text(value) for key, value in request.message.items()}))
        await request.stream("control-log", {"group": "IKE", "level": 1, "msg": "sent IKE_SA_INIT request 0 [ SA ]"})
        if self.outcome == "invalid":
            problems = ["gw.conf:1:1: unknown key 'x'"]
            raise RefusedError(problems[0], code="config-invalid", outcome="failed", details={"problems": problems})
        if self.outcome in ANSWERS:
            return {"success": "no", **ANSWERS[self.outcome]}
        return {"success": "yes", "matches": "1"}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    server = Gateway(tmp_path / "vici")
    with server:
        yield server


def fastesp(*words: str, gateway: Gateway | None = None) -> Result:
    """A command line to its end; with ``gateway``, against it."""
    socket = ("--socket", f"unix://{gateway.path}") if gateway is not None else ()
    return CliRunner().invoke(main, [*words, *socket], env={"COLUMNS": "200", "NO_COLOR": "1"})


def as_json(result: Result) -> dict[str, object]:
    """The one JSON object that was printed."""
    value = json.loads(result.stdout)
    assert isinstance(value, dict)
    assert value["version"] == 1
    return value


def test_the_documented_numbers_are_these() -> None:
    assert [(code.name, int(code)) for code in Exit] == [
        ("OK", 0),
        ("FAILED", 1),
        ("USAGE", 2),
        ("UNREACHABLE", 3),
        ("INVALID", 4),
        ("NO_SUCH_OBJECT", 5),
        ("REFUSED", 6),
        ("TIMEOUT", 7),
    ]
    assert all(f"{int(code)} " in (main.help or "") for code in Exit)


@pytest.mark.parametrize("verb", [("up", "site-a-to-b/net"), ("down", "net"), ("rekey", "net")])
@pytest.mark.parametrize(
    ("outcome", "code"),
    [("up", 0), ("failed", 1), ("no outcome", 1), ("not-found", 5), ("refused", 6), ("timeout", 7)],
)
def test_the_gateways_answer_becomes_the_exit_code(
    gateway: Gateway, verb: tuple[str, ...], outcome: str, code: int
) -> None:
    gateway.outcome = outcome
    assert fastesp(*verb, gateway=gateway).exit_code == code
    assert fastesp(*verb, "--json", gateway=gateway).exit_code == code
    quiet = fastesp(*verb, "--quiet", gateway=gateway)
    assert quiet.exit_code == code
    assert quiet.stdout == ""
    assert bool(quiet.stderr) == bool(code)


@pytest.mark.parametrize(
    "verb", [("status",), ("show", "connections"), ("up", "x"), ("down", "x"), ("rekey", "x"), ("load",), ("log",)]
)
def test_no_gateway_is_3(tmp_path: Path, verb: tuple[str, ...]) -> None:
    result = fastesp(*verb, "--socket", str(tmp_path / "nothing"))
    assert result.exit_code == 3
    assert "no gateway answers at" in result.stderr
    assert "fastesp gateway -c FILE" in result.stderr


def test_a_gateway_that_goes_away_meanwhile_is_3(gateway: Gateway) -> None:
    async def vanish(request: Request) -> Mapping[str, object]:
        request.client._writer.transport.abort()
        return {}

    gateway.server.handlers = {**gateway.server.handlers, "stats": vanish}
    result = fastesp("status", "--interval", "0", gateway=gateway)
    assert result.exit_code == 3
    assert "went away" in result.stderr


@pytest.mark.parametrize(
    "words", [("up",), ("nonsense",), ("show", "nonsense"), ("up", "x", "--timeout", "-1"), ("gateway", "--mtu", "1")]
)
def test_wrong_usage_is_2(words: tuple[str, ...]) -> None:
    assert fastesp(*words).exit_code == 2


def test_a_name_with_two_meanings_is_2_and_says_the_ways(gateway: Gateway) -> None:
    result = fastesp("up", "net", gateway=gateway)
    assert result.exit_code == 2
    assert "site-a-to-b/net, site-a-to-c/net" in result.stderr


@pytest.mark.parametrize("verb", ["up", "down", "rekey", "status"])
def test_a_name_of_nothing_is_5_and_says_what_was_meant(gateway: Gateway, verb: str) -> None:
    result = fastesp(verb, "site-a-to-bb", gateway=gateway)
    assert result.exit_code == 5
    assert "did you mean 'site-a-to-b'?" in result.stderr


def test_an_invalid_configuration_is_4(gateway: Gateway, tmp_path: Path) -> None:
    gateway.outcome = "invalid"
    assert fastesp("load", gateway=gateway).exit_code == 4
    assert as_json(fastesp("load", "--json", gateway=gateway))["problems"] == ["gw.conf:1:1: unknown key 'x'"]
    file = tmp_path / "gw.conf"
    file.write_text("connections { a { proposal = aes256-sha256-x25519 } }\n")
    checked = fastesp("check", str(file))
    assert checked.exit_code == 4
    assert f"{file}:1:19: unknown key 'proposal' (did you mean 'proposals'?)" in checked.stdout
    problems = as_json(fastesp("check", str(file), "--json"))["problems"]
    assert isinstance(problems, list)
    assert (1, 19) in [(problem["line"], problem["column"]) for problem in problems]


def test_a_valid_file_is_0_and_explained(tmp_path: Path) -> None:
    file = tmp_path / "gw.conf"
    file.write_text(
        """connections { a { remote_addrs = 198.51.100.20
             local { auth = psk
               id = moon }
             remote { auth = psk
               id = sun }
             children { net { local_ts = 10.1.0.0/16
               remote_ts = 10.2.0.0/16
               start_action = trap } } } }
           secrets { ike-1 { id = sun
             secret = "very-secret-words" } }
        """
    )
    file.chmod(0o600)
    result = fastesp("check", str(file))
    assert result.exit_code == 0, result.output
    assert "10.1.0.0/16 === 10.2.0.0/16, comes up with the first packet" in result.stdout
    assert "very-secret" not in result.output + fastesp("check", str(file), "--json").output


def test_up_ends_in_one_verdict_line(gateway: Gateway) -> None:
    result = fastesp("up", "site-a-to-b/net", gateway=gateway)
    assert "sent IKE_SA_INIT request 0 [ SA ]" in result.stdout
    last = result.stdout.strip().splitlines()[-1]
    assert last.startswith("✔ site-a-to-b/net is up after ")
    assert last.endswith("10.10.0.0/24 === 10.20.0.0/24, ESP in UDP AES_GCM_16_256, packets go userspace/0")
    assert gateway.asked == [("initiate", {"ike": "site-a-to-b", "child": "net", "timeout": "60000", "loglevel": "1"})]


def test_up_of_a_connection_brings_up_all_its_children(gateway: Gateway) -> None:
    assert fastesp("up", "site-a-to-b", gateway=gateway).exit_code == 0
    assert [message["child"] for _, message in gateway.asked] == ["net", "voice"]
    assert fastesp("up", "bare", gateway=gateway).exit_code == 0
    assert "child" not in gateway.asked[-1][1]


def test_a_refusal_shows_the_record_and_the_code(gateway: Gateway) -> None:
    gateway.outcome = "refused"
    result = fastesp("up", "site-a-to-b/net", gateway=gateway)
    assert "offered   aes128-sha256-x25519" in result.stdout
    assert "change    gw.conf:13: proposals" in result.stdout
    assert "✘ site-a-to-b/net: it said no [no-proposal-chosen]" in result.stderr
    assert "fastesp explain no-proposal-chosen" in result.stderr
    error = as_json(fastesp("up", "site-a-to-b/net", "--json", gateway=gateway))
    assert (error["kind"], error["exit_code"], error["code"]) == ("error", 6, "no-proposal-chosen")
    assert error["failure"] == {**RECORD, "number": 3}


def test_down_selects_a_connection_a_child_or_both(gateway: Gateway) -> None:
    for name in ("site-a-to-b", "net", "site-a-to-b/net"):
        assert fastesp("down", name, gateway=gateway).exit_code == 0
    chosen = [{key: m[key] for key in ("ike", "child") if key in m} for _, m in gateway.asked]
    assert chosen == [{"ike": "site-a-to-b"}, {"child": "net"}, {"ike": "site-a-to-b", "child": "net"}]


def test_status_says_what_is_up_for_people(gateway: Gateway) -> None:
    lines = [line.strip() for line in fastesp("status", "--interval", "0.01", gateway=gateway).stdout.splitlines()]
    assert lines == [
        "site-a-to-b[1] ESTABLISHED for 12 min 12 s",
        "203.0.113.10[4500] CN=site-a  ...  198.51.100.20[4500] CN=site-b",
        "IKE AES_CBC_256/HMAC_SHA2_384_192/PRF_HMAC_SHA2_384/MODP_3072, rekey in 3 h 40 min, NAT at the remote end",
        "net{7} INSTALLED, tunnel: 10.10.0.0/24 === 10.20.0.0/24",
        "ESP in UDP AES_GCM_16_256, rekey in 50 min, expires in 1 h 5 min",
        "in  c0ffee01  1.5 GiB, 1200 k packets, 0 bit/s, last 3 s ago",
        "out c0ffee02  100 B, 2 packets, 0 bit/s",
        "packets go: userspace/0",
        "packet:eth0: no IPsec offload",
        "dropped: replay 3",
        "data plane: userspace (policies 2)",
        "dropped in all: bad-icv 40, no-policy 2",
    ]


def test_status_says_the_same_in_numbers_for_programs(gateway: Gateway) -> None:
    view = as_json(fastesp("status", "--json", gateway=gateway))
    assert view["drops"] == {"no-policy": 2, "bad-icv": 40}
    (ike,) = view["ike_sas"]  # type: ignore[misc]
    assert (ike["name"], ike["established"], ike["initiator"], ike["local_port"]) == ("site-a-to-b", 732, True, 4500)
    (child,) = ike["children"]
    assert (child["bytes_in"], child["encap"], child["spi_in"]) == (1610612736, True, "c0ffee01")
    assert child["drops"] == {"replay": 3}


def test_status_without_sas_is_no_error(gateway: Gateway) -> None:
    gateway.outcome = "nothing up"
    result = fastesp("status", gateway=gateway)
    assert result.exit_code == 0
    assert "no IKE SA is up" in result.stdout
    assert fastesp("status", "bare", gateway=gateway).exit_code == 0


def test_show_prints_trees_records_and_json(gateway: Gateway) -> None:
    assert (
        "site-a-to-b\n  children\n    net\n      mode: TUNNEL\n"
        in fastesp("show", "connections", gateway=gateway).stdout
    )
    assert "no common IKE proposal [no-proposal-chosen]" in fastesp("show", "failures", gateway=gateway).stdout
    assert fastesp("show", "connections", "nope", gateway=gateway).exit_code == 5
    view = as_json(fastesp("show", "failures", "3", "--json", gateway=gateway))
    assert view["entries"] == {"3": {**RECORD, "number": 3}}


def test_what_a_gateway_says_cannot_drive_the_terminal(gateway: Gateway) -> None:
    async def hostile(request: Request) -> Mapping[str, object]:
        await request.stream("list-sa", {"a": {**SA, "remote-id": "\x1b[2Jroot [bold]x[/bold]", "child-sas": {}}})
        return {}

    gateway.server.handlers = {**gateway.server.handlers, "list-sas": hostile}
    result = fastesp("status", gateway=gateway)
    assert "\x1b" not in result.stdout
    assert "[bold]x[/bold]" in result.stdout


def test_explain_knows_codes_and_what_was_meant() -> None:
    result = fastesp("explain", "cert-expired")
    assert result.exit_code == 0
    assert "the certificate has expired" in result.stdout
    assert set(as_json(fastesp("explain", "cert-expired", "--json"))) >= {"title", "cause", "action"}
    wrong = fastesp("explain", "cert-expird")
    assert wrong.exit_code == 5
    assert "did you mean cert-expired" in wrong.stderr
    assert "cert-expired" in fastesp("explain").stdout


def test_doctor_looks_and_says(gateway: Gateway) -> None:
    result = fastesp("doctor", "--json", gateway=gateway)
    findings = json.loads(result.stdout.splitlines()[0])["findings"]
    assert {"rights", "TUN", "ports", "kernel", "processor", "OpenSSL", "gateway"} <= {f["name"] for f in findings}
    assert next(f for f in findings if f["name"] == "gateway")["verdict"] == "ok"
    problems = [f for f in findings if f["verdict"] == "problem"]
    assert result.exit_code == (1 if problems else 0)
    assert os.geteuid() != 0 or not any(f["name"] == "rights" for f in problems)


def test_every_verb_has_help() -> None:
    for verb in main.list_commands(None):  # type: ignore[arg-type]
        result = fastesp(verb, "--help")
        assert result.exit_code == 0, verb
        assert "Usage:" in result.stdout
