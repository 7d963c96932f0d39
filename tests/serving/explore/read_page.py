"""A page as a browser reads it, and what the models' lists are by NumPy."""

import html.parser

import numpy as np

from tests.serving.small_dataset import ITEMS
from tests.serving.vector_recommender import scores_of


class Page(html.parser.HTMLParser):
    """The text of each table's cells, of list items and of elements with an id; links; what a browser would load."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tables, self.lists, self.by_id, self.links, self.loaded = [], [], {}, [], []
        self._open = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag == "li":
            self.lists.append("")
        if tag == "a":
            self.links.append(found["href"])
        self.loaded += [found[name] for name in ("src", "href") if name in found and tag not in ("a",)]
        if tag not in ("meta", "link", "input", "option"):
            self._open.append((tag, found.get("id")))

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        tags = [tag for tag, _ in self._open]
        if {"td", "th"} & set(tags):
            self.tables[-1][-1][-1] += data
        if "li" in tags:
            self.lists[-1] += data
        for _, name in self._open:
            if name:
                self.by_id[name] = self.by_id.get(name, "") + data


def get(app, address, **arguments):
    response = app.test_client().get(address, query_string=arguments, base_url="http://127.0.0.1:8510")
    return response.status_code, Page(response.get_data(as_text=True))


def rows(table):
    """A table's lines without its head, spaces made single."""
    return [[" ".join(cell.split()) for cell in line] for line in table[1:]]


def best(version, k, history=(), hidden=("i7",)):
    """Items with their scores, best first, by NumPy."""
    scores = scores_of(version, history)
    order = [ITEMS[i] for i in np.argsort(-scores, kind="stable") if ITEMS[i] not in hidden]
    return [(item, scores[ITEMS.index(item)]) for item in order[:k]]
