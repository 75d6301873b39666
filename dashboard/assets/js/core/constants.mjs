// Constants that Python and the browser share. The server embeds them into each page (backend/api/page_constants.py).

const constants = JSON.parse(document.getElementById("page-constants").textContent);

/** @type {{id: string, label: string, description: string, shortcut: string, visible: boolean}[]} Layers of the scene. */
export const LAYERS = constants.layers;
export const DEFAULT_LAYERS = LAYERS.filter(({ visible }) => visible).map(({ id }) => id);
/** @type {string[]} Views that the server can project captures to, besides the run's own one. */
export const PROJECTED_VIEWS = constants.projected_views;
/** @type {Object<string, number>} Limits by name, such as the number of classes up to which names are drawn. */
export const LIMITS = constants.limits;
/** @type {Object<string, string>} CSS colours of the diverging scale of cosines. */
export const COLOURS = constants.colours;
/** @type {{cos: number, angle: number}} Smallest half range of that scale around the ideal, by unit. */
export const MIN_COLOUR_RANGE = constants.min_colour_range;
/** @type {number} Positive values that span a larger factor have a logarithmic axis. */
export const MIN_LOG_RATIO = constants.min_log_ratio;
/** @type {{eye: number[], up: number[], zoom: number}} */
export const DEFAULT_CAMERA = Object.freeze(constants.default_camera);
/** @type {Set<string>} Statuses after which a run's worker does nothing more. */
export const ENDED_STATUSES = new Set(constants.ended_statuses);
/** @type {Object<string, string>} The status of a run after each event that changes it. */
export const STATUS_AFTER_EVENT = constants.status_after_event;
/** @type {string[]} Types of the events that the stream sends. */
export const EVENT_TYPES = constants.event_types;

/** The status of a run after an event. Events that do not change it are written by a worker, so the run is running. */
export function statusAfter(status, eventType) {
  return STATUS_AFTER_EVENT[eventType] ?? (status === "queued" ? "running" : status);
}
