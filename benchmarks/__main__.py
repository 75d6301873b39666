"""`python -m benchmarks [NAME …]`: run benchmarks, print their figures, write benchmarks/results/."""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks import busy, digits, figures, head, live, metrics, page, service, store, training
from benchmarks.report import Figure, machine, write

BENCHMARKS: dict[str, Callable[[], list[Figure]]] = {
    "head": head.measure,
    "training": training.measure,
    "metrics": metrics.measure,
    "digits": digits.measure,
    "service": service.measure,
    "live": live.measure,
    "busy": busy.measure,
    "page": page.measure,
    "soak": page.measure_soak,
    "figures": figures.measure,
    "store": store.measure,
    "day": store.measure_day,
}


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all; return 1 where a figure misses its bound."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    print(machine())
    missed = 0
    for name in names or BENCHMARKS:
        print(f"\n{name} …", flush=True)
        found = BENCHMARKS[name]()
        for figure in found:
            mark = "" if not figure.bound else "  holds" if figure.holds else "  MISSED"
            note = f"  ({figure.note})" if figure.note else ""
            print(f"  {figure.value:9.3g} {figure.unit:3} {figure.bound:8}{mark:8} {figure.what}{note}", flush=True)
            missed += not figure.holds
        write(name, found)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
