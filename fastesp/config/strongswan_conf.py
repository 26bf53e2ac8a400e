"""strongswan.conf: the options of ``charon`` that make sense for this gateway; the others are named once, as a remark.

The daemon's section is ``charon``, ``charon-systemd`` or ``fastesp``: the later of them wins, key by key. The sections
of libraries and of other programs are none of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import values as v
from .problems import ConfigurationError, Place, Problem, Problems, did_you_mean
from .syntax import parse_file
from .tree import Section, Setting, resolve
from .values import BadValueError, Kind, text_or_bytes

__all__ = ["ConfigurationError", "Daemon", "LogFile", "load_strongswan_conf"]

DAEMONS = ("charon", "charon-systemd", "fastesp")
LOG_GROUPS = frozenset(("dmn", "ike", "chd", "cfg", "knl", "net", "esp"))
"""Subsystems that this gateway's lines belong to."""
LOG_GROUPS_ELSEWHERE = frozenset(("mgr", "job", "asn", "enc", "tls", "lib", "tnc", "imc", "imv", "pts"))
"""charon's others."""
SILENT, LOUDEST = -1, 4


@dataclass(frozen=True, slots=True)
class LogFile:
    """A ``filelog`` section. ``levels`` maps subsystems to levels, -1 (silent) to 4; ``default`` is for the others."""

    path: str
    default: int = 1
    levels: Mapping[str, int] = field(default_factory=dict)
    append: bool = True
    flush_line: bool = False
    ike_name: bool = False
    log_level: bool = False
    time_format: str = ""
    time_add_ms: bool = False


@dataclass(frozen=True, slots=True)
class Daemon:
    """Options of the daemon, with strongSwan's names and defaults. Times in seconds, sizes in bytes; 0 disables."""

    retransmit_base: float = 1.8
    retransmit_timeout: float = 4.0
    retransmit_tries: int = 5
    retransmit_limit: float = 0.0
    retransmit_jitter: int = 0
    """Percent of each wait, up to which it is shortened at random."""
    half_open_timeout: float = 30.0
    cookie_threshold: int = 30
    cookie_threshold_ip: int = 3
    init_limit_half_open: int = 0
    dos_protection: bool = True
    make_before_break: bool = False
    window_size: int = 8
    """Requests that are taken from a peer at a time; an addition of this gateway."""
    quick_crash_detection: bool = True
    """RFC 6290; an addition of this gateway."""
    follow_redirects: bool = True
    multiple_authentication: bool = True
    port: int = 500
    port_nat_t: int = 4500
    keep_alive: float = 20.0
    fragment_size: int = 1280
    hash_and_url: bool = False
    install_routes: bool = True
    routing_table: int = 220
    routing_table_prio: int = 220
    workers: int = 0
    """Ours alone: pairs of threads that carry packets; 0 is one for each four cores."""
    poll: bool = False
    """Ours alone: those never sleep."""
    vici_socket: str = ""
    """``plugins.vici.socket``; empty: where swanctl looks."""
    filelog: tuple[LogFile, ...] = ()
    remarks: tuple[Problem, ...] = ()
    """What was read and does not apply, each once, and warnings."""


def _decimal(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise BadValueError(f"'{text}' is no number", "e.g. 1.8") from None
    if not 0 <= value < 1e6:
        raise BadValueError(f"'{text}' is out of range", "0 or more")
    return value


_DECIMAL = Kind("number", _decimal)
_KINDS: Mapping[type, Kind] = {bool: v.BOOLEAN, int: v.NUMBER, str: v.TEXT}
_TIMES = ("half_open_timeout", "keep_alive")
_SPECIAL = ("vici_socket", "filelog", "remarks")


def _kinds() -> dict[str, Kind]:
    """Key -> kind, out of the fields above and the types of their defaults."""
    blank = Daemon()
    found = {}
    for name in Daemon.__dataclass_fields__:
        if name in _SPECIAL:
            continue
        default = getattr(blank, name)
        found[name] = _DECIMAL if isinstance(default, float) else _KINDS[type(default)]
    return found | dict.fromkeys(_TIMES, v.TIME)


def defaults() -> dict[str, Any]:
    """Every option that is read, in dot notation below ``charon``, with its default."""
    blank = Daemon()
    found = {name: getattr(blank, name) for name in blank.__dataclass_fields__ if name not in _SPECIAL}
    log = LogFile("")
    files = {f"filelog.<name>.{name}": getattr(log, name) for name in log.__dataclass_fields__ if name != "levels"}
    return found | {"plugins.vici.socket": ""} | files | {"filelog.<name>.<subsystem>": "default"}


def load_strongswan_conf(path: Path | str) -> Daemon:
    """The daemon's options. Raises :class:`ConfigurationError` for a file that cannot be read, or a bad value in it."""
    problems = Problems()
    root = resolve(parse_file(path, problems), problems)
    reader = _Reader(problems)
    for name in DAEMONS:
        if name in root.sections:
            reader.daemon(root.sections[name])
    options = reader.options()
    return Daemon(**options, remarks=problems.done())


class _Reader:
    """Collects options over the daemon's sections."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.found: dict[str, Any] = {}
        self.logs: dict[str, LogFile] = {}
        self.kinds = _kinds()
        self.foreign: list[tuple[str, Place]] = []

    def options(self) -> dict[str, Any]:
        """Arguments of :class:`Daemon`; what does not apply becomes one remark."""
        if self.foreign:
            names = ", ".join(sorted({name for name, _ in self.foreign}))
            self.problems.inform(self.foreign[0][1], f"read, and without a meaning for this gateway: {names}")
        return self.found | {"filelog": tuple(self.logs.values())}

    def daemon(self, section: Section) -> None:
        """One of the daemon's sections."""
        for setting in section.settings.values():
            if setting.cleared:
                continue
            if setting.name in self.kinds:
                self.read(setting, self.kinds[setting.name], self.found)
            else:
                self.unknown(setting, section.name)
        for name, below in section.sections.items():
            if name == "filelog":
                for log in below.sections.values():
                    self.log(log)
            elif name == "plugins":
                self.plugins(below)
            else:
                self.foreign.append((f"{section.name}.{name}", below.at))

    def plugins(self, section: Section) -> None:
        """``plugins``: of the plugins only VICI's socket concerns us."""
        for name, below in section.sections.items():
            socket = below.settings.get("socket")
            if name == "vici" and socket is not None and not socket.cleared:
                self.socket(socket)
            others = [key for key in below.settings if not (name == "vici" and key == "socket") and key != "load"]
            self.foreign += [(f"plugins.{name}.{key}", below.settings[key].at) for key in others]

    def socket(self, setting: Setting) -> None:
        text = text_or_bytes(setting.items[0])
        scheme, colon, path = text.partition("://")
        if not colon or scheme != "unix" or not path.startswith("/"):
            hint = "write unix:///run/charon.vici"
            self.problems.add(setting.place(), f"vici.socket: '{text}' is no path of a UNIX socket", hint)
            return
        self.found["vici_socket"] = path

    def log(self, section: Section) -> None:
        """One ``filelog`` section; ``path`` overrides its name."""
        blank = LogFile("")
        options: dict[str, Any] = {"path": section.name}
        levels: dict[str, int] = {}
        for setting in section.settings.values():
            if setting.cleared:
                continue
            if setting.name in LOG_GROUPS_ELSEWHERE:
                self.foreign.append((f"filelog.{section.name}.{setting.name}", setting.at))
            elif setting.name in LOG_GROUPS or setting.name == "default":
                self.level(setting, options if setting.name == "default" else levels)
            elif setting.name in LogFile.__dataclass_fields__:
                self.read(setting, _KINDS[type(getattr(blank, setting.name))], options)
            else:
                hint = did_you_mean(setting.name, (*LOG_GROUPS, *LogFile.__dataclass_fields__))
                self.problems.add(setting.at, f"unknown key '{setting.name}' in a file log", hint)
        self.logs[section.name] = LogFile(levels=levels, **options)

    def level(self, setting: Setting, into: dict[str, Any]) -> None:
        text = text_or_bytes(setting.items[0])
        levels = {str(number): number for number in range(SILENT, LOUDEST + 1)}
        if text not in levels:
            self.problems.add(setting.place(), f"{setting.name}: '{text}' is no log level", "-1 (silent) to 4")
            return
        into[setting.name] = levels[text]

    def read(self, setting: Setting, kind: Kind, into: dict[str, Any]) -> None:
        """One typed value."""
        try:
            into[setting.name] = kind.read(text_or_bytes(setting.items[0]))
        except BadValueError as error:
            self.problems.add(setting.place(), f"{setting.name}: {error.message}", error.hint)

    def unknown(self, setting: Setting, section: str) -> None:
        """A key of charon's that means nothing here, or a misspelt one of ours: the hint is for the latter."""
        hint = did_you_mean(setting.name, self.kinds)
        close = hint and setting.name not in FOREIGN
        if close:
            self.problems.warn(setting.at, f"unknown key '{setting.name}'", hint, code="config-unknown-key")
        else:
            self.foreign.append((f"{section}.{setting.name}", setting.at))


_WORDS = """
    accept_private_algs accept_unencrypted_mainmode_messages block_threshold cache_crls cert_cache
    check_current_path cisco_flexvpn cisco_unity close_ike_on_child_failure delete_rekeyed delete_rekeyed_delay
    dh_exponent_ansi_x9_42 dlopen_use_rtld_now dns1 dns2 flush_auth_cfg
    force_eap_only_authentication group i_dont_care_about_security_and_use_aggressive_mode_psk
    ignore_acquire_ts ignore_routing_tables ikesa_limit ikesa_table_segments ikesa_table_size
    inactivity_close_ike init_limit_job_load initiator_only install_virtual_ip install_virtual_ip_on
    integrity_test interfaces_ignore interfaces_use keep_alive keep_alive_dpd_margin load load_modular
    max_ikev1_exchanges max_packet nbns1 nbns2 plugin_dir
    prefer_best_path prefer_configured_proposals prefer_temporary_addrs process_route rdn_matching receive_delay
    receive_delay_request receive_delay_response receive_delay_type replay_window reqid_base
    retry_initiate_interval reuse_ikesa rsa_pss rsa_pss_trailerfield send_delay send_delay_request
    send_delay_response send_delay_type send_vendor_id signature_authentication
    signature_authentication_constraints spi_label spi_mask spi_max spi_min start-scripts stop-scripts threads
    user vendor_id vip_wait
    """
FOREIGN = frozenset(_WORDS.split())
"""Keys of charon's that are known, so that none of them is taken for a misspelt one of ours."""
