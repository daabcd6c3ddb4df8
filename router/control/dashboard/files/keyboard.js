/* Single keys, and the help that lists them. */

import { h } from "./dom.js";
import { close, open } from "./dialogs.js";
import { remember, remembered } from "./theme.js";

const KEYS = [
  ["?", "these keys"],
  ["s", "all services, find one"],
  ["w", "why it does, or does not, act"],
  ["c", "charts; then ← → move the reading, Page up and down six steps"],
  ["t", "timeline"],
  ["v", "versions"],
  ["a", "all actions"],
  ["r", "the first button, which asks first"],
  ["Esc", "close a dialog"],
];

const off = () => remembered("keys") === "off";

/** Go to a section: it takes the focus. */
export function goTo(id) {
  const node = document.getElementById(id);
  if (!node) return;
  node.setAttribute("tabindex", "-1");
  node.focus({ preventScroll: true });
  node.scrollIntoView();
}

/** The help. */
export function help(from) {
  open(
    () =>
      h(
        "div",
        { class: "in", key: "keys" },
        h("h2", { id: "dialog-title" }, "Keyboard"),
        h(
          "dl",
          { class: "facts" },
          KEYS.flatMap(([key, text]) => [h("dt", { key: `k${key}` }, h("kbd", {}, key)), h("dd", { key: `t${key}` }, text)]),
        ),
        h(
          "label",
          { class: "tick", for: "keys-off" },
          h("input", {
            id: "keys-off",
            type: "checkbox",
            checked: off(),
            onchange: (event) => remember("keys", event.target.checked ? "off" : ""),
          }),
          h("span", {}, "Turn single keys off"),
        ),
        h("div", { class: "row" }, h("button", { type: "button", onclick: close }, "Close")),
      ),
    from,
  );
}

/** Listen. `actions`: key → function. Keys within fields or dialogs, and with Ctrl, Alt or Meta, are the browser's. */
export function listen(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || off() || document.querySelector("dialog[open]")) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
