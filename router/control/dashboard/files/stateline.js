/* The state: one line, what follows from it, since when and by whom; the two buttons; the figures. */

import { h, hidden, icon } from "./dom.js";
import { figures } from "./figures.js";
import { store } from "./store.js";
import { words } from "./words.js";
import { obstacle, verbButton } from "./verbs.js";

export const LEVELS = { ok: "Well", look: "Look", warn: "Needs a person", act: "Failing now" };

/** Text in which names of versions never break at their hyphen. */
export function unbroken(text) {
  const names = ((store.status && store.status.targets) || []).map((one) => one.version).filter((name) => name.length < 30);
  if (!names.length) return text;
  const pattern = new RegExp(`(${names.map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`);
  return String(text)
    .split(pattern)
    .map((piece, i) => (i % 2 ? h("span", { class: "nowrap" }, piece) : piece));
}

/** The box with the line, the lead and what stands behind them; `beside`: the buttons, `below`: the figures. */
export function stateBox(found, beside = null, below = null) {
  return h(
    "section",
    { class: `state ${found.level}`, key: "state", "aria-label": "State" },
    h(
      "div",
      { class: "top" },
      h(
        "div",
        { class: "line" },
        icon(found.level, 34, "glyph"),
        h(
          "div",
          {},
          hidden(`${LEVELS[found.level]}: `),
          h("h1", {}, unbroken(found.line)),
          found.lead && h("p", { class: "lead num" }, unbroken(found.lead)),
          found.meta.length > 0 && h("p", { class: "meta" }, dotted(found.meta)),
        ),
      ),
      beside,
    ),
    below,
  );
}

/** The section. `all(button)` opens the list of all verbs. */
export function stateSection(all) {
  const found = words(),
    to = store.status && store.status.standby;
  const why = obstacle("rollback");
  const buttons = h(
    "div",
    { class: "does" },
    h(
      "div",
      { class: "row" },
      verbButton("rollback", to ? `Roll back to ${to}…` : "Roll back…", "main", {}, why ? "no-back" : null),
      h("button", { type: "button", "data-all": true, onclick: (event) => all(event.currentTarget) }, "All actions"),
    ),
    why && h("p", { class: "reason", id: "no-back" }, `No rollback now: ${why}.`),
  );
  return stateBox(found, buttons, figures());
}

/* A dot stays at the end of its line. */
const dotted = (parts) => parts.flatMap((part, i) => (i ? ["\u00a0· ", part] : [part]));
