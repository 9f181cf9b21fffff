/** The gateway's calls, as JSON. See docs/http.md. */

/** The page may be below a path of its host: the calls are beside it. */
const BASE = new URL("../../api/unclip.v1.UnclipService/", import.meta.url).href;

/** A method's whole address. */
export const urlOf = (method) => BASE + method;

/** What the server refused with, or why it could not be asked. */
export class ApiError extends Error {
  constructor({ code, message }) {
    super(message);
    this.code = code;
  }
}

/** Calls a method; gives every message as it comes. */
export async function* stream(method, request, signal) {
  const response = await post(method, request, signal);
  for await (const line of lines(response.body)) {
    const message = JSON.parse(line);
    if (message.error) throw new ApiError(message.error);
    yield message;
  }
}

/** Calls a method that answers once, or gives the last message of one that streams. */
export async function ask(method, request, signal) {
  let last;
  for await (const message of stream(method, request, signal)) last = message;
  return last;
}

async function post(method, request, signal) {
  const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(request), signal };
  const response = await fetch(urlOf(method), init).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ code: "UNAVAILABLE", message: "The server can't be reached. Is it still running?" });
  });
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  throw new ApiError(body?.error ?? { code: "INTERNAL", message: `The server answered with status ${response.status}.` });
}

async function* lines(body) {
  let rest = "";
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      if (error.name === "AbortError") throw error;
      throw new ApiError({ code: "UNAVAILABLE", message: "The connection to the server was lost. Try again." });
    });
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    yield* parts;
  }
  if (rest) yield rest;
}
