"""Pages of `transforms.statistics` and `transforms.validate`: whole, in one file, and text where the log has markup."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser

import pytest

from tests.transforms.two_days import NASTY, ROOT, cells, command
from transforms.compare.comparison import compare_datasets
from transforms.compare.judge import judge
from transforms.compare.limits import Limits


class Page(HTMLParser):
    """What a browser would load, the headings, and whether every element is closed."""

    VOID = {"meta", "br", "link", "img", "hr", "input"}

    def __init__(self, text):
        super().__init__()
        self.loads, self.tags, self.headings, self.text = [], Counter(), [], []
        self._open = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags[tag] += 1
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "data", "action", "srcset"):
                self.loads.append(value)
            self.loads += re.findall(r"url\(([^)]*)\)", value or "")
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        self.loads += re.findall(r"url\(([^)]*)\)|@import", data)
        if self._open and self._open[-1] == "h3":
            self.headings.append(data)


@pytest.fixture(scope="module")
def pages(days, tmp_path_factory):
    root = tmp_path_factory.mktemp("pages")
    one = command("statistics", days[0].path, "--html", root / "one.html")
    two = command("validate", days[0].path, days[1].path, "--html", root / "two.html")
    assert (one.returncode, two.returncode) == (0, 1), one.stderr + two.stderr
    return {name: (root / f"{name}.html").read_text() for name in ("one", "two")}


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_page_needs_no_other_file_and_has_every_feature(name, pages, days):
    page = Page(pages[name])
    assert page.loads
    assert all(target.startswith("#") for target in page.loads), page.loads
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert page.headings == list(days[0].schema.features)
    plotted = len(["user", "item", "device", "rare", "tags", "age", "price"])
    assert page.tags["svg"] == plotted + len(["popularity of items", "events per user"])


def test_what_the_log_says_is_text_in_the_page_and_not_markup(pages):
    page = Page(pages["one"])
    assert NASTY[:17] + "…" in [text.strip() for text in page.text]
    assert "$a$" in [text.strip() for text in page.text]


def test_new_values_in_the_verdict_are_text_too(days, tmp_path):
    done = command("validate", days[1].path, days[0].path, "--html", tmp_path / "page.html")
    assert done.returncode == 1, done.stderr
    page = Page((tmp_path / "page.html").read_text())
    assert any("2 new: " in text and NASTY in text and "$a$" in text for text in page.text)
    assert page.tags["script"] == 0


def test_the_page_of_one_dataset_shows_its_figures(pages):
    text = " ".join(" ".join(Page(pages["one"]).text).split())
    missing = sum(cell == "" for cell in cells(0, "device")) / 1500
    assert f"missing {missing:.2%}" in text
    assert "train 1,500" in text


def test_the_page_of_two_shows_the_verdict_and_both_sides(pages, days):
    text = " ".join(" ".join(Page(pages["two"]).text).split())
    exceeded = judge(compare_datasets(*days), Limits())
    assert f"{len(exceeded)} figures above the limits" in text
    assert "train A 1,500" in text
    assert "B 1,200" in text
    assert pages["two"].count('class="card exceeded"') == len(
        {item.where for item in exceeded} - {"schema", "train", "validation", "test"}
    )


def test_the_same_datasets_give_the_same_page(days, tmp_path, pages):
    command("statistics", days[0].path, "--html", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == pages["one"]


def test_statistics_of_no_dataset_is_one_line_and_exit_code_2(tmp_path):
    done = command("statistics", tmp_path, "--html", tmp_path / "page.html")
    assert done.returncode == 2
    assert re.fullmatch(r"ArtifactError: .*not a dataset.*\n", done.stderr)


def test_the_template_is_part_of_the_package(tmp_path):
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "transforms/page/page.html").read_bytes() == (ROOT / "transforms/page/page.html").read_bytes()
