"""Configuration sections (`ml_collections`) and the frozen dataclasses they become.

Defaults live in the dataclasses alone: a configuration file lists sections made by `section`,
and every constructor gets its dataclass back from `build`.
"""

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from jaxgesture.core.errors import UserError

T = TypeVar("T")


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns what to tell somebody who wrote `word`: the nearest known word, or all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(known)}"


def choose(given: str | T, presets: Mapping[str, T], of: str) -> T:
    """Returns the preset of that name; what is no name is returned as it is.

    Raises:
        UserError: there is no such preset of the model that `of` names; the nearest one is named.
    """
    if not isinstance(given, str):
        return given
    if given not in presets:
        raise UserError(f"no preset {given!r} of the {of}; {nearest(given, presets)}")
    return presets[given]


def _plain(section: Any) -> dict[str, Any]:
    """Returns a `ConfigDict` or mapping as nested plain dictionaries."""
    if hasattr(section, "to_dict"):
        section = section.to_dict()
    return {str(k): _plain(v) if _is_mapping(v) else v for k, v in section.items()}


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping) or hasattr(value, "to_dict")


def _coerce(kind: Any, value: Any, where: str) -> Any:
    """Returns `value` as the annotated type, or raises a UserError that names the key."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        rest = [arg for arg in args if arg is not type(None)]
        if len(rest) == 1:
            return _coerce(rest[0], value, where)
        return value
    if origin is typing.Literal:
        if value not in args:
            raise UserError(f"{where}={value!r} is not one of {', '.join(map(repr, args))}")
        return value
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if isinstance(value, kind):
            return value
        if not _is_mapping(value):
            raise UserError(f"{where}={value!r} must be a section of keys; see {kind.__name__}")
        return build(kind, value, name=where)
    if kind is tuple or origin is tuple:
        if not isinstance(value, list | tuple):
            raise UserError(f"{where}={value!r} must be a list, such as (1, 2)")
        if not args:
            return tuple(value)
        if args[-1] is Ellipsis:
            return tuple(_coerce(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
        if len(args) != len(value):
            raise UserError(f"{where}={value!r} must have {len(args)} entries")
        return tuple(_coerce(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(zip(args, value)))  # noqa: B905
    return _scalar(kind, value, where)


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if kind not in (bool, int, float, str):
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # 2e5 is the usual way to write a number of steps.
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"{where}={value!r} must be of type {kind.__name__}")
    return value


def build(cls: type[T], section: Any, *, name: str = "") -> T:
    """Returns the dataclass `cls` made from a configuration section.

    Keys that are missing take the dataclass's defaults. Lists become tuples, whole floats become
    ints where an int is wanted, and nested dataclasses are built from nested sections.

    Args:
        cls: a dataclass type.
        section: a `ConfigDict` or mapping.
        name: the section's name in messages; by default the class's, less "Config", lower case.

    Raises:
        UserError: for an unknown key (with the nearest known one) or a value of another type.
    """
    name = name or cls.__name__.removesuffix("Config").lower()
    values = _plain(section)
    fields = {f.name for f in dataclasses.fields(cls) if f.init}  # pyright: ignore[reportArgumentType]
    for key in values:
        if key not in fields:
            raise UserError(f"no key {name}.{key} in the configuration; {nearest(key, fields)}")
    hints = typing.get_type_hints(cls)
    arguments = {k: _coerce(hints[k], v, f"{name}.{k}") for k, v in values.items()}
    missing = [
        f.name
        for f in dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]
        if f.init
        and f.name not in arguments
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise UserError(f"the configuration lacks {name}.{missing[0]}; set it in the config file")
    return cls(**arguments)


def section(obj: Any) -> dict[str, Any]:
    """Returns a dataclass as nested plain dictionaries, to put into a `ConfigDict`."""
    return {
        f.name: section(value) if dataclasses.is_dataclass(value) else value
        for f in dataclasses.fields(obj)
        for value in (getattr(obj, f.name),)
    }


def defaults(sections: Mapping[str, type]) -> dict[str, Any]:
    """The default configuration of dataclasses by section, as nested plain dictionaries."""
    return {name: section(cls()) for name, cls in sections.items()}


def check_sections(config: Any, names: Iterable[str]) -> None:
    """Checks that a configuration has exactly the sections `names`.

    Raises:
        UserError: naming the first section that is unknown or missing.
    """
    names, found = set(names), set(config.keys())
    for key in sorted(found - names):
        raise UserError(f"no section {key!r} in the configuration; {nearest(key, names)}")
    for key in sorted(names - found):
        raise UserError(f"the configuration lacks the section {key!r}; add it to the config file")


def to_json(config: Any) -> str:
    """Returns a configuration (`ConfigDict`, mapping or dataclass) as JSON with sorted keys."""
    is_instance = dataclasses.is_dataclass(config) and not isinstance(config, type)
    plain = section(config) if is_instance else _plain(config)
    return json.dumps(plain, sort_keys=True, default=str)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns nested dictionaries as one, keys joined by "."."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = value
    return out


def differences(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    free: Iterable[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> dict[str, tuple[Any, Any]]:
    """Returns the keys in which two configurations differ, with the old and the new value.

    Args:
        old: nested dictionaries, as read from JSON.
        new: nested dictionaries.
        free: sections ("train") or keys ("data.workers") which may differ.
        defaults: values of the keys that `old` does not have, being written before there were such.
    """
    free = tuple(free)
    # Through JSON, where tuples are lists.
    before, after, unsaid = (
        flat(json.loads(json.dumps(c, default=str))) for c in (old, new, defaults or {})
    )
    before = {**unsaid, **before}
    return {
        key: (before.get(key, "(absent)"), after.get(key, "(absent)"))
        for key in sorted(before.keys() | after.keys())
        if (key not in before or key not in after or before[key] != after[key])
        and not any(key == name or key.startswith(f"{name}.") for name in free)
    }


def apply_words(text: str, presets: Iterable[str], words: Iterable[str]) -> tuple[str, list[str]]:
    """Splits what follows the colon of `--config=FILE:TEXT` into a preset and words.

    "debug,no_deviation" gives ("debug", ["no_deviation"]); an empty text gives the first preset.

    Raises:
        UserError: for an unknown preset or word, with the nearest known one.
    """
    presets, words = list(presets), list(words)
    preset, *given = [part.strip() for part in text.split(",")] if text else presets[:1]
    if preset not in presets:
        raise UserError(f"no preset {preset!r} in this config file; {nearest(preset, presets)}")
    for word in given:
        if word not in words:
            raise UserError(f"no word {word!r} in this config file; {nearest(word, words)}")
    return preset, given


def presets(
    sections: Mapping[str, type],
    presets: Mapping[str, Mapping[str, Any]],
    words: Mapping[str, Mapping[str, Any]],
) -> "typing.Callable[[str], Any]":
    """Returns the `get_config` of a configuration file.

    Args:
        sections: the dataclass behind each section.
        presets: per preset, the values that differ from the dataclasses' defaults, as
            {"section.key": value}; the first is the one used for an empty text.
        words: per word, the values it changes after the preset.

    Returns:
        A function from the text after the colon of `--config=FILE:TEXT` to a `ConfigDict`; it
        raises a UserError for an unknown preset or word.
    """

    def get_config(text: str = ""):
        import ml_collections

        preset, given = apply_words(text, presets, words)
        config = ml_collections.ConfigDict({name: section(cls()) for name, cls in sections.items()})
        for change in (presets[preset], *(words[word] for word in given)):
            config.update_from_flattened_dict(dict(change))
        return config

    return get_config
