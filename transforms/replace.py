"""A finished dataset takes the place of what stands at the output."""

from __future__ import annotations

import uuid
from pathlib import Path

from apache_beam.io.filesystems import FileSystems

from tfrec.dataset import directory
from tfrec.errors import ArtifactError
from transforms import storage


def check_output(output: str, base: str | None) -> None:
    """Refuse to replace what is no dataset, or the base: only the new events would be left.

    Raises:
        ArtifactError: `output` exists and is not a dataset, or is the base.

    """
    if base is not None and storage.absolute(base) == output:
        raise ArtifactError(f"--output {output}: is the --base, and would hold the new events alone; name another")
    if storage.exists(output) and not FileSystems.exists(storage.join(output, directory.MANIFEST)):
        is_empty_directory = Path(output).is_dir() and not any(Path(output).iterdir())
        if not is_empty_directory:
            raise ArtifactError(f"{output}: exists and is not a dataset; name another --output or remove it")


def replace(temporary: str, output: str) -> None:
    """Put the new dataset in the place of the old one; a reader never takes half of one for whole.

    Where directories can be renamed: two renames. For an instant between them there is no dataset at `output`; the old
    one comes back if the second fails.

    On an object store: the old manifest is deleted first, then the new files are copied, the new manifest last. Until
    then there is no dataset at `output`; if copying fails, the new one stays where it was written. A reader that has
    read the old manifest before may find its files gone or of other sizes and hashes than the manifest says.

    Raises:
        ArtifactError: an object store failed midway.

    """
    if not storage.has_directories(output):
        _replace_keys(temporary, output)
        return
    try:
        _replace_directory(temporary, output)
    except BaseException:
        storage.remove(temporary)
        raise


def _replace_directory(temporary: str, output: str) -> None:
    if not FileSystems.exists(output):
        FileSystems.rename([temporary], [output])
        return
    old = f"{output}.{uuid.uuid4().hex[:8]}.old"
    try:
        FileSystems.rename([output], [old])
        FileSystems.rename([temporary], [output])
        storage.remove(old)
    except BaseException:  # an interrupt may come between any two of them, or while files are removed
        if not FileSystems.exists(output):
            FileSystems.rename([old], [output])
        elif not FileSystems.exists(temporary):
            storage.remove(old)
        raise


def _replace_keys(temporary: str, output: str) -> None:
    try:
        storage.remove(storage.join(output, directory.MANIFEST))
        storage.remove(output)
        names = [name for name in storage.names_in(temporary) if name != directory.MANIFEST]
        storage.copy_files(temporary, output, names)
        storage.copy_files(temporary, output, [directory.MANIFEST])
    except Exception as error:
        why = str(error).partition("\n")[0]
        raise ArtifactError(
            f"{output}: the new dataset could not be copied there ({why}); it is whole at {temporary}: move it by hand"
        ) from error
    storage.remove(temporary)
