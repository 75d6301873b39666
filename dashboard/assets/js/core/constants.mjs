// Constants that Python and the browser share. The server embeds them into each page (backend/api/page_constants.py).

const constants = JSON.parse(document.getElementById("page-constants").textContent);

/** @type {{id: string, label: string, description: string, shortcut: string, visible: boolean}[]} Layers of the scene. */
export const LAYERS = constants.layers;
export const DEFAULT_LAYERS = LAYERS.filter(({ visible }) => visible).map(({ id }) => id);
/** Limits by name, such as the number of classes up to which names are drawn. */
export const LIMITS = constants.limits;
/** CSS colours of the diverging scale of cosines. */
export const COLOURS = constants.colours;
/** Statuses after which a run's worker does nothing more. */
export const ENDED_STATUSES = new Set(constants.ended_statuses);
/** Types of the events that the stream sends. */
export const EVENT_TYPES = constants.event_types;
