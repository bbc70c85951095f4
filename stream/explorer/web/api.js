// Asks the worker; what cannot be answered is an Error with a sentence.

const PATIENCE_MS = 8000;

export class NotFound extends Error {}

/** JSON of `/explorer/api/NAME`. */
export async function ask(name, parameters = {}) {
  let answer;
  try {
    answer = await fetch(`/explorer/api/${name}?${new URLSearchParams(parameters)}`, {
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } catch {
    throw new Error("The worker does not answer.");
  }
  const body = await answer.json();
  if (answer.ok) return body;
  throw new (answer.status === 404 ? NotFound : Error)(`The worker says: ${body.error}.`);
}
