"""The page as a reader of HTML sees it, and the run that makes it."""

from html.parser import HTMLParser

from stages.common.command_line import run_stage
from stages.summarize.__main__ import WORK

VOID = {"meta", "img", "br", "line", "link", "input"}


class Page(HTMLParser):
    """Collects elements and text; end tags must match."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join("".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def run(tree, output, *more):
    run_stage(WORK, [*tree.arguments(output), *more])
    return (output / "report.html").read_text(encoding="utf-8")
