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
