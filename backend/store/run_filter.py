"""The filter language for runs: its fields and the SQL conditions of a filter.

    head:nearest-etf dataset:digits nc1<0.05          all of these
    test.top1>=0.9 optimiser.lr=0.1 -tag:broken       metrics by split, any setting of the config, `-` for not
    status:failed created>2026-03-01 "two words"      statuses, dates, words of the name, the tags or the config

`FIELDS` and `find_field` are the one list of fields: filters, sorting, grouping and the help text use them.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import orjson
import sqlalchemy as sa

from backend.store.errors import Invalid, did_you_mean
from backend.store.models import run
from backend.store.run_status import STATUSES
from backend.store.runs import HEADLINE
from backend.store.validation import setting_names
from ncengine.config import RunConfig
from ncengine.metrics import METRICS

Column = sa.ColumnElement[Any]
TERM = re.compile(r'(?P<no>-?)(?P<field>[A-Za-z_][\w.]*)(?P<sign>!=|<=|>=|[:=<>])(?P<value>"[^"]*"|\S*)|"[^"]+"|\S+')
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    ":": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
NON_FINITE = ("NaN", "Infinity", "-Infinity")
"""How a metric that is no finite number is stored; it matches no comparison and sorts last."""


class FilterField(NamedTuple):
    """A field of the filter language: how its values are compared, and the column or JSON value that holds them."""

    kind: Literal["text", "status", "tag", "date", "number", "metric", "setting"]
    column: Column
    note: str = ""
    """What the help text adds to the name, such as a unit."""


def _component(part: str) -> FilterField:
    return FilterField("text", run.c.config[part, "name"].as_string())


FIELDS: dict[str, FilterField] = {
    "id": FilterField("text", run.c.id),
    "name": FilterField("text", run.c.name),
    "group": FilterField("text", run.c.group),
    "tag": FilterField("tag", run.c.tags),
    "status": FilterField("status", run.c.status),
    "head": _component("head"),
    "data": _component("data"),
    "dataset": _component("data"),
    "backbone": _component("backbone"),
    "optimiser": _component("optimiser"),
    "created": FilterField("date", run.c.created_at),
    "started": FilterField("date", run.c.started_at),
    "ended": FilterField("date", run.c.ended_at),
    "epoch": FilterField("number", run.c.epoch),
    "priority": FilterField("number", run.c.priority),
    "duration": FilterField("number", run.c.running_s, "seconds"),
}
"""By name; metrics (`nc1`, `test.top1`) and settings (`optimiser.lr`) are fields too, see `find_field`."""
HELP = (
    "write words, FIELD:VALUE or FIELD<VALUE with "
    + ", ".join(f"{name} ({field.note})" if field.note else name for name, field in FIELDS.items())
    + ", a metric (nc1, test.top1) or a setting (optimiser.lr)"
)


def find_field(name: str) -> FilterField | None:
    """Return a field of the filter language, or None where there is none of that name."""
    if name in FIELDS:
        return FIELDS[name]
    split, _, key = name.rpartition(".")
    if key in METRICS and split in ("", "train", "test"):
        split = split or "train"
        if key in HEADLINE:
            return FilterField("metric", run.c.headline[f"{split}.{key}"].as_string())
        return FilterField("metric", run.c.summary[split, key].as_string())
    if name.partition(".")[0] in RunConfig.model_fields:
        return FilterField("setting", run.c.config[tuple(name.split("."))].as_string())
    return None


def field_names() -> list[str]:
    """Return the names of all fields, for suggestions."""
    return [*FIELDS, *METRICS, *setting_names()]


def require_metric(key: str) -> None:
    """Raise Invalid, with a suggestion, where no metric has this key."""
    if key not in METRICS:
        suggestion = did_you_mean(key, METRICS)
        raise Invalid(f"there is no metric {key!r}{suggestion}; `nc.catalogue()` and GET /api/v1/metrics list them")


def field_column(name: str) -> Column | None:
    """Return what to sort or group runs by; None where no field has that name, or it holds several values (tag)."""
    field = find_field(name)
    if field is None or field.kind == "tag":
        return None
    if field.kind == "metric":
        return sa.case((field.column.in_(NON_FINITE), None), else_=sa.cast(field.column, sa.Float))
    return field.column


def parse_filter(q: str) -> list[Column]:
    """Return the conditions of a filter, all of which must hold; raises Invalid for an unknown field or wrong value."""
    conditions = []
    for term in TERM.finditer(q):
        if term["field"] is None:
            conditions.append(_contains_word(term.group().strip('"')))
            continue
        field = find_field(term["field"])
        if field is None:
            hint = did_you_mean(term["field"], field_names())
            raise Invalid(f"there is no field {term['field']!r} to filter by{hint}; quote text to search for; {HELP}")
        condition = _condition(term["field"], field, term["sign"], term["value"].strip('"'))
        conditions.append(sa.not_(sa.func.coalesce(condition, sa.false())) if term["no"] else condition)
    return conditions


def _contains_word(word: str) -> Column:
    text = run.c.name + " " + sa.cast(run.c.tags, sa.Text) + " " + sa.cast(run.c.config, sa.Text)
    return sa.func.lower(text).contains(word.lower(), autoescape=True)


def _condition(name: str, field: FilterField, sign: str, value: str) -> Column:
    compared: Any = field.column
    parsed: str | float = value
    if field.kind == "tag":
        return sa.cast(run.c.tags, sa.Text).contains(orjson.dumps(value).decode(), autoescape=True)
    if name == "name" and sign == ":":
        return sa.func.lower(run.c.name).contains(value.lower(), autoescape=True)
    if name == "loss" and sign == ":":
        compared = run.c.config["loss", "name"].as_string()
    elif field.kind == "status" and value not in STATUSES:
        raise Invalid(f"status must be one of {', '.join(STATUSES)}, got {value!r}")
    elif field.kind == "date" and not re.match(r"\d{4}(-\d{2}){0,2}", value):
        raise Invalid(f"{name} is compared with a date such as 2026-03-01, got {value!r}")
    elif field.kind in ("number", "metric"):
        parsed = _number(name, value)
    elif field.kind == "setting" and (number := _float_or_none(value)) is not None:
        compared, parsed = sa.cast(field.column, sa.Float), number
    if field.kind == "metric" and not isinstance(parsed, str):
        finite: Column = COMPARISONS[sign](sa.cast(field.column, sa.Float), parsed)
        return sa.and_(field.column.not_in(NON_FINITE), finite)
    condition: Column = COMPARISONS[sign](compared, parsed)
    return condition


def _float_or_none(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _number(name: str, value: str) -> float:
    number = _float_or_none(value)
    if number is None:
        raise Invalid(f"{name} is compared with a number, got {value!r}; {HELP}")
    return number
