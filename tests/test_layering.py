"""Which room may import which: the table of the design, held by walking the imports."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {"tfrec", "transforms", "trainer", "serving", "examples", "benchmarks", "tests"}
MAY_IMPORT = {
    "tfrec": set(),
    "transforms": {"tfrec"},
    "trainer": {"tfrec"},
    "serving": {f"tfrec.{name}" for name in ("errors", "command_line", "schema", "codec", "config_file")},
    "examples": set(),
    "benchmarks": {"tfrec", "transforms", "trainer", "serving", "examples"},
}


def imports_of(path):
    """(line, dotted name) of every import of a file, also inside functions; `from a import b` names a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: a relative import; name the package"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def is_allowed(name, room):
    if name in {allowed.split(".")[0] for allowed in MAY_IMPORT[room]}:
        return True  # `import tfrec` runs its __init__ alone, as every import below it does
    return any(name == allowed or name.startswith(allowed + ".") for allowed in {*MAY_IMPORT[room], room})


def files_of(room):
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_the_design_allows(room):
    assert files_of(room)
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: imports {name}"
        for path in files_of(room)
        for line, name in imports_of(path)
        if name.split(".")[0] in ROOMS and not is_allowed(name, room)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_walk_finds_imports_of_all_kinds(tmp_path):
    (tmp_path / "a.py").write_text("import trainer.run as r\nfrom serving import client\ndef f():\n    import tfrec\n")
    assert set(imports_of(tmp_path / "a.py")) == {(1, "trainer.run"), (2, "serving.client"), (4, "tfrec")}
    assert not is_allowed("tfrec.models", "serving")
    assert not is_allowed("tfrec.schemas", "serving")
    assert is_allowed("tfrec.schema.feature", "serving")


def test_every_package_of_the_top_level_is_a_room():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages <= ROOMS


def run(code, *arguments):
    clean = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=clean,
    )


WITHOUT_TENSORFLOW = (
    *("tfrec", "tfrec.schema", "tfrec.config_file", "tfrec.command_line", "tfrec.metrics", "tfrec.certainty"),
    *("trainer.task", "trainer.compare", "trainer.ab_test", "trainer.off_policy", "trainer.simulate"),
    *("trainer.ablate", "trainer.user_vectors", "trainer.report.__main__", "transforms.run"),
)
IMPORT_ALL = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    assert "tensorflow" not in sys.modules, f"{name} loads TensorFlow"
"""


def test_importing_them_loads_no_tensorflow():
    done = run(IMPORT_ALL, *WITHOUT_TENSORFLOW)
    assert done.returncode == 0, done.stderr


def test_importing_the_library_and_the_trainer_starts_no_tensorflow():
    """Parameter servers set TensorFlow's threads before its first operation."""
    paths = [path.relative_to(ROOT).with_suffix("") for path in (*files_of("tfrec"), *files_of("trainer"))]
    modules = [".".join(path.parts).removesuffix(".__init__") for path in paths if path.name != "__main__"]
    script = "import importlib, sys, tensorflow as tf\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    done = run("import tfrec\n" + script + "tf.config.threading.set_inter_op_parallelism_threads(8)", *modules)
    assert done.returncode == 0, done.stderr


def test_whatever_is_imported_first_chooses_keras_2():
    done = run("import trainer.run, tensorflow as tf; print(tf.keras.Model.__module__)")
    assert done.stdout.startswith("tf_keras."), done.stderr


@pytest.mark.parametrize("first", ["import keras", "import tensorflow as tf; tf.keras.layers"])
def test_a_process_with_keras_3_gets_a_clear_error(first):
    done = run(f"{first}\nimport tfrec")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "Keras 3 is already loaded in this process" in last
    assert "import tfrec before TensorFlow" in last
