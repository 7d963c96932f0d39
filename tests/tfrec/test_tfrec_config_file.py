"""Strict configuration: what is wrong, on which line, and the nearest right key."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from tfrec.config_file import Config, load_config, parse_config
from tfrec.errors import ConfigError


class Circle(Config):
    kind: Literal["circle"] = "circle"
    radius: float = Field(1.0, gt=0)


class Square(Config):
    kind: Literal["square"] = "square"
    side: int = 2


class Pen(Config):
    width: int = Field(1, ge=1)
    colour: str = "black"


class Drawing(Config):
    title: str
    pen: Pen = Pen()
    shapes: dict[str, Annotated[Circle | Square, Field(discriminator="kind")]] = {}
    points: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _holds(self):
        if self.title == "forbidden":
            raise ValueError("this title is taken; choose another")
        return self


def error_of(text, *overrides):
    with pytest.raises(ConfigError) as caught:
        parse_config(text, Drawing, overrides, source="drawing.yaml")
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_valid_file_becomes_the_typed_object(tmp_path):
    path = tmp_path / "drawing.yaml"
    path.write_text("title: a\npen: {width: 3}\nshapes:\n  one: {kind: square, side: 4}\npoints: [1, 2]\n")
    assert load_config(path, Drawing) == Drawing(
        title="a", pen=Pen(width=3), shapes={"one": Square(side=4)}, points=(1, 2)
    )


def test_the_object_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        parse_config("title: a", Drawing).title = "b"


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read \(No such file"):
        load_config(tmp_path / "nowhere.yaml", Drawing)


def test_a_file_that_is_not_text_is_named(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"title: \xe9\xff\n")
    with pytest.raises(ConfigError, match=r"latin\.yaml"):
        load_config(tmp_path / "latin.yaml", Drawing)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("title: a\npn: {}\n", "drawing.yaml:2: unknown key 'pn'; did you mean 'pen'?"),
        (
            "title: a\npen:\n  # x\n  widht: 3\n",
            "drawing.yaml:4: unknown key 'widht' in 'pen'; did you mean 'width'?",
        ),
        ("title: a\npen:\n  zzz: 3\n", "drawing.yaml:3: unknown key 'zzz' in 'pen'; allowed: colour, width"),
        (
            "title: a\nshapes:\n  one:\n    kind: circle\n    radios: 3\n",
            "drawing.yaml:5: unknown key 'radios' in 'shapes.one'; did you mean 'radius'?",
        ),
        (
            "title: a\nshapes:\n  one: {kind: circel}\n",
            "drawing.yaml:3: shapes.one: unknown kind 'circel'; did you mean 'circle'? (allowed: circle, square)",
        ),
        ("title: a\nshapes:\n  one: {side: 1}\n", "drawing.yaml:3: shapes.one: key 'kind' is missing; add it"),
        ("titel: a\n", "drawing.yaml:1: unknown key 'titel'; did you mean 'title'? (and 1 more error)"),
        ("pen: {}\n", "drawing.yaml:1: key 'title' is missing; add it"),
        ("title: a\npen:\n  colour: red\n  colour: blue\n", "drawing.yaml:4: key 'colour' stands twice; keep one"),
        ("title: forbidden\n", "drawing.yaml:1: this title is taken; choose another"),
        ("- a\n", "drawing.yaml:1: a mapping of keys to values is needed, got list"),
        ("title: a\npoints: [1, x]\n", "drawing.yaml:2: points.1: got 'x'; input should be a valid integer"),
        ("title: a\npen: {width: 0}\n", "drawing.yaml:2: pen.width: got 0; input should be greater than or equal to 1"),
    ],
)
def test_the_error_names_line_key_and_way_out(text, expected):
    assert error_of(text).startswith(expected)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("title: [1\n", 2),
        ("title: a\n\tpen: {}\n", 2),
        ("title: a\npen: !!python/object:os.system {}\n", 2),
        ("title: a\npen: {[1, 2]: 3}\n", 2),
        ("title: a\n? {b: 1}\n: 2\n", 2),
        ("title: a\npen: *nobody\n", 2),
        ("points: [2020-13-45]\n", 1),
        ("title: a\npen: {width: \x01}\n", 2),
    ],
)
def test_what_is_not_plain_yaml_is_one_error_with_its_line(text, line):
    assert error_of(text).startswith(f"drawing.yaml:{line}: not valid YAML")


def test_an_empty_file_is_an_empty_mapping():
    assert error_of("") == "drawing.yaml:1: key 'title' is missing; add it"


def test_overrides_win_over_the_file_and_are_parsed_as_yaml():
    found = parse_config(
        "title: a\npen: {width: 3, colour: red}\n",
        Drawing,
        ["pen.width=5", "points=[1, 2]", "shapes.one={kind: square}", "title=b=c"],
    )
    assert found == Drawing(title="b=c", pen=Pen(width=5, colour="red"), points=(1, 2), shapes={"one": Square()})


def test_a_later_override_wins():
    assert parse_config("title: a", Drawing, ["title=b", "title=c"]).title == "c"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("pen.widht=3", "--set: unknown key 'widht' in 'pen'; did you mean 'width'?"),
        ("pen.width=none", "--set: pen.width: got 'none'; "),
        ("pen.width", "--set 'pen.width': expected key=value"),
        ("=3", "--set '=3': expected key=value"),
        ("points=[1", "--set 'points=[1': the value is not valid YAML"),
    ],
)
def test_a_wrong_override_is_named_as_one(override, expected):
    assert error_of("title: a\npen: {colour: red}\n", override).startswith(expected)


def test_an_error_of_the_file_keeps_its_line_beside_an_override():
    assert error_of("title: a\npen: {width: 0}\n", "pen.colour=red").startswith("drawing.yaml:2: pen.width")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("pen.widht=3", "--set: unknown key 'widht' in 'pen'; did you mean 'width'?"),
        ("pen.width=0", "--set: pen.width: got 0; input should be greater than or equal to 1"),
        ("shapes.one.kind=circel", "--set: shapes.one: unknown kind 'circel'; did you mean 'circle'?"),
        ("shapes.one={kind: circle, radius: 0}", "--set: shapes.one.radius: got 0; "),
    ],
)
def test_a_wrong_override_of_what_the_file_does_not_mention_is_named_in_full(override, expected):
    assert error_of("title: a\n", override).startswith(expected)
