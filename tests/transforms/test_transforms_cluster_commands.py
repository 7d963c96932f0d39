"""The commands for clusters that nothing here can run: their flags at least are ones that are taken."""

import re
import shlex
from pathlib import Path

import pytest

from tfrec.errors import ConfigError
from transforms.beam_options import beam_options
from transforms.run import parser

ROOT = Path(__file__).parents[2]


def commands():
    text = (ROOT / "README.md").read_text() + (ROOT / "docs" / "cluster.md").read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("python -m transforms.run") and "--runner" in line]


@pytest.mark.parametrize("command", commands())
def test_every_flag_of_a_documented_command_is_known(command):
    _, beam_arguments = parser().parse_some(shlex.split(command.replace("$HOME", "~"))[3:])
    assert beam_arguments
    try:
        beam_options(beam_arguments)
    except ConfigError as error:  # the addresses are examples, the flags are not
        if "nothing answers" not in str(error):
            raise


def test_there_are_such_commands():
    assert len(commands()) >= 4
