"""LaTeX text: ASCII that needs no package, whatever a run or a class is called."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncengine.metrics import METRICS
from ncfigures.figure_spec import FigureSpec, SummaryTable, TableCell
from ncfigures.latex import escape_latex, format_latex_snippet
from ncfigures.render import render_figure
from ncfigures.tables import format_latex_table
from tests.ncfigures.test_figures import asked


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("β", r"$\beta$"),
        ("α = 0.9, σ², λ", r"$\alpha$ = 0.9, $\sigma$$^2$, $\lambda$"),
        ("10⁻⁵ of x₁₂", "10$^{-5}$ of x$_{12}$"),
        ("Λ Ω Α Χ", r"$\Lambda$ $\Omega$ $\mathrm{A}$ $\mathrm{X}$"),
        ("μ̂ w̄ H̃", r"$\hat{\mu}$ $\bar{w}$ $\tilde{H}$"),
        ("ά ϊ", r"$\alpha$ $\iota$"),
        ("é ñ ö Å ç ő", r"\'{e} \~{n} \"{o} \r{A} \c{c} \H{o}"),
        ("naïve", r"na\"{\i}ve"),
        ("Łódź, ß", r"\L{}\'{o}d\'{z}, \ss{}"),
        ("“a” – ‘b’", "``a'' -- `b'"),
        ("a<b|c>d", "a$<$b$|$c$>$d"),
        ("50 % of a_b & {c} #1 $x$", r"50 \% of a\_b \& \{c\} \#1 \$x\$"),
        ("手 run", "? run"),
        ("ﬁt ½", "fit 1/2"),
    ],
)
def test_text_becomes_plain_latex(text, latex):
    assert escape_latex(text) == latex


def test_letters_with_accents_that_math_has_no_text_form_for_keep_their_letter():
    assert escape_latex("ǘ") == r"\'{\"{u}}"


@given(st.text(max_size=40))
def test_any_text_is_ascii_with_paired_delimiters(text):
    latex = escape_latex(text)
    assert latex.isascii()
    bare = re.sub(r"\\[\\{}$%&#_^~|]", "", latex)
    assert bare.count("$") % 2 == 0
    assert bare.count("{") == bare.count("}")


@pytest.mark.parametrize("key", METRICS)
def test_every_metric_can_stand_in_a_caption(key):
    metric = METRICS[key]
    for text in (metric.label, metric.symbol, metric.formula, metric.source):
        latex = escape_latex(text)
        assert latex.isascii()
        assert latex.count("?") == text.count("?"), "every symbol of a formula has a form in LaTeX"
        assert latex in format_latex_snippet("a.pdf", text, "icml", "a")


def test_a_row_may_begin_with_a_bracket():
    table = SummaryTable("", ["value"], [("[a]", [TableCell(1.0)]), ("b", [TableCell(2.0)])])
    text = format_latex_table(FigureSpec([], [], "", table))
    assert "    {}[a] & 1 " in text


@pytest.mark.parametrize("format_", ["tex", "pgf"])
def test_a_run_named_in_greek_is_plain_latex(kept, format_):
    request = asked(kept, "curves", format_, ids=kept.heads)
    groups = [replace(group, label=f"β_{number} = 0.9 & 手") for number, group in enumerate(request.groups)]
    text = render_figure(replace(request, groups=groups)).decode()
    assert r"$\beta$\_1 = 0.9 \& ?" in text
    assert text.isascii()
