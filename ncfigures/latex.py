"""LaTeX text: escaping, and the lines that put a figure's file into a paper."""

from __future__ import annotations

from ncfigures.catalogue import VENUES


def latex_snippet(output: str, caption: str, venue: str, label: str) -> str:
    """Return the LaTeX that puts a figure's file into a paper."""
    environment = "figure*" if VENUES[venue].wide else "figure"
    include = rf"  \input{{{output}}}" if output.endswith(".pgf") else rf"  \includegraphics{{{output}}}"
    lines = [rf"\begin{{{environment}}}", r"  \centering", include]
    lines += [rf"  \caption{{{escape_latex(caption)}}}", rf"  \label{{fig:{label}}}", rf"\end{{{environment}}}"]
    return "\n".join(lines)


_LATEX = {
    **{character: "\\" + character for character in "&%$#_{}"},
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
    **{"−": "$-$", "–": "--", "—": "---", "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$", "·": r"$\cdot$"},
    **{"°": r"$^\circ$", "√": r"$\surd$", "‖": r"$\|$", "†": r"$^\dagger$", "²": "$^2$", "ᵀ": r"$^\top$"},
    **{"Σ": r"$\Sigma$", "μ": r"$\mu$", "σ": r"$\sigma$", "λ": r"$\lambda$", "δ": r"$\delta$", "τ": r"$\tau$"},
    **{"∈": r"$\in$", "→": r"$\to$", "×": r"$\times$", "∞": r"$\infty$", "±": r"$\pm$", "₃₂": "$_{32}$"},
    **{"ŵ": r"$\hat{w}$", "û": r"$\hat{u}$", "…": r"\dots{}"},
}


_ACCENTS = {"\u0304": "bar", "\u0303": "tilde", "\u0302": "hat"}


def escape_latex(text: str) -> str:
    """Return text as LaTeX writes it."""
    written: list[str] = []
    for character in text:
        if character in _ACCENTS and written:
            written[-1] = rf"$\{_ACCENTS[character]}{{{written[-1]}}}$"
        else:
            written.append(_LATEX.get(character, character))
    return "".join(written)
