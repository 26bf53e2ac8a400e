"""The settings tree against the schema: typed values with their places, and a problem for everything else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .problems import Place, Problems, did_you_mean
from .schema import CHILD, CONNECTION, LOCAL, REMOTE, Key, SectionRule
from .tree import Section, Setting
from .values import BadValueError, text_or_bytes

_KEY_LIKE = re.compile(r"[a-z_]{1,20}")


@dataclass(frozen=True, slots=True)
class Item:
    """One value of a key: what it means, what was written (empty for secrets and files), and where."""

    value: Any = field(repr=False)
    text: str
    at: Place


@dataclass(slots=True)
class Values:
    """A section after reading: only keys of the schema, only values of their kinds. Names are the schema's."""

    name: str
    at: Place
    keys: dict[str, tuple[Place, list[Item]]] = field(default_factory=dict)
    sections: dict[str, Values] = field(default_factory=dict)

    def __contains__(self, key: str) -> bool:
        return key in self.keys

    def items(self, key: str) -> list[Item]:
        """The values of a key, none where it is not written."""
        return self.keys[key][1] if key in self.keys else []

    def all(self, key: str) -> tuple[Any, ...]:
        """The values of a list, without their places."""
        return tuple(item.value for item in self.items(key))

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or ``default`` where it is not written."""
        items = self.items(key)
        return items[0].value if items else default

    def place(self, key: str) -> Place:
        """Where a key stands; the section where it does not."""
        return self.keys[key][0] if key in self.keys else self.at

    def below(self, prefix: str) -> Iterator[Values]:
        """Sub-sections whose names begin with ``prefix``."""
        return (section for name, section in self.sections.items() if name.lower().startswith(prefix))

    def section(self, name: str) -> Values:
        """A sub-section, an empty one where it is not written."""
        return self.sections.get(name) or Values(name, self.at)


def read(section: Section, rule: SectionRule, problems: Problems) -> Values:
    """``section`` as ``rule`` has it. Every key and section that the rule does not know is an error."""
    out = Values(section.name, section.at)
    if rule.refused:
        problems.add(section.at, f"'{section.name}' is refused: {rule.refused}", "remove it", code="config-refused")
        return out
    for setting in section.settings.values():
        key = _key_for(setting.name, rule)
        if key is None:
            _unknown_key(setting, rule, problems)
        elif not setting.cleared:
            items = list(_items(setting, key, problems))
            out.keys[setting.name.lower()] = (setting.at, items)
    for name, below in section.sections.items():
        known = _section_for(name, rule)
        if known is None:
            _unknown_section(below, rule, problems)
        else:
            out.sections[name] = read(below, known, problems)
    return out


def _key_for(name: str, rule: SectionRule) -> Key | None:
    folded = name.lower()
    for key in rule.keys:
        if folded == key.name or (key.prefix and folded.startswith(key.name)):
            return key
    return rule.other_key if rule.other_key is not None and name.isdigit() else None


def _section_for(name: str, rule: SectionRule) -> SectionRule | None:
    folded = name.lower()
    if folded in rule.sections:
        return rule.sections[folded]
    if _key_for(name, rule) is not None:
        return None
    prefixes = [prefix for prefix in rule.sections if prefix.endswith("*") and folded.startswith(prefix[:-1])]
    return rule.sections[max(prefixes, key=len)] if prefixes else None


def _unknown_key(setting: Setting, rule: SectionRule, problems: Problems) -> None:
    names = [key.name for key in rule.keys]
    folded = setting.name.lower()
    if folded in {name.rstrip("*") for name in rule.sections} and folded + "s" not in names:
        hint = f"write '{setting.name} {{ ... }}'"
        problems.add(setting.at, f"'{setting.name}' is a section, not a key", hint, code="config-unknown-key")
        return
    hint = did_you_mean(setting.name, names)
    if not hint and not names:
        hint = "only sections stand here"
    hint = hint or _belongs(setting.name)
    problems.add(setting.at, f"unknown key {_shown(setting.name, rule, hint)}", hint, code="config-unknown-key")


def _unknown_section(section: Section, rule: SectionRule, problems: Problems) -> None:
    if _key_for(section.name, rule) is not None:
        hint = f"write '{section.name} = ...'"
        problems.add(section.at, f"'{section.name}' is a key, not a section", hint, code="config-unknown-key")
        return
    names = [name.rstrip("*") for name in rule.sections]
    hint = did_you_mean(section.name, names) or _belongs(section.name)
    shown = _shown(section.name, rule, hint)
    if not hint:
        hint = "no section stands here" if not names else "one of " + ", ".join(names)
    problems.add(section.at, f"unknown section {shown}", hint, code="config-unknown-key")


def _shown(name: str, rule: SectionRule, hint: str) -> str:
    """A name that nobody knows. Where secrets stand it may be one, such as Base64 that ends in ``=``."""
    if not hint and any(key.kind.secret for key in rule.keys) and not _KEY_LIKE.fullmatch(name):
        return f"of {len(name)} characters, not shown because it may be a secret"
    return f"'{name}'"


def _belongs(name: str) -> str:
    """Where a key or section that stands in the wrong place has its own."""
    homes = (("a connection", CONNECTION), ("a child", CHILD), ("a local section", LOCAL), ("a remote section", REMOTE))
    found = [
        home
        for home, rule in homes
        if any(key.name == name.lower() for key in rule.keys) or name.lower() in rule.sections
    ]
    return "it belongs into " + " or ".join(found) if found else ""


def _items(setting: Setting, key: Key, problems: Problems) -> Iterator[Item]:
    """The typed values of a setting; each bad one is a problem of its own."""
    if "*" in key.refused:
        message = f"'{setting.name}' is refused: {key.refused['*']}"
        problems.add(setting.at, message, "remove the line", code="config-refused")
        return
    for text, at in _texts(setting, key, problems):
        if key.kind.blob and isinstance(text, bytes):
            yield Item(text, "", at)
            continue
        try:
            written = text_or_bytes(text)
            value = key.kind.read(written)
        except BadValueError as error:
            problems.add(at, f"{setting.name}: {error.message}", error.hint, code="config-value")
            continue
        word = "yes" if value is True else "no" if value is False else str(value)
        why = "" if key.kind.secret else key.refused.get(word) or key.refused.get(word.partition(":")[0], "")
        if why:
            message = f"'{setting.name} = {written}' is refused: {why}"
            problems.add(
                at, message, f"remove the line, or write {setting.name} = {key.default}", code="config-refused"
            )
            continue
        if key.fixed and value != key.kind.read(key.default):
            message = f"'{setting.name} = {written}' is refused: {key.fixed}"
            problems.add(at, message, "remove the line", code="config-refused")
            continue
        yield Item(value, "" if key.kind.secret else written, at)


def _texts(setting: Setting, key: Key, problems: Problems) -> Iterator[tuple[str | bytes, Place]]:
    """The single values: a file's text is cut at commas, a VICI list is cut already."""
    if setting.listed:
        if not key.many and len(setting.items) != 1:
            problems.add(
                setting.at, f"{setting.name}: one value, not a list", "send a single value", code="config-value"
            )
            return
        for number, item in enumerate(setting.items):
            at = Place(f"{setting.at.file}[{number}]") if len(setting.items) > 1 else setting.at
            yield item, at
        return
    whole = setting.items[0]
    if not key.many or (key.kind.blob and isinstance(whole, bytes)):
        yield whole, setting.place()
        return
    offset = 0
    for part in _whole_text(whole).split(","):
        text = part.strip()
        at = setting.place(offset + len(part) - len(part.lstrip()))
        offset += len(part) + 1
        if text:
            yield text, at


def _whole_text(item: str | bytes) -> str:
    """The text of a list that arrived in one piece; what is not UTF-8 is replaced, and then refused by its reader."""
    return item if isinstance(item, str) else item.decode("utf-8", "replace")
