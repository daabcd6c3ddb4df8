/* The dialogs: all verbs, and the confirmation of one of them. */

import { Problem, call, idempotencyKey, session } from "./api.js";
import { h, patch } from "./dom.js";
import { clock } from "./format.js";
import { unbroken } from "./stateline.js";
import { store } from "./store.js";
import { remember, remembered } from "./theme.js";
import { VERBS, decideOn, obstacle, verbButton } from "./verbs.js";

const SLOW_MS = 10000;
const OVERRIDABLE = new Set(["version_quarantined", "cases_failing", "cases_pending", "cases_unavailable", "standby_unfit"]);
const FASTER = new Set(["generation_stale", "from_mismatch", "lost_race", "proposal_decided"]);
const box = () => document.getElementById("dialog");

/** Show `render()` in the dialog; the focus returns to `from` when it is closed. */
export function open(render, from, closed = () => {}) {
  const dialog = box();
  patch(dialog, render());
  if (!dialog.open) dialog.showModal();
  dialog.onclose = () => {
    patch(dialog);
    closed();
    if (from && from.isConnected) from.focus();
  };
  return () => patch(dialog, render());
}

export const close = () => box().close();

const closeButton = (text = "Close") => h("button", { type: "button", key: "close", onclick: close }, text);

const say = (text) => {
  document.getElementById("said").textContent = text;
};

/** Every verb with what it does, or why not now. */
export function allVerbs(from) {
  const rows = () =>
    Object.entries(VERBS)
      .filter(([, verb]) => !verb.hidden)
      .map(([key, verb]) => {
        const why = obstacle(key);
        return h(
          "li",
          { key },
          verbButton(key, `${verb.title}…`, "", {}, `v-${key}`),
          h("p", { id: `v-${key}` }, why === null ? verb.does : `Not now: ${why}.`),
        );
      });
  const again = open(
    () =>
      h(
        "div",
        { class: "in", key: "all" },
        h("h2", { id: "dialog-title" }, `All actions on ${store.service}`),
        h("ul", { class: "verbs" }, rows()),
        h("div", { class: "row" }, closeButton()),
      ),
    from,
    () => {
      refresh = null;
    },
  );
  refresh = again;
}

let refresh = null;

/** Called after each message of the router: an open list of verbs follows it. */
export function refreshDialog() {
  if (refresh) refresh();
}

/** The confirmation of one verb. */
export class Confirmation {
  #key;
  #verb;
  #about;
  #values = {};
  #word = "";
  #told = null;
  #state = "asking";
  #refusal = null;
  #override = false;
  #draw = () => {};
  #done;

  constructor(key, about, done) {
    Object.assign(this, { generation: store.status ? store.status.generation : null, idempotency: idempotencyKey() });
    decideOn(store.status);
    this.#key = key;
    this.#verb = VERBS[key];
    this.#about = about;
    this.#done = done;
    for (const field of this.#verb.fields(about))
      this.#values[field.name] = field.kind === "choice" ? (field.options[0] ?? "") : field.kind === "tick" ? false : "";
    this.#values.actor = remembered("actor");
  }

  open(from) {
    refresh = null;
    this.#draw = open(
      () => this.#render(),
      from,
      () => {
        this.#state = "closed";
        decideOn(null);
      },
    );
    const first = box().querySelector("#typed") || box().querySelector("input, select, textarea, [type=submit]");
    if (first) first.focus();
    this.#foretell();
  }

  #goal() {
    return this.#verb.word ? this.#verb.word(this.#values, this.#about) : null;
  }

  #fits() {
    const goal = this.#goal(),
      missing = this.#verb.fields(this.#about).some((field) => field.needed && !this.#values[field.name].trim());
    if (missing || (this.#override && !this.#values.reason?.trim())) return false;
    return !this.#verb.word || goal === null ? !this.#verb.word || this.#key === "retire" : this.#word.trim() === goal;
  }

  #request(options) {
    const [method, path, body] = this.#verb.change(this.#values, this.#goal(), this.#about);
    const signed = { ...body };
    const actor = this.#values.actor.trim();
    if (anonymous() && actor) signed.actor = actor;
    if (signed.reason === "") delete signed.reason;
    if (this.#override) signed.override = { actor: actor || session.name || "local", reason: this.#values.reason };
    const headers = options.dry ? {} : { "Idempotency-Key": this.idempotency };
    if (this.#verb.conditional && this.generation !== null) headers["If-Match"] = `"${this.generation}"`;
    return call(method, options.dry ? `${path}?dry_run=true` : path, { body: signed, headers });
  }

  /* What the router says would happen, before anything does. */
  async #foretell() {
    if (!this.#verb.dry) return;
    try {
      this.#told = { message: (await this.#request({ dry: true })).message };
    } catch (error) {
      if (error instanceof Problem && error.status !== 400) this.#told = { refusal: error };
    }
    if (this.#state === "asking") this.#draw();
  }

  async #send() {
    if (!this.#fits() || this.#state === "sending" || this.#state === "over") {
      box().querySelector("#typed")?.focus();
      return;
    }
    this.#state = "sending";
    this.#refusal = null;
    if (anonymous()) remember("actor", this.#values.actor.trim());
    this.#draw();
    const slow = setTimeout(() => {
      if (this.#state === "sending") {
        this.#state = "slow";
        this.#draw();
      }
    }, SLOW_MS);
    try {
      const answer = await this.#request({});
      this.#succeeded(answer);
    } catch (error) {
      this.#failed(error);
    } finally {
      clearTimeout(slow);
    }
  }

  #succeeded(answer) {
    const late = answer.workers_unconfirmed || [];
    const followed = Number.isFinite(answer.confirmed_ms)
      ? `; every worker followed within ${answer.confirmed_ms.toFixed(1)} ms`
      : "";
    const text = late.length
      ? `${answer.message}, and not confirmed yet: worker ${late.join(", ")} has not followed.`
      : `${answer.message || `${this.#verb.title}: done`}${followed}.`;
    this.#done(text);
    say(text);
    if (this.#state === "closed") return;
    if (late.length) {
      this.#state = "over";
      this.#refusal = { unconfirmed: text };
      this.#draw();
    } else {
      close();
    }
  }

  #failed(error) {
    if (this.#state === "closed") {
      say(`${this.#verb.title}: ${error.message}`);
      return;
    }
    this.#refusal = error;
    this.#state = error instanceof Problem && FASTER.has(error.code) ? "over" : "asking";
    if (error instanceof Problem && error.code === "idempotency_key_reused") this.idempotency = idempotencyKey();
    // A refusal is remembered with its key: what is sent next is another decision. Without an answer it is the same one.
    if (error instanceof Problem && this.#state === "asking") this.idempotency = idempotencyKey();
    this.#draw();
  }

  #render() {
    const verb = this.#verb,
      goal = this.#goal(),
      sending = this.#state === "sending" || this.#state === "slow",
      over = this.#state === "over";
    const ready = this.#fits() && !sending;
    return h(
      "form",
      {
        class: "in",
        method: "dialog",
        novalidate: true,
        key: `form ${this.#key}`,
        onsubmit: (event) => {
          event.preventDefault();
          this.#send();
        },
      },
      h("h2", { id: "dialog-title" }, unbroken(verb.ask(this.#about))),
      h(
        "ul",
        { class: "will" },
        verb.will(goal ?? "the version").map((text) => h("li", {}, text)),
        this.#foretold(),
      ),
      !over && [
        verb.fields(this.#about).map((field) => this.#field(field)),
        anonymous() && this.#field({ name: "actor", label: "Your name, for the journal", kind: "text" }),
      ],
      !over &&
        verb.word &&
        goal &&
        h(
          "label",
          { for: "typed", key: "typed" },
          h("span", {}, "Type ", h("b", {}, goal), " to confirm"),
          h("input", {
            id: "typed",
            autocomplete: "off",
            autocapitalize: "off",
            spellcheck: "false",
            oninput: (event) => {
              this.#word = event.target.value;
              this.#draw();
            },
          }),
        ),
      h("div", { role: "alert", key: "alert" }, this.#outcome()),
      h(
        "div",
        { class: "row", key: "row" },
        verb.conditional && h("span", { class: "soft num" }, `Decided on generation ${shownGeneration(this.generation)}`),
        closeButton(over ? "Close" : "Cancel"),
        !over &&
          h(
            "button",
            { type: "submit", class: "solid", key: "send", "aria-disabled": ready ? null : "true" },
            sending ? "Sent…" : verb.deed,
          ),
      ),
    );
  }

  #foretold() {
    if (!this.#told) return null;
    if (this.#told.message) return h("li", { class: "soft", key: "told" }, `The router says: ${this.#told.message}.`);
    return this.#refusal
      ? null
      : h("li", { class: "bad", key: "told" }, `The router would refuse: ${this.#told.refusal.message}.`);
  }

  #field(field) {
    const id = `f-${field.name}`,
      set = (value) => {
        this.#values[field.name] = value;
        this.#draw();
      };
    if (field.kind === "tick") {
      return h(
        "label",
        { for: id, class: "tick", key: id },
        h("input", { id, type: "checkbox", onchange: (event) => set(event.target.checked) }),
        h("span", {}, field.label),
      );
    }
    const label = [field.label, field.needed && h("small", {}, " needed"), field.note && h("small", {}, ` ${field.note}`)];
    if (field.kind === "choice") {
      return h(
        "label",
        { for: id, key: id },
        h("span", {}, label),
        h(
          "select",
          { id, onchange: (event) => set(event.target.value) },
          field.options.map((one) => h("option", { value: one, key: one }, one)),
        ),
      );
    }
    return h(
      "label",
      { for: id, key: id },
      h("span", {}, label),
      h("input", {
        id,
        maxlength: field.name === "actor" ? 64 : 500,
        autocomplete: "off",
        value: this.#values[field.name],
        inputmode: field.kind === "number" ? "numeric" : null,
        oninput: (event) => set(event.target.value),
      }),
    );
  }

  #outcome() {
    const refusal = this.#refusal;
    if (this.#state === "slow")
      return h(
        "div",
        { class: "note" },
        "Not confirmed yet: the router has not answered for 10 s. Whether the change was made is not known.",
      );
    if (!refusal) return null;
    if (refusal.unconfirmed) return h("div", { class: "note" }, refusal.unconfirmed);
    if (!(refusal instanceof Problem))
      return h(
        "div",
        { class: "note" },
        "The router could not be reached. Whether the change was made is not known. Sending again is safe: it is made once.",
      );
    if (FASTER.has(refusal.code)) return faster(refusal, this.generation);
    const can = this.#verb.overrides && OVERRIDABLE.has(refusal.code);
    return h(
      "div",
      { class: "note" },
      h("b", {}, "Refused. "),
      `${refusal.message}.`,
      can &&
        h(
          "label",
          { class: "tick", for: "f-override" },
          h("input", {
            id: "f-override",
            type: "checkbox",
            onchange: (event) => {
              this.#override = event.target.checked;
              this.#draw();
            },
          }),
          h("span", {}, "Override this. The reason is needed and stands in the journal."),
        ),
    );
  }
}

/* Without tokens every caller is the same: a name can be given. */
const anonymous = () => session.how === null || session.how === "open";

/** A generation as people read it: boot and number. */
const shownGeneration = (generation) => (generation === null ? "–" : `${generation >> 24}.${generation & 0xffffff}`);

function faster(refusal, decided) {
  const now = refusal.facts.generation,
    last =
      store.facts.find((fact) => fact.data && fact.data.generation === now && fact.type !== "confirmed") ||
      store.facts.find((fact) => fact.data && fact.data.generation > decided && fact.type !== "confirmed");
  const told = last && (last.text || last.type.replace(/_/g, " "));
  const what = last
    ? ` At ${clock(last.at)} UTC by ${last.actor}: ${told} (generation ${shownGeneration(last.data.generation)}).`
    : ` The router says: ${refusal.message}.`;
  return h(
    "div",
    { class: "note" },
    h("b", {}, "Another change came first; nothing was changed."),
    what,
    ` You decided on generation ${shownGeneration(decided)}. Close this, look again, and decide anew.`,
  );
}
