"""swanctl.conf texts for two sites, each side mirroring the other."""

from __future__ import annotations

from .sites import Site

EXAMPLE = """\
connections {{ site-a-to-b {{ version = 2
  local_addrs = {local}
  remote_addrs = {remote}
  local {{ auth = pubkey
    certs = my-cert.pem
    id = "CN=site-{me}" }}
  remote {{ auth = pubkey
    id = "CN=site-{peer}" }}
  children {{ net {{ local_ts = {local_ts}
    remote_ts = {remote_ts}
    esp_proposals = aes256gcm16-prfsha384-modp3072
    start_action = trap }} }}
  proposals = aes256-sha384-modp3072 }} }}
"""


def example(me: Site, peer: Site) -> str:
    """The configuration that must run as it stands: certificates, and a trap that the first packet springs."""
    return EXAMPLE.format(
        local=me.outer, remote=peer.outer, me=me.name, peer=peer.name, local_ts=me.net, remote_ts=peer.net
    )


def configuration(
    me: Site,
    peer: Site,
    *,
    auth: str = "psk",
    secret: str = "a secret for an afternoon",
    local_id: str = "",
    remote_id: str = "",
    local_ts: str = "",
    remote_ts: str = "",
    proposals: str = "aes256gcm16-prfsha384-x25519",
    esp_proposals: str = "aes256gcm16",
    start_action: str = "none",
    connection: str = "",
    remote: str = "",
    child: str = "",
) -> str:
    """A connection ``site`` with a child ``net``. ``connection``, ``remote`` and ``child`` are further lines of those.

    The identities are ``site-a.example.org`` and ``site-b.example.org`` with ``psk``, ``CN=site-a`` and ``CN=site-b``
    with ``pubkey``.
    """
    pubkey = auth != "psk"
    local_id = local_id or (f"CN=site-{me.name}" if pubkey else f"site-{me.name}.example.org")
    remote_id = remote_id or (f"CN=site-{peer.name}" if pubkey else f"site-{peer.name}.example.org")
    text = f"""\
connections {{
  site {{
    version = 2
    local_addrs = {me.outer}
    remote_addrs = {peer.outer}
    proposals = {proposals}
    {connection}
    local {{
      auth = {auth}
      id = "{local_id}"
      {"certs = my-cert.pem" if pubkey else ""}
    }}
    remote {{
      auth = {auth}
      id = "{remote_id}"
      {remote}
    }}
    children {{
      net {{
        local_ts = {local_ts or me.net}
        remote_ts = {remote_ts or peer.net}
        esp_proposals = {esp_proposals}
        start_action = {start_action}
        {child}
      }}
    }}
  }}
}}
"""
    if pubkey:
        return text
    return text + f'secrets {{\n  ike-site {{\n    id = "{remote_id}"\n    secret = "{secret}"\n  }}\n}}\n'
