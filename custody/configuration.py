"""From TOML files to frozen settings, with every fault told at once: a person fixes a file once, not line by line.

Shared by the daemon and the signer. Values never appear in a complaint, since a secret in the wrong place is one of the
faults; what does appear is the file, the path within it and what was expected there.
"""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo

from custody.envelope.privatefile import PrivateFileError, read_private

EXIT_CONFIGURATION = 78
"""`EX_CONFIG` of sysexits.h: systemd shows it by name, and a unit can be told not to restart on it."""
MAX_FILE = 1024 * 1024
"""Bytes of one file: far above any that a person writes, far below what would hurt."""


class ConfigurationError(Exception):
    """Everything that is wrong, one line each: `file: path: message`."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Settings(BaseModel):
    """Base of every settings model: frozen, unknown keys refused, no value taken for another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return path if folder is None else Path(folder) / path


Location = Annotated[Path, AfterValidator(_beside_the_file)]
"""A path in a configuration file; a relative one is meant from the folder the file is in."""

Seconds = Annotated[float, Field(gt=0, le=86_400)]
"""A length of time: more than none, and at most a day."""

M = TypeVar("M", bound=Settings)


class Reading:
    """Reads several files that belong together and keeps what is wrong with any of them until the end."""

    __slots__ = ("problems",)

    def __init__(self) -> None:
        self.problems: list[str] = []

    def file(self, path: Path, model: type[M]) -> M | None:
        """The settings in a file, or None and its faults noted."""
        content = self.content(path)
        if content is None:
            return None
        try:
            # By way of JSON, whose strict mode takes arrays for tuples and text for paths and enums, and nothing else.
            return model.model_validate_json(msgspec.json.encode(content), context={"folder": path.absolute().parent})
        except ValidationError as exc:
            for error in exc.errors(include_url=False, include_context=False, include_input=False):
                self.complain(path, where(error["loc"]), error["msg"].removeprefix("Value error, "))
            return None

    def complain(self, path: Path, place: str, message: str) -> None:
        """Note a fault, for those that only show when several settings are seen together."""
        self.problems.append(f"{path}: {place}: {message}" if place else f"{path}: {message}")

    def end(self) -> None:
        """Raise `ConfigurationError` with all that was noted, if anything was."""
        if self.problems:
            raise ConfigurationError(tuple(self.problems))

    def content(self, path: Path) -> dict[str, object] | None:
        """The TOML of a file as it stands, or None and the fault noted."""
        try:
            with path.open("rb") as file:
                content = file.read(MAX_FILE + 1)
            if len(content) <= MAX_FILE:
                return tomllib.loads(content.decode("utf-8"))
            self.complain(path, "", f"the file has more than {MAX_FILE} bytes")
        except OSError as exc:
            self.complain(path, "", exc.strerror or "can't be read")
        except UnicodeDecodeError:
            self.complain(path, "", "the file is not UTF-8 text")
        except (tomllib.TOMLDecodeError, RecursionError) as exc:
            self.complain(path, "", f"not TOML: {exc}")
        return None


def read(path: Path, model: type[M]) -> M:
    """The settings in one file. Raises `ConfigurationError`."""
    reading = Reading()
    settings = reading.file(path, model)
    reading.end()
    assert settings is not None, "a file without faults has settings"
    return settings


def where(location: tuple[str | int, ...]) -> str:
    """A place within a file as people write it: `chains.ethereum.providers[0].url`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def secret_path(name: str, folder: Path) -> Path:
    """Where a secret named in a configuration lies: an absolute path is itself, a bare name is a systemd credential
    where there are any, else a file beside the configuration."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and "/" not in name and (found := Path(credentials) / name).exists():
        return found
    return folder / name


def read_secret(name: str, folder: Path) -> bytes:
    """A secret's content, without the line feed an editor leaves. Raises `ConfigurationError`, naming only the path."""
    path = secret_path(name, folder)
    try:
        return read_private(path).removesuffix(b"\n").removesuffix(b"\r")
    except PrivateFileError as exc:
        raise ConfigurationError((exc.message,)) from exc


def refuse(error: ConfigurationError) -> NoReturn:
    """Print every problem to standard error and end the process with the exit code for configurations."""
    for problem in error.problems:
        sys.stderr.write(f"{problem}\n")
    sys.exit(EXIT_CONFIGURATION)
