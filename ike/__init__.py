"""IKEv2 (RFC 7296) without sockets, threads or clocks: bytes in, bytes and events out."""
