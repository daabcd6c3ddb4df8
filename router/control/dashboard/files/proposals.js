/* Proposals that wait for a decision, and alarms. */

import { badge, h, icon } from "./dom.js";
import { lasting, left, moment } from "./format.js";
import { ageS, nowMs, store } from "./store.js";
import { verbButton } from "./verbs.js";

const target = (one) => one.to ?? "nothing: there is no standby";
const title = (one) => (one.kind === "promotion" ? `Promote ${one.to}?` : `Roll back from ${one.version} to ${target(one)}?`);

const end = (one) => (one.at_expiry === "rollback" ? "then the router rolls back" : "then it ends without a change");

/** The open proposals of the service. */
export function proposals() {
  const open = ((store.status && store.status.proposals) || []).filter((one) => ["open", "due"].includes(one.state));
  return open.map((one) =>
    h(
      "section",
      { class: "box", key: `p ${one.id}`, "aria-label": `Proposal ${one.id}` },
      h(
        "div",
        {},
        h("h2", {}, title(one), " ", badge("waits for a decision", "warn")),
        h("p", {}, one.reason),
        h(
          "p",
          { class: "soft small" },
          `Asked by ${one.opened_by}, ${moment(one.opened_at)} · `,
          h("span", { class: "num" }, `${left((Date.parse(one.expires_at) - nowMs()) / 1000)} left`),
          `, ${end(one)}`,
        ),
      ),
      h(
        "div",
        { class: "row" },
        verbButton("approve", "Approve…", "main", { proposal: one.id, version: one.to }),
        verbButton("deny", "Deny…", "", { proposal: one.id }),
      ),
    ),
  );
}

/** What the state line says already is not repeated. */
const TOLD = {
  rolled_back: [],
  no_way_back: ["no_way_back", "standby_unreachable"],
  nothing_useful: ["nothing_useful"],
  held: ["no_better_target"],
  gate_holds: ["no_better_target"],
};

/** The alarms of the service and of the router. */
export function alarms() {
  const state = store.status && store.status.headline && store.status.headline.state;
  const all = ((store.router && store.router.alarms) || []).filter(
    (one) => store.service === null || one.service === null || one.service === store.service,
  );
  const shown = all.filter((one) => !(TOLD[state] || []).includes(one.code));
  if (!shown.length) return null;
  return h(
    "ul",
    { class: "alarms", key: "alarms", "aria-label": "Alarms" },
    shown.map((one) =>
      h(
        "li",
        { key: `${one.code} ${one.service}` },
        h("span", { class: "st bad strong" }, icon("warn"), one.code.replace(/_/g, " ")),
        h("span", {}, one.detail),
        h("span", { class: "soft nowrap" }, `for ${lasting(ageS(one.since))}`),
      ),
    ),
  );
}
