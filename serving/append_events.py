"""`python -m serving.append_events`: put what users just did into a store that serving looks them up in."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from tfrec.command_line import ArgumentParser, run_command
from tfrec.errors import ArtifactError, DataError, TfrecError

_EXAMPLE = """\
example: echo '{"user": "42", "item": "181"}' | python -m serving.append_events --store sqlite:users.db
         tail -f events.jsonl | python -m serving.append_events --store redis://localhost:6379/0

Reads lines of JSON as they come; each event is in the history of the user's next request. Further keys: time_ms (now),
label (as the log has it), values (other features that histories consist of, such as {"device": "tv"}).
"""


def main(arguments: list[str], lines: Iterable[str] | None = None) -> None:
    """Append the events of `lines`, by default of stdin; the count goes to stderr.

    Raises:
        DataError: lines were left out, of each of which stderr has the reason.

    """
    parser = ArgumentParser(prog="python -m serving.append_events", example=_EXAMPLE)
    parser.add_argument("--store", required=True, help="sqlite:PATH or redis://HOST:PORT/NUMBER")
    flags = parser.parse(arguments)

    from serving.users.event_lines import event_of
    from serving.users.store import append, open_store

    store = open_store(flags.store)
    count = wrong = 0
    try:
        schema = store.schema()
        for number, line in enumerate(sys.stdin if lines is None else lines, start=1):
            if not line.strip():
                continue
            try:
                append(store, *event_of(line), schema)
                count += 1
            except TfrecError as error:
                wrong += 1
                print(f"line {number}: {error}", file=sys.stderr)
    except store.errors as error:
        words = " ".join(str(error).split())
        raise ArtifactError(f"{flags.store}: {words}; {count:,} events are in it; is the store running?") from None
    finally:
        store.close()
    print(f"{count:,} events are in {flags.store}", file=sys.stderr)
    if wrong:
        raise DataError(f"{wrong:,} lines were left out")


if __name__ == "__main__":
    sys.exit(run_command(main))
