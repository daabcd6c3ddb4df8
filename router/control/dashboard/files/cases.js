/* Regression cases: how many are kept, and how the last check ended. */

import { empty, h, icon, part } from "./dom.js";
import { count, lasting, plural } from "./format.js";
import { ageS, store } from "./store.js";
import { verbButton } from "./verbs.js";

const RULES = {
  require: "required: a version with failing cases is refused",
  report: "checked: failing cases are reported",
  off: "not checked",
};

function lastCheck() {
  const running = store.status.cases.check,
    listed = (store.checks && store.checks.checks) || [];
  return running && running.state === "running" ? running : listed[0] || running || null;
}

function result(check) {
  if (check.state === "running")
    return h(
      "p",
      { class: "sum" },
      h("span", { class: "st" }, icon("look", 14, "link"), `${count(check.done)} of ${plural(check.total, "case")} checked`),
      ` on ${check.version}.`,
    );
  const bad = check.state !== "passed",
    words =
      check.state === "broken" || check.state === "cancelled"
        ? check.state
        : `${count(check.passed)} of ${plural(check.total, "case")} passed`;
  return h(
    "p",
    { class: "sum" },
    h("span", { class: "st" }, icon(bad ? "warn" : "ok", 14, bad ? "bad" : "good"), h("b", {}, words)),
    ` on ${check.version}`,
    check.ended_at && `, ${lasting(ageS(check.ended_at))} ago`,
    check.error ? `: ${check.error}.` : ".",
  );
}

/** The section. */
export function cases() {
  const found = store.status && store.status.cases;
  if (!found) return null;
  if (!found.count)
    return part(
      "cases",
      "Cases",
      null,
      empty(
        "No regression case is kept. A rollback makes some of its failing requests, or add your own:",
        "rollback-router cases add FILE",
      ),
    );
  const check = lastCheck();
  return part(
    "cases",
    "Cases",
    `${count(found.count)} kept`,
    check ? result(check) : h("p", { class: "sum" }, "Not checked since control was started."),
    h(
      "dl",
      { class: "facts" },
      h("dt", {}, "On promote"),
      h("dd", {}, RULES[found.on_promote] || found.on_promote),
      found.failing.length > 0 && [h("dt", {}, "Failing"), h("dd", {}, found.failing.slice(0, 5).join(", "))],
    ),
    verbButton("check", "Check a version…", "little"),
  );
}
