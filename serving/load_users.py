"""`python -m serving.load_users`: put the users of a dataset into a store that serving looks them up in."""

from __future__ import annotations

import sys

from tfrec.command_line import ArgumentParser, run_command
from tfrec.errors import ArtifactError

_EXAMPLE = """\
example: python -m serving.load_users --dataset DATASET --store sqlite:users.db
         python -m serving.load_users --dataset DATASET --store redis://localhost:6379/0

Features are those of the dataset; histories too, but where the store has later events of the user. It may be in use.
"""


def main(arguments: list[str]) -> None:
    """Load; the count goes to stderr."""
    parser = ArgumentParser(prog="python -m serving.load_users", example=_EXAMPLE)
    parser.add_argument("--dataset", required=True, help="a directory of python -m transforms.run")
    parser.add_argument("--store", required=True, help="sqlite:PATH or redis://HOST:PORT/NUMBER")
    flags = parser.parse(arguments)

    from serving.users.dataset_users import DatasetUsers
    from serving.users.store import load, open_store

    users = DatasetUsers(flags.dataset)
    store = open_store(flags.store)
    try:
        count = load(store, users.schema, users)
    except store.errors as error:
        raise ArtifactError(f"{flags.store}: {' '.join(str(error).split())}; is the store running?") from None
    finally:
        store.close()
    print(f"{count:,} users of {flags.dataset} are in {flags.store}", file=sys.stderr)
    if users.left_out:
        print(f"without {', '.join(users.left_out)}: hashed tokens, which begin anew with the store", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run_command(main))
