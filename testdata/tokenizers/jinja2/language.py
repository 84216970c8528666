"""Renders the templates of language.txt by Jinja2, set up as transformers sets it up, and writes what they give.

    python3 language.py < language.txt > language.jsonl      (Jinja2 3.1)

Templates lie between lines of "----". All see the variables below.
"""
import json
import sys

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import CallBlock
from jinja2.sandbox import ImmutableSandboxedEnvironment

VARIABLES = {
    "s": "  Hello, World \n", "t": "a,b,,c", "e": "", "ue": "\u00dcber \u4f60\u597d \U0001f600 'q' \"d\" \\ \t<&>", "lines": "one\ntwo\r\n\nthree",
    "n": 7, "m": -3, "z": 0, "f": 2.5, "g": 1e20, "yes": True, "no": False, "nil": None,
    "l": [3, 1, 2], "names": ["b", "A", "c", "a"], "mixed": [1, "1", 1.0, True, None, [1], {"a": 1}],
    "d": {"b": 1, "a": [True, None, 1.5, "x'y"], "items": 5, "C": {"deep": {"er": "v"}}},
    "people": [{"name": "Ann", "age": 30, "x": {"y": 1}}, {"name": "bob", "age": 25, "x": {"y": 2}}, {"name": "Cy", "age": 30}],
}


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
environment.filters["tojson"] = tojson
environment.globals["raise_exception"] = raise_exception

print(json.dumps({"variables": VARIABLES}))
for template in sys.stdin.read().split("\n----\n"):
    result = {"template": template}
    try:
        result["want"] = environment.from_string(template).render(**VARIABLES)
    except Exception as error:
        result["error"] = f"{type(error).__name__}: {error}"
    print(json.dumps(result))
