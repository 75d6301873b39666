"""LaTeX text that needs no package: escaping, and the lines that put a figure's file into a paper.

Every character becomes ASCII: Greek letters and mathematical symbols in math mode, accented letters as LaTeX's accents,
runs of superscripts and subscripts as one. A character that plain LaTeX cannot set (Chinese, emoji) becomes a question
mark.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from ncfigures.catalogue import VENUES


def format_latex_snippet(output: str, caption: str, venue: str, label: str) -> str:
    """Return the LaTeX that puts a figure's file into a paper."""
    environment = "figure*" if VENUES[venue].wide else "figure"
    include = rf"  \input{{{output}}}" if output.endswith(".pgf") else rf"  \includegraphics{{{output}}}"
    lines = [rf"\begin{{{environment}}}", r"  \centering", include]
    lines += [rf"  \caption{{{escape_latex(caption)}}}", rf"  \label{{fig:{label}}}", rf"\end{{{environment}}}"]
    return "\n".join(lines)


_TEXT = {
    **{character: "\\" + character for character in "&%$#_{}"},
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
    **{"–": "--", "—": "---", "…": r"\dots{}", "“": "``", "”": "''", "‘": "`", "’": "'", "„": ",,", "\u00a0": "~"},
    **{"ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}"},
    **{
        "ł": r"\l{}",
        "Ł": r"\L{}",
        "ı": r"\i{}",
        "§": r"\S{}",
        "¶": r"\P{}",
        "©": r"\copyright{}",
        "¡": "!`",
        "¿": "?`",
    },
    **{"\u2009": r"\,", "\u202f": r"\,", "\u200b": "", "⁄": "/", "‐": "-", "\u2011": "-"},
}
_MATH = {
    **{"−": "-", "≤": r"\leq", "≥": r"\geq", "≠": r"\neq", "·": r"\cdot", "⋅": r"\cdot", "×": r"\times", "÷": r"\div"},
    **{"°": r"^\circ", "√": r"\surd", "‖": r"\|", "†": r"^\dagger", "ᵀ": r"^\top", "⊤": r"\top", "′": "'", "″": "''"},
    **{"∈": r"\in", "∉": r"\notin", "→": r"\to", "←": r"\leftarrow", "↔": r"\leftrightarrow", "⇒": r"\Rightarrow"},
    **{"∞": r"\infty", "±": r"\pm", "∓": r"\mp", "≈": r"\approx", "≡": r"\equiv", "∼": r"\sim", "∝": r"\propto"},
    **{"≪": r"\ll", "≫": r"\gg", "∑": r"\sum", "∏": r"\prod", "∫": r"\int", "∂": r"\partial", "∇": r"\nabla"},
    **{"⊥": r"\perp", "∥": r"\parallel", "∀": r"\forall", "∃": r"\exists", "∅": r"\emptyset", "∩": r"\cap"},
    **{
        "∪": r"\cup",
        "⊂": r"\subset",
        "⊆": r"\subseteq",
        "⊕": r"\oplus",
        "⊗": r"\otimes",
        "∘": r"\circ",
        "•": r"\bullet",
    },
    **{"⟨": r"\langle", "⟩": r"\rangle", "⌊": r"\lfloor", "⌋": r"\rfloor", "⌈": r"\lceil", "⌉": r"\rceil"},
    **{"↑": r"\uparrow", "↓": r"\downarrow", "ℓ": r"\ell", "ℝ": r"\mathbf{R}", "<": "<", ">": ">", "|": "|"},
    # Precomposed letters with a circumflex that stand for unit vectors in the metrics' formulas.
    **{"ŵ": r"\hat{w}", "û": r"\hat{u}"},
    **{"ε": r"\varepsilon", "ϵ": r"\epsilon", "φ": r"\varphi", "ϕ": r"\phi", "ϑ": r"\vartheta", "ς": r"\varsigma"},
}
_GREEK_CAPITALS = {"GAMMA", "DELTA", "THETA", "LAMDA", "XI", "PI", "SIGMA", "UPSILON", "PHI", "PSI", "OMEGA"}
"""Capital letters that differ from Latin ones, so that LaTeX has a command for them."""
_LATIN_CAPITALS = {"ZETA": "Z", "ETA": "H", "RHO": "P", "CHI": "X"}
"""Capital letters that look like another letter than the first of their name."""
_MATH_ACCENTS = {"\u0304": "bar", "\u0303": "tilde", "\u0302": "hat"}
_TEXT_ACCENTS = {
    **{"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": "."},
    **{"\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0323": "d", "\u0327": "c", "\u0331": "b"},
}


@dataclass(slots=True)
class _Piece:
    """A part of the text: LaTeX in text or math mode, or a run of superscripts (`^`) or subscripts (`_`)."""

    latex: str
    mode: str
    """`text`, `math`, `^` or `_`."""

    def written(self) -> str:
        if self.mode == "text":
            return self.latex
        if self.mode == "math":
            return f"${self.latex}$"
        script = self.latex if len(self.latex) == 1 else f"{{{self.latex}}}"
        return f"${self.mode}{script}$"


def escape_latex(text: str, *, keep: str = "") -> str:
    """Return text as LaTeX in ASCII; the characters of `keep` are left as they are."""
    pieces: list[_Piece] = []
    for character in text:
        if character in keep:
            pieces.append(_Piece(character, "text"))
        elif unicodedata.combining(character) and pieces:
            pieces[-1] = _accented(pieces[-1], character)
        else:
            piece = _piece(character)
            if piece.mode in ("^", "_") and pieces and pieces[-1].mode == piece.mode:
                pieces[-1].latex += piece.latex
            else:
                pieces.append(piece)
    return "".join(piece.written() for piece in pieces)


def _piece(character: str) -> _Piece:
    if character in _TEXT:
        return _Piece(_TEXT[character], "text")
    if character in _MATH:
        return _Piece(_MATH[character], "math")
    if character.isascii():
        return _Piece(character, "text")
    greek = _greek_letter(character)
    if greek is not None:
        return _Piece(greek, "math")
    tag, *parts = unicodedata.decomposition(character).split() or [""]
    letters = "".join(chr(int(part, 16)) for part in parts).replace("−", "-")
    if tag in ("<super>", "<sub>") and letters.isascii():
        return _Piece(letters, "^" if tag == "<super>" else "_")
    if not tag.startswith("<") and tag:
        base, *accents = list(unicodedata.normalize("NFD", character))
        piece = _piece(base)
        for accent in accents:
            piece = _accented(piece, accent, in_text=True)
        return piece
    plain = unicodedata.normalize("NFKC", character)
    return _Piece("".join(map(_plain_character, plain)), "text")


def _plain_character(character: str) -> str:
    return _TEXT.get(character, character if character.isascii() else "?")


def _accented(piece: _Piece, accent: str, *, in_text: bool = False) -> _Piece:
    """Return a piece with an accent: `in_text` as LaTeX's text accents, otherwise bar, tilde and hat in math mode."""
    if accent in _MATH_ACCENTS and (not in_text or piece.mode == "math"):
        return _Piece(rf"\{_MATH_ACCENTS[accent]}{{{piece.latex}}}", "math")
    if accent in _TEXT_ACCENTS and piece.mode == "text":
        letter = rf"\{piece.latex}" if piece.latex in ("i", "j") and accent not in ("\u0323", "\u0331") else piece.latex
        return _Piece(rf"\{_TEXT_ACCENTS[accent]}{{{letter}}}", "text")
    return piece


def _greek_letter(character: str) -> str | None:
    """Return the command of a Greek letter without accents in math mode; None for any other character."""
    plain = unicodedata.normalize("NFKC", character)
    name = unicodedata.name(plain, "").split() if len(plain) == 1 else []
    if len(name) != 4 or name[0] != "GREEK" or name[2] != "LETTER":
        return None
    letter = name[3]
    command = letter.lower().replace("lamda", "lambda")
    if name[1] == "SMALL":
        return "o" if letter == "OMICRON" else f"\\{command}"
    if letter in _GREEK_CAPITALS:
        return f"\\{command.capitalize()}"
    return rf"\mathrm{{{_LATIN_CAPITALS.get(letter, letter[0])}}}"
