"""From a swanctl.conf to :class:`Settings`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from . import build, semantics, shared
from .credentials import (
    FileCredentials,
    passphrases_of,
)
from .others import authorities, pools
from .problems import ConfigurationError, Problems, did_you_mean
from .reading import Values, read
from .schema import ROOT
from .settings import Settings
from .syntax import parse_file
from .tree import Section, resolve

__all__ = ["ConfigurationError", "load"]


def load(path: Path | str, directory: Path | str | None = None) -> Settings:
    """Read a swanctl.conf with all that it includes, and the directories beside it (or below ``directory``).

    Raises :class:`ConfigurationError` with every mistake of the run; then nothing of it is to be used.
    """
    problems = Problems()
    root = parse_file(path, problems)
    _check_top(root, problems)
    resolved = resolve(root, problems)
    known = {name: section for name, section in resolved.sections.items() if name in ROOT.sections}
    values = read(replace(resolved, sections=known), ROOT, problems)
    return _settings(values, Path(directory) if directory is not None else Path(path).parent, problems)


def _check_top(root: Section, problems: Problems) -> None:
    """A top-level section of another name exists to be referred to; if it is not, it is misspelt or forgotten."""
    for name in [name for name in root.sections if name not in ROOT.sections]:
        section = root.sections[name]
        if did_you_mean(name, ROOT.sections) and not _is_referenced(root, name):
            hint = did_you_mean(name, ROOT.sections)
            problems.add(section.at, f"unknown section '{name}'", hint, code="config-unknown-key")
        elif not _is_referenced(root, name):
            hint = "refer to it with ': " + name + "', or remove it"
            problems.warn(section.at, f"section '{name}' has no meaning, and no section refers to it", hint)


def _is_referenced(root: Section, name: str) -> bool:
    return any(ref.name.split(".")[0] == name for section in root.walk() for ref in section.references)


def _settings(values: Values, directory: Path, problems: Problems) -> Settings:
    secrets = values.section("secrets")
    files = FileCredentials(directory, problems, passphrases_of(secrets, problems))
    files.scan()
    found = shared.shared_secrets(secrets, problems)
    shared.check_modes(secrets, problems)
    made = build.connections(values.section("connections"), files, problems)
    known_pools = pools(values.section("pools"), problems)
    known_authorities = authorities(values.section("authorities"), files, problems)
    store = files.store()
    shared.fill(store, found)
    for authority in known_authorities:
        if authority.certificate is not None and authority.certificate not in store.anchors:
            store.add_authority(authority.certificate)
    semantics.check(made, values, found, files, bool(store.authorities()), problems)
    return Settings(
        connections=made,
        credentials=store,
        shared=found,
        keys=tuple(files.keys),
        certificates=tuple(files.certificates),
        pubkeys=tuple(files.pubkeys),
        pools=known_pools,
        authorities=known_authorities,
        warnings=problems.done(),
        directory=directory,
    )
