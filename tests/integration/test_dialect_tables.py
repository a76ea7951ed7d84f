"""docs/internals/dialects.md says of every field what the tables of rules in the code say, and of no other."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORDS = {"PASS": "passed", "DROP": "dropped", "REFUSE": "refused", "DO": "translated"}


@pytest.mark.parametrize("source, title", [("messages.c", "Anthropic Messages: request"),
                                           ("responses.c", "OpenAI Responses: request")])
def test_every_field_stands_in_the_table(source, title):
    code = (ROOT / "gateway/domain" / source).read_text()
    rules = {key: WORDS[way] for key, way in re.findall(r'\{ "(\w+)", RETELL_(\w+), \w+ \}', code)}
    section = (ROOT / "docs/internals/dialects.md").read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    said = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", section, re.M))
    assert rules and rules == said
