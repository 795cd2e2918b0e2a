"""Texts with the values of secrets in them, and what is no such text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infisical_events.core.sync.templates import (
    TemplateError,
    check_templates,
    mistakes_of,
    names_of,
    rendered,
)
from support.builders import a_spec

CANARY = "canary-value-2b7d"

plain_names = st.text(
    st.characters(exclude_characters="{}()|\"'`", exclude_categories=["Z", "C"]), min_size=1
)
literals = st.text().filter(lambda text: "{{" not in text and not text.endswith("{"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{{ .A }}", "1"),
        ("{{.A}}{{.B}}", "12"),
        ("{{\n.A\t}}", "1"),
        ("postgres://{{ .A }}:{{ .B }}@db", "postgres://1:2@db"),
        ('{"a":{"b":"{{ .A }}"}}', '{"a":{"b":"1"}}'),
        ("{{{ .A }}}", "{1}"),
        ("}}", "}}"),
        ("{{ .a.b-c_d/é }}", "3"),
        ('{{ index . "with a blank" }}', "4"),
        ('{{ "{{" }} .A }}', "{{ .A }}"),
        ('{{ "" }}', ""),
    ],
)
def test_a_text_is_rendered(text: str, told: str) -> None:
    """Placeholders become values, and everything else stays as it is."""
    values = {"A": "1", "B": "2", "a.b-c_d/é": "3", "with a blank": "4"}

    assert rendered({"K": text}, values) == {"K": told}


@given(literals, plain_names, st.text(), literals)
def test_a_value_stands_where_its_name_stood(before: str, name: str, value: str, after: str) -> None:
    """Whatever is in a value is put in as it is, also what looks like a placeholder or an escape."""
    assert rendered({"K": f"{before}{{{{ .{name} }}}}{after}"}, {name: value}) == {
        "K": before + value + after
    }


@given(st.text().filter(lambda name: name and '"' not in name), st.text())
def test_every_name_without_a_quote_can_be_written(name: str, value: str) -> None:
    """`index` takes what the short form cannot."""
    assert rendered({"K": f'{{{{ index . "{name}" }}}}'}, {name: value}) == {"K": value}


@given(st.dictionaries(st.sampled_from("KLM"), st.text("{} .A\"'|index\n"), max_size=3), st.text())
def test_a_template_is_refused_or_rendered_whole(template: dict[str, str], value: str) -> None:
    """One without mistakes whose names have values gives a text to each of its keys, and never fails."""
    values = dict.fromkeys(names_of(template), value)
    if mistakes_of(template):
        with pytest.raises(TemplateError):
            rendered(template, values)
    else:
        assert rendered(template, values).keys() == template.keys()


@pytest.mark.parametrize(
    "text",
    [
        "{{",
        "{{ .A",
        "{{ .A }",
        "{{ A }}",
        "{{ . }}",
        "{{ .A | b64enc }}",
        "{{ .A|b64enc }}",
        "{{- .A -}}",
        "{{ if .A }}x{{ end }}",
        "{{ .A }} and {{ .B",
        "{{ {{ .A }} }}",
        '{{ index . "" }}',
        '{{ "a" "b" }}',
    ],
)
def test_what_is_no_placeholder_is_refused(text: str) -> None:
    """Braces that open nothing are a mistake, which names the key and quotes the template's own words."""
    (mistake,) = mistakes_of({"GOOD": "{{ .A }}", "URL": text})

    assert re.search(r"key URL has the invalid placeholder '\{\{.*: write \{\{ \.NAME \}\}", mistake)
    with pytest.raises(TemplateError, match="key URL"):
        rendered({"GOOD": "{{ .A }}", "URL": text}, {"A": CANARY, "B": CANARY})


def test_missing_secrets_are_named() -> None:
    """All that is missing is told at once, sorted, by the key that wants it, and no value with it."""
    template = {
        "URL": "{{ .USER }}:{{ .PASSWORD }}@{{ .HOST }}",
        "ALONE": "{{ .GONE }}",
        "GOOD": "{{ .HOST }}",
    }
    with pytest.raises(TemplateError) as refused:
        rendered(template, {"HOST": CANARY})

    assert str(refused.value) == (
        "template key ALONE refers to missing secrets: GONE; "
        "template key URL refers to missing secrets: PASSWORD, USER"
    )


def test_the_names_of_a_template() -> None:
    """Whatever is referred to, once, and no literal text."""
    template = {"K": '{{ .A }}{{ index . "b c" }}{{ "D" }}', "L": "{{ .A }}{{ .E }}"}

    assert names_of(template) == {"A", "b c", "E"}


def test_long_templates_are_read_in_no_time() -> None:
    """Nothing that a spec can hold makes reading it slow."""
    for text in ("{{ " * 5000, "{{" + " " * 16000, '{{ index . "' * 1300, '{{"' * 5000, "{{ ." + "a" * 16000):
        assert mistakes_of({"K": text})


def test_a_spec_with_a_broken_template_is_refused() -> None:
    """The sentence names the entry and the key; a spec without templates passes."""
    good = {"name": "good", "environmentSlug": "prod", "template": {"A": "{{ .A }}"}}
    check_templates(a_spec(resync={"secrets": [good]}))

    bad = good | {"name": "bad", "template": {"URL": "{{ .A"}}
    told = r"^spec\.resync\.secrets\[1\]: template key URL has the invalid placeholder '\{\{ \.A'"
    with pytest.raises(ValueError, match=told):
        check_templates(a_spec(resync={"secrets": [good, bad]}))
