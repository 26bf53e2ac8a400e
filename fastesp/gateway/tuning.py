"""strongswan.conf's options of the daemon, as far as they mean something here, on top of the command line's."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path

from fastesp.config.strongswan_conf import Daemon, load_strongswan_conf
from ike.timing import Timing

from .options import Options

DEFAULT_FILE = Path("/etc/strongswan.conf")
VARIABLE = "STRONGSWAN_CONF"
"""The variable that names another file, as strongSwan's own programs have it."""

SAME_NAME = (
    "retransmit_timeout",
    "retransmit_base",
    "retransmit_tries",
    "retransmit_limit",
    "retransmit_jitter",
    "make_before_break",
    "window_size",
    "follow_redirects",
    "multiple_authentication",
    "half_open_timeout",
    "cookie_threshold",
    "cookie_threshold_ip",
    "fragment_size",
    "hash_and_url",
)
"""Fields that :class:`ike.timing.Timing` has under the very same name."""


def settings_file(options: Options) -> Path | None:
    """The strongswan.conf to read: the option's, else the environment's, else the usual place if there is one."""
    if options.strongswan_conf is not None:
        return options.strongswan_conf
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def read_daemon(options: Options) -> Daemon:
    """What the file says, or the defaults. Raises :class:`fastesp.config.ConfigurationError`."""
    path = settings_file(options)
    return load_strongswan_conf(path) if path is not None else Daemon()


def tuned(options: Options, daemon: Daemon) -> Options:
    """The options, with strongswan.conf's word where the command line left the default."""
    blank = Options()
    wished: dict[str, object] = {
        "port": daemon.port,
        "nat_port": daemon.port_nat_t,
        "routes": daemon.install_routes,
        "routing_table": daemon.routing_table,
        "routing_priority": daemon.routing_table_prio,
        "workers": daemon.workers,
        "poll": daemon.poll,
        "keep_alive": daemon.keep_alive,
        "quick_crash_detection": daemon.quick_crash_detection,
    }
    if daemon.vici_socket:
        wished["socket"] = Path(daemon.vici_socket)
    unset = {field.name for field in fields(Options) if getattr(options, field.name) == getattr(blank, field.name)}
    return replace(options, **{name: value for name, value in wished.items() if name in unset})  # type: ignore[arg-type]


def timing_of(daemon: Daemon) -> Timing:
    """Retransmission, half-open limits and cookies as the endpoint takes them."""
    timing = replace(Timing(), **{name: getattr(daemon, name) for name in SAME_NAME})
    if daemon.init_limit_half_open:
        timing = replace(timing, half_open_limit=daemon.init_limit_half_open)
    never = timing.half_open_limit  # where requests are dropped anyway
    if not daemon.dos_protection or not daemon.cookie_threshold:
        timing = replace(timing, cookie_threshold=never)
    if not daemon.dos_protection or not daemon.cookie_threshold_ip:
        timing = replace(timing, cookie_threshold_ip=never)
    return timing
