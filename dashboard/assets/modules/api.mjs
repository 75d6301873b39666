// What the pages' scripts ask of the service: JSON in, JSON out, problems as errors with the server's words.

const PREFIX = "/api/v1";

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function answered(response) {
  const held = response.headers.get("content-type")?.includes("json") ? await response.json() : null;
  if (!response.ok) throw new Problem(response.status, held?.detail ?? `the server answered ${response.status}`);
  return held;
}

/** An address with its query; what is null or empty is left out. */
export function address(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
  return `${PREFIX}${path}${text ? `?${text}` : ""}`;
}

export async function ask(path, query, { signal } = {}) {
  return answered(await fetch(address(path, query), { signal }));
}

export async function send(method, path, body) {
  const headers = { "content-type": "application/json" };
  return answered(await fetch(address(path), { method, headers, body: body === undefined ? undefined : JSON.stringify(body) }));
}
