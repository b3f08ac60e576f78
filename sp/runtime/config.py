"""The configuration: one TOML file per SP, overridden by the environment, read once into frozen dataclasses.

A table of the file is a section; each section belongs to one frozen dataclass whose fields are its keys, whose names
carry the units and whose defaults are the defaults. `SP_<SECTION>__<KEY>=text` in the environment takes precedence
(a list is written with commas). Whatever is not understood is a ConfigError that says where it stands: an unknown
section or key, a value of another type, a table within a section.

Field types: int, float, bool, str, Path (made absolute), an Enum of strings, Literal strings, tuple[one of these, ...],
and `X | None`. Relative paths are relative to `[sp] dir`, by default the file's folder. Secrets are never here, only
the paths of files that hold them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, TypeVar, cast, get_type_hints

from sp.domain.errors import ConfigError
from sp.runtime.addresses import checked_address, only_this_host
from sp.runtime.config_values import EnvironmentText, converted, toml_literal

T = TypeVar("T")

ENVIRONMENT_KEY: Final = re.compile(r"SP_([A-Z0-9_]+?)__([A-Z0-9_]+)")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A read file: tables of raw values, not yet checked against any section's dataclass.

    path: the file, for messages
    dir:  absolute; relative paths in the configuration are relative to it
    """

    path: Path
    dir: Path
    tables: Mapping[str, Mapping[str, object]]

    @classmethod
    def from_mapping(
        cls, mapping: Mapping[str, Mapping[str, object]], dir: Path, path: Path | None = None
    ) -> ConfigFile:
        """`dir`: where the file would lie; a `[sp] dir` in the mapping is relative to it."""
        sections = {name: MappingProxyType(dict(table)) for name, table in mapping.items()}
        below = mapping["sp"].get("dir", "") if "sp" in mapping else ""
        if not isinstance(below, str):
            raise ConfigError("[sp] dir", "must be a string")
        return cls(path or dir / "sp.toml", (dir / below).absolute(), MappingProxyType(sections))

    def sections(self) -> list[str]:
        """Names of the sections that the file or the environment mentions."""
        return sorted(self.tables)

    def section(self, name: str, kind: type[T]) -> T:
        """The section as this frozen dataclass. ConfigError: unknown key, wrong type, missing, or refused by it."""
        assert is_dataclass(kind)
        table = self.tables.get(name, {})
        hints = _types_of(kind)
        known = {field.name: field for field in fields(kind)}
        for key in table:
            if key not in known:
                raise ConfigError(self._where(name, key), f"unknown key; known are: {', '.join(sorted(known))}")
        values: dict[str, object] = {}
        for key, field in known.items():
            if key in table:
                values[key] = converted(table[key], hints[key], self._where(name, key), self.dir)
            elif field.default is MISSING and field.default_factory is MISSING:
                raise ConfigError(self._where(name, key), "missing, and has no default")
            elif isinstance(field.default, Path):
                values[key] = self.path_of(str(field.default))
        try:
            return cast(T, kind(**values))
        except ValueError as error:
            raise ConfigError(f"{self.path} [{name}]", str(error)) from error

    def path_of(self, relative: str) -> Path:
        """Absolute: below the base directory, unless it is absolute already."""
        return self.dir / relative

    def _where(self, section: str, key: str) -> str:
        if isinstance(self.tables.get(section, {}).get(key), EnvironmentText):
            return f"environment {environment_name(section, key)}"
        return f"{self.path} [{section}] {key}"


@cache
def _types_of(kind: type[Any]) -> dict[str, Any]:
    """Of its fields. Python evaluates their texts anew each time, and a simulated provider starts often."""
    return get_type_hints(kind)


def environment_name(section: str, key: str) -> str:
    return f"SP_{section.upper()}__{key.upper()}"


def load(path: Path, environ: Mapping[str, str]) -> ConfigFile:
    """Read the file and lay the environment over it. ConfigError when it cannot be read or is not TOML."""
    try:
        parsed = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(str(path), error.strerror or type(error).__name__) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), str(error)) from error
    tables: dict[str, dict[str, object]] = {}
    for name, table in parsed.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{path} {name}", "a key outside any [section]")
        tables[name] = table
    for variable, text in environ.items():
        if match := ENVIRONMENT_KEY.fullmatch(variable):
            tables.setdefault(match[1].lower(), {})[match[2].lower()] = EnvironmentText(text)
    return ConfigFile.from_mapping(tables, path.absolute().parent, path)


def check_unknown_sections(file: ConfigFile, known: Iterable[str]) -> None:
    """ConfigError for a section that belongs to nobody: most often a misspelt name."""
    names = sorted(known)
    for section in file.sections():
        if section not in names:
            raise ConfigError(f"{file.path} [{section}]", f"unknown section; known are: {', '.join(names)}")


def dump(file: ConfigFile, kinds: Mapping[str, type]) -> str:
    """The effective configuration as TOML, every default written out. ConfigError as `section` and unknown sections.

    Passwords inside URLs are shown as ***: everything else reads back as it is.
    """
    check_unknown_sections(file, kinds)
    return "\n".join(_dumped_section(name, file.section(name, kind)) for name, kind in kinds.items())


def _dumped_section(name: str, section: Any) -> str:
    lines = [f"[{name}]"]
    for field in fields(section):
        value = getattr(section, field.name)
        lines.append(f"# {field.name} =" if value is None else f"{field.name} = {toml_literal(value)}")
    return "\n".join(lines) + "\n"


# --- sections that every process reads ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpConfig:
    """[sp]. operator_address: the SP's account on chain, "" for a process that needs none.

    cpu_threads: that hash, code and read and write files
    background_threads: of these, for replication and upkeep at the same time at most; 0: all but one
    """

    name: str = "sp"
    operator_address: str = ""
    dir: str = ""
    cpu_threads: int = 4
    background_threads: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.cpu_threads <= 256:
            raise ConfigError("[sp] cpu_threads", "must be 1..256")
        if not 0 <= self.background_threads <= self.cpu_threads:
            raise ConfigError("[sp] background_threads", "must be 0..cpu_threads")


@dataclass(frozen=True, slots=True)
class LogConfig:
    """[log]"""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


@dataclass(frozen=True, slots=True)
class SpDbConfig:
    """[spdb]. url: "sqlite:///spdb.sqlite" (relative to the base directory) or "postgresql://..."."""

    url: str = "sqlite:///spdb.sqlite"


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """[endpoint]. Where each service's internal gRPC listens and is dialled: "unix:path" or "host:port"."""

    gateway: str = "unix:run/gateway.sock"
    uploader: str = "unix:run/uploader.sock"
    downloader: str = "unix:run/downloader.sock"
    tasknode: str = "unix:run/tasknode.sock"
    signer: str = "unix:run/signer.sock"
    p2p: str = "unix:run/p2p.sock"
    receiver: str = "unix:run/receiver.sock"


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """[tls]. PEM files for mutual TLS on internal TCP endpoints; all empty: plain. Unix sockets never use it."""

    ca: str = ""
    certificate: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        given = [bool(self.ca), bool(self.certificate), bool(self.key)]
        if any(given) and not all(given):
            raise ConfigError("[tls]", "ca, certificate and key: give all three or none")

    @property
    def enabled(self) -> bool:
        return bool(self.ca)


@dataclass(frozen=True, slots=True)
class MonitorConfig:
    """[monitor]. address: "host:port" of /metrics, /healthz, /readyz and /version over HTTP; "" is off."""

    address: str = ""


COMMON_SECTIONS: Final[Mapping[str, type]] = MappingProxyType(
    {
        "sp": SpConfig,
        "log": LogConfig,
        "spdb": SpDbConfig,
        "endpoint": EndpointConfig,
        "tls": TlsConfig,
        "monitor": MonitorConfig,
    }
)


@dataclass(frozen=True, slots=True)
class CommonConfig:
    """The sections that every process reads. Paths in `endpoint` and `tls` are absolute here."""

    sp: SpConfig
    log: LogConfig
    spdb: SpDbConfig
    endpoint: EndpointConfig
    tls: TlsConfig
    monitor: MonitorConfig


def common(file: ConfigFile) -> CommonConfig:
    """ConfigError, also for an internal endpoint that other hosts reach without mutual TLS: whoever calls there is
    taken for one of this SP's own services."""
    endpoint = file.section("endpoint", EndpointConfig)
    tls = file.section("tls", TlsConfig)
    for service in fields(endpoint):
        address = getattr(endpoint, service.name)
        if not (tls.enabled or only_this_host(address)):
            reason = f"{address} can be reached from other hosts: use a unix socket, loopback or [tls]"
            raise ConfigError(f"[endpoint] {service.name}", reason)
    return CommonConfig(
        sp=file.section("sp", SpConfig),
        log=file.section("log", LogConfig),
        spdb=file.section("spdb", SpDbConfig),
        endpoint=replace(
            endpoint, **{f.name: listen_address(file, getattr(endpoint, f.name)) for f in fields(endpoint)}
        ),
        tls=replace(tls, **{f.name: str(file.path_of(getattr(tls, f.name))) for f in fields(tls)}) if tls.ca else tls,
        monitor=file.section("monitor", MonitorConfig),
    )


def listen_address(file: ConfigFile, text: str) -> str:
    """An address as `rpc.serving` and `rpc.dial` take it: the path of "unix:run/x.sock" made absolute. ConfigError."""
    if text.startswith("unix:"):
        text = f"unix:{file.path_of(text.removeprefix('unix:'))}"
    return checked_address(text)
