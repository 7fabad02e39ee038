"""From what the user wrote after `--target` to a target: model, native, mutant:NAME or the path of a profile."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

from matchmark.conformance.targets.base import Target, TargetUnavailable
from matchmark.conformance.targets.profile import Profile, ProfileError, load, variables
from matchmark.conformance.targets.profile_fix import SUITES_SPEAK
from matchmark.reports.redact import Redactor

BUILT_IN = ("model", "native", "exchange", "exchange-fsync", "exchange-full", "exchange-dpdk")
PROFILES = {name: Path(str(files("matchmark.conformance.targets"))) / f"{name}.toml" for name in BUILT_IN[2:]}
"""Built-in targets that are profiles like anyone's: the reference exchange, in each durability mode, and with Kafka."""


class UnknownTarget(Exception):
    """`--target` names nothing that can be certified."""


def open_target(spec: str, overrides: Sequence[str] = ()) -> Target:
    """The target, not yet started. UnknownTarget, ProfileError: the user's; TargetUnavailable: the target's."""
    if spec == "model":
        from matchmark.conformance.targets.model import ModelTarget

        return ModelTarget()
    if spec == "native":
        from matchmark.conformance.targets.native import NativeTarget

        return NativeTarget()
    if spec.startswith("mutant:"):
        from matchmark.conformance.selftest.mutant import mutant_target

        return mutant_target(spec.removeprefix("mutant:"))
    path = PROFILES.get(spec) or Path(spec)
    if path.suffix != ".toml":
        raise UnknownTarget(f"--target {spec}: expected {', '.join(BUILT_IN)} or the path of a profile (FILE.toml)")
    if not path.is_file():
        raise UnknownTarget(f"--target {spec}: there is no such file; `matchmark init {spec}` writes one to start from")
    return from_profile(load(path, overrides))


def capabilities_of(spec: str, overrides: Sequence[str] = ()) -> frozenset[str]:
    """What the target declares. Errors as of `open_target`; nothing is started, built or installed."""
    path = PROFILES.get(spec) or Path(spec)
    if path.suffix == ".toml" and path.is_file():
        return load(path, overrides).info.capabilities
    return open_target(spec, overrides).info.capabilities


def no_wire(spec: str, overrides: Sequence[str] = ()) -> str | None:
    """Why this machine cannot put frames on the target's port, for the level `wire`; None: it can. Errors as of `open_target`."""
    from matchmark.conformance.wire_cable import unable

    path = PROFILES.get(spec) or Path(spec)
    return unable(load(path, overrides)) if path.suffix == ".toml" else None


def in_process(spec: str) -> bool:
    """Whether each process that opens the target has one of its own that shares nothing with another's."""
    return spec in BUILT_IN and spec != "exchange-full"  # one set of brokers, which a test may kill


def redactor_for(spec: str) -> Redactor:
    """What takes the secrets of a target out of everything that a run writes."""
    named = variables(PROFILES.get(spec) or Path(spec)) if spec in PROFILES or spec.endswith(".toml") else set()
    return Redactor.from_environment(named)


def suites_speak(profile: Profile) -> None:
    """ProfileError where the target's version of FIX is one for loads alone."""
    said = profile.tables.get("order_entry", {}).get("begin_string", SUITES_SPEAK)
    if said != SUITES_SPEAK:
        raise ProfileError(
            f'{profile.path}: the suites and game days speak "{SUITES_SPEAK}", not {said!r}: `matchmark load` does'
        )


def from_profile(profile: Profile) -> Target:
    if profile.adapter == "fix":
        suites_speak(profile)
        from matchmark.conformance.targets.fix import FixTarget

        return FixTarget(profile)
    if profile.adapter == "subprocess":
        from matchmark.conformance.targets.prepare import prepared_command
        from matchmark.conformance.targets.subprocess import SubprocessTarget

        command, env = prepared_command(profile)
        return SubprocessTarget(
            profile.info, command, profile.folder, profile.answer_timeout_s, env, profile.start_timeout_s
        )
    if profile.adapter == "so":
        from matchmark.conformance.targets.so import SoTarget

        table = profile.tables["so"]
        library = profile.folder / table["library"]
        return SoTarget(profile.info, library, table["abi"], profile.answer_timeout_s, profile.start_timeout_s)
    return _from_class(profile)


def _from_class(profile: Profile) -> Target:
    module_name, _, class_name = profile.adapter.partition(":")
    if str(profile.folder) not in sys.path:
        sys.path.insert(0, str(profile.folder))  # a module beside the profile is found, as with the other adapters
    try:
        cls = getattr(importlib.import_module(module_name), class_name)
    except ImportError as error:
        raise TargetUnavailable(f"adapter {profile.adapter}: cannot import {module_name}: {error}") from None
    except AttributeError:
        raise ProfileError(f"{profile.path}: adapter {profile.adapter}: {module_name} has no {class_name}") from None
    if not (isinstance(cls, type) and issubclass(cls, Target)):
        raise ProfileError(
            f"{profile.path}: adapter {profile.adapter} must be a subclass of matchmark.conformance.targets.base.Target"
        )
    make: Callable[..., Target] = cls
    return make(profile.info, **profile.tables.get("options", {}))
