"""Flags that are Beam's: checked before a pipeline is built, with errors of one line."""

from __future__ import annotations

import contextlib
import io

from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions

from tfrec.errors import ConfigError, did_you_mean


def beam_options(arguments: list[str]) -> PipelineOptions:
    """Beam's options.

    Raises:
        ConfigError: a flag that neither this command nor Beam knows, or a value that Beam does not take.

    """
    options = PipelineOptions(arguments)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):  # Beam prints all its flags before what is wrong
            known = options.get_all_options(drop_default=False)
    except SystemExit:
        raise ConfigError(complaint.getvalue().strip().splitlines()[-1].partition("error: ")[2]) from None
    is_value = False  # whether this argument may belong to the flag before it
    for argument in arguments:
        flag, equals, _ = argument.partition("=")
        name = flag.lstrip("-").replace("-", "_")
        if not argument.startswith("--"):
            if not is_value:
                raise ConfigError(f"unexpected argument {argument!r}; every value belongs to a flag")
        elif name not in known and name.removeprefix("no_") not in known:
            near = did_you_mean(name, known)
            raise ConfigError(f"unknown flag {flag}{near if 'did you mean' in near else '; see --help'}")
        is_value = argument.startswith("--") and not equals
    options.view_as(SetupOptions).save_main_session = False
    return options
