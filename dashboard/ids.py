"""Every id that a callback, a script or a test uses, in one place."""

from __future__ import annotations

from typing import Any

URL = "url"
PAGE = "page"
DEVICE = "device"
MANTINE = "mantine"
SCHEME = "scheme"
SCHEME_TOGGLE = "scheme-toggle"
HELP = "help"
HELP_OPEN = "help-open"
TOAST = "toast"
TOUR = "tour"

RUN_PAGE = "run-page"
LARGE_ANGLES_GRAPH = "large-angles-graph"
LAYERS_GRAPH = "layers-graph"
CLASS_NAMES = "class-names"
ANGLES_GRAPH = "angles-graph"
RUN_ID = "run-id"
RUN_NAME = "run-name"
RUN_TAGS = "run-tags"
RUN_GROUP = "run-group"
RUN_NOTES = "run-notes"
RUN_NOTES_READ = "run-notes-read"
RUN_NOTES_SAVED = "run-notes-saved"

EXPORT_OPEN = "export-open"
EXPORT_CLOSE = "export-close"
EXPORT_MODAL = "export-modal"
EXPORT_MOMENT = "export-moment"
EXPORT_RUNS = "export-runs"
EXPORT_FIGURE = "export-figure"
EXPORT_OF = "export-of"
EXPORT_FORMAT = "export-format"
EXPORT_SHOWN = "export-shown"
EXPORT_PRINT = "export-print"
EXPORT_PREVIEW = "export-preview"
EXPORT_TWIN = "export-twin"
EXPORT_TWIN_BOX = "export-twin-box"
EXPORT_SAVE = "export-save"
EXPORT_COMMAND = "export-command"
EXPORT_CAPTION = "export-caption"
EXPORT_WAITING = "export-waiting"
EXPORT_WAITING_LINE = "export-waiting-line"
EXPORT_CANCEL = "export-cancel"
EXPORT_RETRY = "export-retry"
EXPORT_SNIPPET = "export-snippet"
EXPORT_NOTICES = "export-notices"

RUNS_PAGE = "runs-page"
RUNS_GRID = "runs-grid"
RUNS_COMPLETIONS = "runs-completions"

FORM = "new-form"
FORM_CONFIG = "new-config"
FORM_CHECKED = "new-checked"
FORM_AGAIN = "new-again"
FORM_PRESET = "new-preset"
FORM_MORE = "new-more"
FORM_NAME = "new-name"
FORM_LAUNCH = "new-launch"
FORM_SUMMARY = "new-summary"
FORM_MESSAGE = "new-message"
FORM_SEEDS = "new-seeds"
FORM_GRID = "new-grid"
FORM_GRID_PROBLEM = "new-grid-problem"
FORM_SAME = "new-same"
FORM_COMMAND = "new-command"
FORM_FILE = "new-file"


SYSTEM_TICK = "system-tick"
SYSTEM_LINE = "system-line"
SYSTEM_MESSAGE = "system-message"
SYSTEM_DEVICES = "system-devices"
SYSTEM_QUEUE = "system-queue"
SYSTEM_SHARES = "system-shares"
SYSTEM_AUDIT = "system-audit"
DOCTOR = "doctor"
DOCTOR_FOUND = "doctor-found"
STORAGE_THIN = "storage-thin"
STORAGE_CHECKPOINTS = "storage-checkpoints"
STORAGE_PREVIEW = "storage-preview"
STORAGE_PLAN = "storage-plan"
STORAGE_RESULT = "storage-result"
STORAGE_TRASH = "storage-trash"
SHARE_NAME = "share-name"
SHARE_SCOPE = "share-scope"
SHARE_MAKE = "share-make"
SHARE_MADE = "share-made"


def queue_move(run_id: Any, where: Any) -> dict[str, Any]:
    """Id of a button that moves a queued run `up`, `first` or `last`."""
    return {"run": run_id, "where": where}


def token_revoke(token_id: Any) -> dict[str, Any]:
    """Id of the button that ends a token."""
    return {"token": token_id}


def storage_action(action: Any, named: Any) -> dict[str, Any]:
    """Id of a button that will `delete` a plan, `restore` an entry of the trash, or `empty` the trash as listed."""
    return {"storage": action, "named": named}


COMPARE_PAGE = "compare-page"


def compare_chart(index: int) -> str:
    """Id of one of the four charts of the comparison."""
    return f"compare-chart-{index}"


def chart(index: int) -> str:
    """Id of one of the four charts of the live page."""
    return f"chart-{index}"


def field(path: Any, kind: str) -> dict[str, Any]:
    """Id of a form field; `kind` is `value` for plain fields and `part` for those that choose a part's kind."""
    return {"form": kind, "path": path}


def problem(path: Any) -> dict[str, Any]:
    """Id of the line under a field that says what is wrong with it."""
    return {"form": "problem", "path": path}


def preset(name: Any) -> dict[str, Any]:
    """Id of a preset's card."""
    return {"preset": name}
