"""Ids of all elements that callbacks, scripts and tests refer to."""

from __future__ import annotations

from typing import Any

URL = "url"
PAGE = "page"
PAGE_TITLE = "page-title"
DEVICE = "device"
DOCUMENTATION = "documentation"
MANTINE = "mantine"
SCHEME = "scheme"
SCHEME_TOGGLE = "scheme-toggle"
SHORTCUTS = "help"
SHORTCUTS_OPEN = "help-open"
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
EXPORT_VIEW_STATE = "export-view-state"
EXPORT_RUNS = "export-runs"
EXPORT_FIGURE = "export-figure"
EXPORT_SCOPE = "export-scope"
EXPORT_FORMAT = "export-format"
EXPORT_MODE = "export-mode"
EXPORT_PREVIEW_BOX = "export-preview-box"
EXPORT_PREVIEW = "export-preview"
EXPORT_INTERACTIVE = "export-interactive"
EXPORT_INTERACTIVE_BOX = "export-interactive-box"
EXPORT_SAVE = "export-save"
EXPORT_COMMAND = "export-command"
EXPORT_CAPTION = "export-caption"
EXPORT_WAITING = "export-waiting"
EXPORT_WAITING_TEXT = "export-waiting-text"
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
FORM_RECHECK = "new-recheck"
FORM_PRESET = "new-preset"
FORM_MORE_PRESETS = "new-more-presets"
FORM_NAME = "new-name"
FORM_LAUNCH = "new-launch"
FORM_SUMMARY = "new-summary"
FORM_MESSAGE = "new-message"
FORM_SEEDS = "new-seeds"
FORM_GRID = "new-grid"
FORM_GRID_PROBLEM = "new-grid-problem"
FORM_EQUIVALENT = "new-equivalent"
FORM_COMMAND = "new-command"
FORM_FILE = "new-file"


SYSTEM_INTERVAL = "system-interval"
SYSTEM_SUMMARY = "system-summary"
SYSTEM_MESSAGE = "system-message"
SYSTEM_DEVICES = "system-devices"
SYSTEM_QUEUE = "system-queue"
TOKENS = "tokens"
SYSTEM_AUDIT = "system-audit"
SYSTEM_LOG_OUT = "system-log-out"
DIAGNOSTICS_RUN = "diagnostics-run"
DIAGNOSTICS_RESULTS = "diagnostics-results"
STORAGE_THIN = "storage-thin"
STORAGE_CHECKPOINTS = "storage-checkpoints"
STORAGE_PREVIEW = "storage-preview"
STORAGE_PLAN = "storage-plan"
STORAGE_RESULT = "storage-result"
STORAGE_TRASH = "storage-trash"
TOKEN_NAME = "token-name"
TOKEN_SCOPE = "token-scope"
TOKEN_EXPIRY = "token-expiry"
TOKEN_CREATE = "token-create"
TOKEN_CREATED = "token-created"


def nav_link(path: str) -> str:
    """Id of the top bar's link to a page."""
    return f"nav{path.replace('/', '-')}"


def queue_move(run_id: Any, position: Any) -> dict[str, Any]:
    """Id of a button that moves a queued run `up`, `first` or `last`."""
    return {"run": run_id, "position": position}


def token_revoke(token_id: Any) -> dict[str, Any]:
    """Id of the button that revokes a token."""
    return {"token": token_id}


def storage_action(action: Any, target: Any) -> dict[str, Any]:
    """Id of a button that deletes a plan (`delete`), restores an entry of the trash, or empties the trash as listed."""
    return {"storage": action, "target": target}


COMPARE_PAGE = "compare-page"


def compare_chart(index: int) -> str:
    """Id of one of the four charts of the comparison."""
    return f"compare-chart-{index}"


def chart(index: int) -> str:
    """Id of one of the four charts of a run's page."""
    return f"chart-{index}"


def field(path: Any, kind: str) -> dict[str, Any]:
    """Id of a form field; `kind` is `value` for plain fields and `part` for those that change which fields apply."""
    return {"form": kind, "path": path}


def problem(path: Any) -> dict[str, Any]:
    """Id of the error text below a field."""
    return {"form": "problem", "path": path}


def preset(name: Any) -> dict[str, Any]:
    """Id of a preset's card."""
    return {"preset": name}
