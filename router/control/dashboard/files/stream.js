/* The live stream: a whole document first, then once a second what has changed, and every fact of the journal.

   It is read with fetch, because EventSource opens again by itself and hides the status of a refusal. */

import { Problem, get, inPath, url } from "./api.js";

const AGAIN_MS = [500, 1000, 2000];
const READ_MS = 5000;
/** Refused for want of a place, the page reads documents; after this long it asks for a stream again. */
const PLACE_MS = 30000;
/** A stream sends something every second: after this long without a byte the connection is taken for dead. */
const DEAD_MS = 10000;
/** A tab that is hidden for this long closes its stream. */
const HIDDEN_MS = 60000;

/** RFC 7396: members of `patch` replace those of `document`, null removes one. Returns a new document. */
export function merged(document, patch) {
  const isObject = (x) => x !== null && typeof x === "object" && !Array.isArray(x);
  if (!isObject(patch)) return patch;
  const result = isObject(document) ? { ...document } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = merged(result[name], value);
  }
  return result;
}

/** The events of a stream of text: feed(text) returns those that are whole. HTML standard §9.2. */
export class Events {
  #rest = "";
  feed(text) {
    const blocks = (this.#rest + text).split("\n\n");
    this.#rest = blocks.pop();
    return blocks.map(event).filter((found) => found.data !== "");
  }
}

function event(block) {
  const found = { event: "message", data: "", id: null };
  for (const line of block.split("\n")) {
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (name in found) found[name] = value;
  }
  return found;
}

/** One stream of a service, or of all for null. `on`: document(document, at), fact(entry), link(state). */
export class Stream {
  #service;
  #on;
  #lastId;
  #failures = 0;
  #abort = null;
  #timer = null;
  #hiddenTimer = null;
  #closed = true;
  #seen = () => this.#visibility();

  constructor(service, on, lastId = null) {
    this.#service = service;
    this.#on = on;
    this.#lastId = lastId;
  }

  open() {
    document.addEventListener("visibilitychange", this.#seen);
    this.#start();
  }

  close() {
    document.removeEventListener("visibilitychange", this.#seen);
    clearTimeout(this.#hiddenTimer);
    this.#stop();
  }

  /** Try again at once. */
  again() {
    this.#stop();
    this.#start();
  }

  #start() {
    this.#closed = false;
    this.#run();
  }

  #stop() {
    this.#closed = true;
    clearTimeout(this.#timer);
    if (this.#abort) this.#abort.abort();
  }

  #visibility() {
    clearTimeout(this.#hiddenTimer);
    if (document.hidden) this.#hiddenTimer = setTimeout(() => this.#stop(), HIDDEN_MS);
    else if (this.#closed) this.#start();
  }

  async #run() {
    const abort = new AbortController();
    this.#abort = abort;
    try {
      await this.#read(abort);
      this.#later(abort, () => this.#run());
    } catch (error) {
      if (abort.signal.aborted && this.#closed) return;
      this.#failed(error, abort);
    }
  }

  #failed(error, abort) {
    if (error instanceof Problem && error.status === 401) {
      this.#closed = true;
      this.#on.link("out");
    } else if (error instanceof Problem && error.status === 404) {
      this.#closed = true;
      this.#on.link("unknown");
    } else if (error instanceof Problem && error.code === "streams_exhausted") {
      this.#documents(abort, performance.now() + PLACE_MS);
    } else {
      this.#on.link("lost");
      this.#later(abort, () => this.#run());
    }
  }

  #later(abort, what, ms = AGAIN_MS[Math.min(this.#failures++, AGAIN_MS.length - 1)]) {
    if (this.#closed || abort !== this.#abort) return;
    this.#timer = setTimeout(what, ms);
  }

  async #read(abort) {
    const headers = { Accept: "text/event-stream", ...(this.#lastId ? { "Last-Event-ID": this.#lastId } : {}) };
    const path = this.#service === null ? "v1/live" : `v1/live?service=${inPath(this.#service)}`;
    const response = await fetch(url(path), { headers, signal: abort.signal, credentials: "same-origin", redirect: "error" });
    if (!response.ok) throw new Problem(response.status, await response.json().catch(() => ({})));
    const events = new Events(),
      reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let state = { number: 0, document: null };
    while (true) {
      const dead = setTimeout(() => abort.abort(), DEAD_MS);
      const { done, value } = await reader.read().finally(() => clearTimeout(dead));
      if (done) return;
      for (const one of events.feed(value)) state = this.#take(one, state, abort);
    }
  }

  #take(one, state, abort) {
    const data = JSON.parse(one.data);
    if (one.id !== null) this.#lastId = one.id;
    if (one.event === "fact") this.#on.fact(data);
    if (one.event !== "status") return state;
    if (!data.document && data.number !== state.number + 1) {
      abort.abort(); // a difference is missing: the next stream begins with a whole document
      return state;
    }
    const document = data.document ?? merged(state.document, data.patch);
    this.#failures = 0;
    this.#on.link("live");
    this.#on.document(document, data.at);
    return { number: data.number, document };
  }

  /* Without a place among the streams the page reads whole documents. */
  async #documents(abort, untilMs) {
    this.#on.link("reading");
    try {
      const [status, explain] = await Promise.all([
        get("v1/status", abort.signal),
        this.#service === null ? null : get(`v1/services/${inPath(this.#service)}/explain`, abort.signal),
      ]);
      if (abort !== this.#abort || this.#closed) return;
      const { services, ...router } = status;
      this.#on.document(
        this.#service === null
          ? { router, services: rowsOf(services) }
          : { router, service: services[this.#service], explain },
        null,
      );
      this.#later(abort, () => (performance.now() < untilMs ? this.#documents(abort, untilMs) : this.#run()), READ_MS);
    } catch (error) {
      if (!(abort.signal.aborted && this.#closed)) this.#failed(error, abort);
    }
  }
}

/** The rows of the list, from whole documents. */
function rowsOf(services) {
  return Object.fromEntries(Object.entries(services).map(([name, found]) => [name, rowOf(found)]));
}

function rowOf(found) {
  const active = found.targets.find((one) => one.role === "active"),
    window = (active && active.windows["60s"]) || {};
  const { standby, candidate, way_back } = found,
    { level, state, line } = found.headline;
  return {
    level,
    state,
    line,
    active: found.active,
    standby,
    candidate,
    way_back,
    since: active ? active.since : null,
    requests_per_s: window.requests_per_s,
    fault_rate: window.fault_rate,
    p99_ms: window.p99_ms,
  };
}
