/* Calls of the admin API. A refusal is a Problem; a router that cannot be reached is an Unreachable. */

/** A problem document (RFC 9457): `status`, `code`, `detail` and further facts. */
export class Problem extends Error {
  constructor(status, facts) {
    super(facts.detail || `the router answered ${status}`);
    this.status = status;
    this.code = facts.code || "";
    this.facts = facts;
  }
}

/** No answer came: whether a change was made is not known. */
class Unreachable extends Error {}

/** The session of this page: `role`, `name`, `how` it is authenticated, and the token against forged requests (CSRF). */
export const session = { known: false, role: null, name: null, how: null, csrf: null };

/** The URL of a path without its leading slash: behind a proxy with a path prefix the page keeps working. */
export const url = (path) => new URL(path, document.baseURI).href;

export const inPath = encodeURIComponent;

/** Send one request; return the response's document. `options`: body, headers, signal. */
export async function call(method, path, options = {}) {
  try {
    return await send(method, path, options);
  } catch (error) {
    if (error.code !== "csrf_invalid") throw error;
    await whoAmI(); // another tab has signed in since
    return send(method, path, options);
  }
}

async function send(method, path, options) {
  const headers = { Accept: "application/json", ...options.headers };
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET" && session.csrf) headers["X-CSRF-Token"] = session.csrf;
  let response, text;
  try {
    const body = options.body === undefined ? undefined : JSON.stringify(options.body);
    response = await fetch(url(path), {
      method,
      headers,
      body,
      signal: options.signal,
      credentials: "same-origin",
      redirect: "error",
    });
    text = await response.text();
  } catch (error) {
    if (options.signal && options.signal.aborted) throw error;
    throw new Unreachable("the router could not be reached");
  }
  const found = parsed(text);
  if (!response.ok) throw new Problem(response.status, found || {});
  return found;
}

export const get = (path, signal) => call("GET", path, { signal });

function parsed(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

/** A key for one decision: the router makes the change once, however often it is sent. */
export function idempotencyKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID is missing where the page is not served over TLS
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Ask who the caller is. Throws Problem 401 if the page has to sign in. */
export async function whoAmI() {
  take(await get("v1/session"));
}

/** Sign in by a token; the browser then has a session cookie, which no script can read. */
export async function signIn(token) {
  take(await call("POST", "v1/session", { body: { token } }));
}

export async function signOut() {
  await call("DELETE", "v1/session");
  Object.assign(session, { known: false, role: null, name: null, how: null, csrf: null });
}

function take(found) {
  Object.assign(session, { known: true, role: found.role, name: found.name, how: found.how, csrf: found.csrf ?? null });
}
