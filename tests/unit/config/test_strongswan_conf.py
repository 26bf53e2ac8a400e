"""strongswan.conf: what makes sense for this gateway is read, the rest is named once."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastesp.config import ConfigurationError
from fastesp.config.strongswan_conf import Daemon, LogFile, load_strongswan_conf

TEXT = """
charon {
  retransmit_tries = 3
  retransmit_timeout = 2.5
  retransmit_base = 1.5
  half_open_timeout = 10s
  cookie_threshold = 100
  port = 1500
  port_nat_t = 14500
  install_routes = no
  threads = 16
  load_modular = yes
  plugins { vici { socket = unix:///run/x/charon.vici
    }
    eap-radius { secret = hush
    }
    include conf.d/*.conf
  }
  filelog {
    charon { path = /var/log/charon.log
      time_format = %b %e %T
      append = no
      default = 1
      ike = 2
      knl = -1
    }
    stderr { flush_line = yes
    }
  }
  syslog { daemon { }
  }
}
charon-systemd { retransmit_tries = 4
}
libstrongswan { x = y
}
"""


def test_the_daemon_s_options_are_read_with_their_defaults(tmp_path) -> None:
    file = tmp_path / "strongswan.conf"
    file.write_text(TEXT)
    options = load_strongswan_conf(file)
    assert (options.retransmit_timeout, options.retransmit_base, options.retransmit_tries) == (2.5, 1.5, 4)
    assert (options.half_open_timeout, options.cookie_threshold) == (10, 100)
    assert (options.port, options.port_nat_t) == (1500, 14500)
    assert options.install_routes is False
    assert options.vici_socket == "/run/x/charon.vici"
    assert options.cookie_threshold_ip == 3
    log = LogFile("/var/log/charon.log", 1, {"ike": 2, "knl": -1}, append=False, time_format="%b %e %T")
    assert options.filelog == (log, LogFile("stderr", flush_line=True))


def test_what_has_no_meaning_here_is_named_once_and_without_its_value(tmp_path) -> None:
    file = tmp_path / "strongswan.conf"
    file.write_text(TEXT)
    (one,) = load_strongswan_conf(file).remarks
    assert one.severity == "info"
    assert one.message == (
        "read, and without a meaning for this gateway: "
        "charon.load_modular, charon.syslog, charon.threads, plugins.eap-radius.secret"
    )
    assert "hush" not in str(one)


def test_log_levels_of_subsystems_that_are_not_here_are_named(tmp_path) -> None:
    file = tmp_path / "strongswan.conf"
    file.write_text("charon { filelog { x { ike = 2\n enc = 1\n tnc = 0\n} } }")
    options = load_strongswan_conf(file)
    assert options.filelog == (LogFile("x", levels={"ike": 2}),)
    (one,) = options.remarks
    assert one.message == "read, and without a meaning for this gateway: filelog.x.enc, filelog.x.tnc"


def test_every_option_that_is_read_is_used_by_the_gateway() -> None:
    gateway = Path(__file__).parents[3] / "fastesp" / "gateway"
    source = "".join(path.read_text() for path in gateway.rglob("*.py"))
    for name in Daemon.__dataclass_fields__:
        assert f'"{name}"' in source or f"daemon.{name}" in source, name


def test_an_empty_file_gives_the_defaults(tmp_path) -> None:
    file = tmp_path / "strongswan.conf"
    file.write_text("")
    assert load_strongswan_conf(file) == Daemon()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("retransmit_tries = many", ":1:29: retransmit_tries: 'many' is no number"),
        ("retransmit_base = -1", "retransmit_base: '-1' is out of range"),
        ("install_routes = perhaps", "install_routes: 'perhaps' is neither yes nor no"),
        ("filelog { x { ike = 9\n } }", "ike: '9' is no log level"),
        ("filelog { x { ikee = 1\n } }", "unknown key 'ikee' in a file log (did you mean 'ike'?)"),
        ("plugins { vici { socket = tcp://127.0.0.1:4502\n } }", "vici.socket: 'tcp://127.0.0.1:4502' is no path"),
    ],
)
def test_a_bad_value_is_told_with_its_place(tmp_path, line: str, message: str) -> None:
    file = tmp_path / "strongswan.conf"
    file.write_text(f"charon {{ {line}\n}}")
    with pytest.raises(ConfigurationError) as caught:
        load_strongswan_conf(file)
    assert message in str(caught.value.problems[0])


def test_a_misspelt_option_is_a_warning_with_a_suggestion(tmp_path) -> None:
    file = tmp_path / "strongswan.conf"
    file.write_text("charon { retransmit_tires = 3\n}")
    (one,) = load_strongswan_conf(file).remarks
    assert str(one) == f"{file}:1:10: warning: unknown key 'retransmit_tires' (did you mean 'retransmit_tries'?)"
