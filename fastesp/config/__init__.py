"""swanctl.conf and strongswan.conf into typed, checked settings."""

from .load import load
from .problems import ConfigurationError, Place, Problem
from .settings import Authority, CertificateFile, KeyFile, Pool, Settings, Shared

__all__ = [
    "Authority",
    "CertificateFile",
    "ConfigurationError",
    "KeyFile",
    "Place",
    "Pool",
    "Problem",
    "Settings",
    "Shared",
    "load",
]
