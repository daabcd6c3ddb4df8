/* The verbs: what each does, what it asks for, and how it is sent. */

import { inPath } from "./api.js";
import { h } from "./dom.js";
import { may, store, target } from "./store.js";

/* The status on which the open dialog decides: it stays what it was when the dialog was opened. */
let decided = null;
const seen = () => decided || store.status;

/** Decide on a status from now on; null: on the newest one. */
export function decideOn(status) {
  decided = status;
}

const service = () => `v1/services/${inPath(store.service)}`;

/* The versions that a verb may be used on: the router names them; else those of the page that fit. */
function versionsOf(verb, fits) {
  const named = seen().verbs && seen().verbs[verb] && seen().verbs[verb].versions;
  return named && named.length
    ? named
    : seen()
        .targets.filter(fits)
        .map((one) => one.version);
}
const others = () => versionsOf("switch", (one) => one.role !== "active" && one.ready);
const removable = () => versionsOf("retire", (one) => one.role !== "active");
const blocked = () =>
  known()
    .filter((one) => one.quarantine)
    .map((one) => one.version);
const active = () => (seen() && seen().active) || "the active version";
const lines = (text) => text.split(/[\s,]+/).filter(Boolean);

/** A field of a dialog: name, label, kind (text, choice, tick, lines), whether it must be filled, what it begins with. */
const reason = (needed = false) => ({ name: "reason", label: "Reason, for the journal", kind: "text", needed });
const choice = (label, options) => ({ name: "version", label, kind: "choice", options });
const version = { name: "version", label: "Version", kind: "text", needed: true };
const endpoints = (needed) => ({
  name: "endpoints",
  label: "Endpoints",
  kind: "lines",
  needed,
  note: "URLs, separated by spaces",
});

const known = () => ((store.versions && store.versions.versions) || []).filter((one) => one.service === store.service);

/* `word`: what has to be typed, for a verb that changes the route or lifts a block. `change`: [method, path, body].
   `dry`: the router can say beforehand what would happen. `overrides`: a refusal may be overridden with a reason. */
export const VERBS = {
  rollback: {
    title: "Roll back",
    does: "Go back to the standby; the active version is quarantined.",
    deed: "Roll back now",
    fields: () => [reason()],
    word: () => seen().standby,
    ask: () => `Roll back from ${active()} to ${seen().standby ?? "the standby"}?`,
    dry: true,
    will: (to) => [
      `New requests go to ${to} at once, in every worker.`,
      `What has begun on ${active()} ends there.`,
      `${active()} is quarantined, and an incident is opened.`,
    ],
    change: ({ reason }) => ["POST", `${service()}/rollback`, { reason, from: seen().active }],
    conditional: true,
  },
  promote: {
    title: "Promote",
    does: "Make the candidate the active version.",
    deed: "Promote now",
    fields: () => [reason()],
    word: () => seen().candidate,
    ask: () => `Promote ${seen().candidate ?? "the candidate"}?`,
    dry: true,
    overrides: true,
    will: (to) => [
      `New requests go to ${to} at once, in every worker.`,
      `${active()} becomes the standby and is kept warm.`,
      `${to} is on probation until it is accepted.`,
    ],
    change: ({ reason }, to) => ["POST", `${service()}/promote`, { version: to, reason, from: seen().active }],
    conditional: true,
  },
  switch: {
    title: "Switch",
    does: "Make another ready version active; none is quarantined.",
    deed: "Switch now",
    dry: true,
    overrides: true,
    fields: () => [choice("Version that will serve", others()), reason()],
    word: (values) => values.version || others()[0],
    ask: () => "Switch to another version?",
    will: (to) => [
      `New requests go to ${to} at once, in every worker.`,
      `What has begun on ${active()} ends there.`,
      "No version is quarantined.",
    ],
    change: ({ reason }, to) => ["POST", `${service()}/switch`, { to, reason, from: seen().active }],
    conditional: true,
  },
  deploy: {
    title: "Deploy",
    does: "Bring a version in as candidate and verify it.",
    deed: "Deploy",
    fields: () => [
      version,
      endpoints(false),
      { name: "replace", label: "Replace a candidate that is being verified", kind: "tick" },
    ],
    ask: () => "Deploy a version?",
    will: () => [
      "The version is probed until it is ready. No request goes to it.",
      "Endpoints may be left out if the version is known.",
    ],
    overrides: true,
    change: (values) => [
      "POST",
      `${service()}/deploy`,
      {
        version: values.version,
        ...(values.endpoints ? { endpoints: lines(values.endpoints) } : {}),
        ...(values.replace ? { replace: true } : {}),
      },
    ],
  },
  freeze: {
    title: "Freeze",
    does: "No automatic rollback until it is unfrozen.",
    deed: "Freeze automation",
    fields: () => [reason()],
    ask: () => "Freeze automation?",
    will: () => ["The triggers go on judging, and nothing is rolled back by itself.", "Operators can still roll back."],
    change: ({ reason }) => ["POST", `${service()}/freeze`, { reason }],
    conditional: true,
  },
  unfreeze: {
    title: "Unfreeze",
    does: "Allow automatic rollbacks again.",
    deed: "Unfreeze automation",
    fields: () => [reason()],
    ask: () => "Unfreeze automation?",
    will: () => ["The router rolls back by itself again when a trigger fails."],
    change: ({ reason }) => ["POST", `${service()}/unfreeze`, { reason }],
    conditional: true,
  },
  drill: {
    title: "Drill",
    does: "To the standby, some seconds of real traffic there, and home.",
    deed: "Start the drill",
    word: () => seen().standby,
    dry: true,
    fields: () => [
      reason(),
      { name: "hold_s", label: "Seconds on the standby", kind: "number", note: "empty: as in the settings" },
      { name: "shadow", label: "Everything but the swap (shadow)", kind: "tick" },
    ],
    ask: () => `Rehearse the rollback to ${seen().standby ?? "the standby"}?`,
    will: (to) => [
      `Requests go to ${to} for some seconds, and then back to ${active()}.`,
      "No version is quarantined. The drill ends early if the standby does worse.",
    ],
    change: (values) => [
      "POST",
      `${service()}/drill`,
      { reason: values.reason, shadow: values.shadow, ...(values.hold_s ? { hold_s: Number(values.hold_s) } : {}) },
    ],
  },
  drill_stop: {
    title: "End the drill",
    does: "Swap back now.",
    deed: "End the drill",
    fields: () => [],
    ask: () => "End the drill now?",
    will: () => ["Requests go home at once."],
    change: () => ["POST", `${service()}/drill/stop`, {}],
  },
  check: {
    title: "Check cases",
    does: "Send the kept cases to a version; changes nothing.",
    deed: "Check the cases",
    fields: () => [
      choice(
        "Version to check",
        versionsOf("check", (one) => one.ready),
      ),
    ],
    ask: () => "Check the regression cases?",
    will: () => ["Each case is sent to the version once. No client is affected."],
    change: (values) => ["POST", `${service()}/check`, { version: values.version }],
  },
  retire: {
    title: "Retire",
    does: "Take a version out and free its place.",
    deed: "Retire",
    dry: true,
    fields: () => [
      choice("Version", removable()),
      { name: "cut", label: "Cut its requests in flight at once", kind: "tick" },
    ],
    word: (values) => (values.cut ? values.version || removable()[0] : null),
    ask: () => "Retire a version?",
    will: () => ["Its requests in flight end, unless they are cut.", "Retiring the standby leaves no way back."],
    change: (values) => ["POST", `${service()}/retire`, { version: values.version, cut: values.cut }],
    conditional: true,
  },
  quarantine: {
    title: "Quarantine",
    does: "Block a version: it cannot be promoted until it is released.",
    deed: "Quarantine",
    fields: () => [
      choice(
        "Version",
        known()
          .filter((one) => !one.quarantine)
          .map((one) => one.version),
      ),
      reason(true),
    ],
    ask: () => "Quarantine a version?",
    will: () => ["It cannot be deployed or promoted until it is released."],
    change: (values) => [
      "POST",
      `v1/versions/${inPath(values.version)}/quarantine`,
      { service: store.service, reason: values.reason },
    ],
  },
  release: {
    title: "Release",
    does: "Lift the quarantine of a version.",
    deed: "Release",
    fields: (about) => [...(about.version ? [] : [choice("Version", blocked())]), reason(true)],
    word: (values, about) => about.version || values.version || blocked()[0],
    ask: (about) => `Release ${about.version ?? "a version"}?`,
    will: (to) => [`${to} may be deployed and promoted again.`, "Your name and reason stand in the journal."],
    change: ({ reason }, to) => ["POST", `v1/versions/${inPath(to)}/release`, { service: store.service, reason }],
  },
  endpoints: {
    title: "Move endpoints",
    does: "Give a version other addresses.",
    deed: "Move the endpoints",
    fields: () => [
      choice(
        "Version",
        seen().targets.map((one) => one.version),
      ),
      endpoints(true),
    ],
    dry: true,
    ask: () => "Move the endpoints of a version?",
    will: () => ["New requests to the version go to the new addresses."],
    change: (values) => [
      "PUT",
      `${service()}/versions/${inPath(values.version)}/endpoints`,
      { endpoints: lines(values.endpoints) },
    ],
    conditional: true,
  },
  register: {
    title: "Register",
    does: "Make a version known without deploying it.",
    deed: "Register",
    fields: () => [
      version,
      endpoints(false),
      { name: "artifact", label: "Artifact", kind: "text", note: "where the version comes from" },
    ],
    ask: () => "Register a version?",
    will: () => ["No request goes to it."],
    change: (values) => [
      "POST",
      "v1/versions",
      {
        service: store.service,
        version: values.version,
        ...(values.endpoints ? { endpoints: lines(values.endpoints) } : {}),
        ...(values.artifact ? { artifact: values.artifact } : {}),
      },
    ],
  },
  approve: {
    title: "Approve",
    does: "Approve a proposal.",
    deed: "Approve",
    fields: () => [reason()],
    word: (_, about) => about.version,
    ask: (about) => `Approve proposal ${about.proposal}?`,
    overrides: true,
    hidden: true,
    will: (to) => [`New requests go to ${to} at once, in every worker.`, `What has begun on ${active()} ends there.`],
    change: ({ reason }, _, about) => ["POST", `v1/proposals/${inPath(about.proposal)}/approve`, { reason }],
  },
  deny: {
    title: "Deny",
    does: "Deny a proposal.",
    deed: "Deny",
    fields: () => [reason()],
    ask: (about) => `Deny proposal ${about.proposal}?`,
    will: () => ["Everything stays as it is."],
    hidden: true,
    change: ({ reason }, _, about) => ["POST", `v1/proposals/${inPath(about.proposal)}/deny`, { reason }],
  },
};

/** Why a verb makes no sense now, from what the page shows; null if it may. The router's own reasons come first. */
export function obstacle(key) {
  const router = may(key);
  if (!router.allowed) return router.reasons.join("; ") || "the router does not allow it now";
  if (store.status && store.status.verbs && store.status.verbs[key]) return null;
  if (!store.status) return "nothing is known of the service yet";
  const { frozen, drill } = store.status;
  const missing = {
    rollback: !target("standby") && "there is no standby",
    promote: !target("candidate") && "there is no candidate",
    switch: !others().length && "no other version is ready",
    freeze: frozen && "automation is frozen already",
    unfreeze: !frozen && "automation is not frozen",
    drill: (drill && drill.under_way && "a drill is under way") || (!target("standby") && "there is no standby"),
    drill_stop: !(drill && drill.under_way) && "no drill is under way",
    check: !(store.status.cases && store.status.cases.count) && "no case is kept",
    retire: !removable().length && "no other version is deployed",
    release: !blocked().length && "no version is quarantined",
    quarantine: !known().some((one) => !one.quarantine) && "no version is known",
  };
  return missing[key] || null;
}

let openDialog = () => {};

/** Tell the buttons what opens the dialog of a verb: (key, about, button). */
export function whenPressed(open) {
  openDialog = open;
}

/** The button of a verb. What is disabled stays in the order of the keys, and says why. */
export function verbButton(key, text, kind = "", about = {}, describedBy = null) {
  const why = obstacle(key),
    off = why !== null;
  return h(
    "button",
    {
      type: "button",
      class: kind,
      "data-verb": key,
      "aria-disabled": off ? "true" : null,
      "aria-describedby": describedBy,
      title: off ? why : null,
      onclick: (event) => {
        if (!off) openDialog(key, about, event.currentTarget);
      },
    },
    text,
  );
}
