// Requests to the relay, with its own words where it refuses.

const PATIENCE_MS = 20_000;

/** A request that was not done; the message is for people. */
export class Refused extends Error {
  constructor(message, status = 0, problems = []) {
    super(message);
    this.status = status;
    /** `{ key, message }` of each part of the body that is wrong. */
    this.problems = problems;
  }
}

/** Sends a request; gives its JSON, or null where the answer has none. */
export async function ask(path, { method = "GET", body, signal } = {}) {
  const signals = [AbortSignal.timeout(PATIENCE_MS), ...(signal ? [signal] : [])];
  let answer;
  try {
    answer = await fetch(path, {
      method,
      signal: AbortSignal.any(signals),
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused(`The relay does not answer (${error.message}).`);
  }
  if (answer.ok) return answer.status === 204 ? null : answer.json().catch(() => null);
  const told = await answer.json().catch(() => ({}));
  throw new Refused(inWords(answer.status, told.error, method), answer.status, told.problems ?? []);
}

function inWords(status, error, method) {
  const changes = method !== "GET";
  if (status === 401) return changes ? "Not allowed: this needs a log-in that may change things." : "Not allowed: log in.";
  if (status === 403) {
    return changes
      ? `Not allowed: changes need the right "control" (access in the configuration). The relay says: ${error ?? "forbidden"}.`
      : `Not allowed: ${error ?? "forbidden"}.`;
  }
  return error ? `${error[0].toUpperCase()}${error.slice(1)}.` : `The relay answered with status ${status}.`;
}
