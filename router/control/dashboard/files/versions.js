/* The versions that are known, with quarantine and origin. */

import { badge, cell, empty, h, part, row, rowHead, stack } from "./dom.js";
import { clock, day, lasting, plural, UNKNOWN } from "./format.js";
import { incidentLink } from "./timeline.js";
import { ageS, nowMs, store } from "./store.js";
import { verbButton } from "./verbs.js";

const KINDS = { active: "ok", candidate: "look", ready: "look", verifying: "look", draining: "warn" };

function live(version) {
  const span = version.last_live;
  if (!span) return "never";
  const end = span.until ? Date.parse(span.until) : nowMs();
  const length = lasting((end - Date.parse(span.since)) / 1000);
  if (!span.until) return `${length}, now`;
  return `${length}, until ${ageS(span.until) < 43200 ? clock(span.until) : day(span.until)}`;
}

function quarantine(version) {
  const found = version.quarantine;
  if (!found) return null;
  return h(
    "p",
    { class: "soft small" },
    h("span", { class: "bad strong" }, "Quarantined"),
    `: ${found.reason}`,
    found.incident && [" (", incidentLink(found.incident), ")"],
    " ",
    verbButton("release", "Release…", "little", { version: version.version }),
  );
}

function origin(version) {
  const by = version.registered;
  return [
    version.artifact && h("div", {}, version.artifact),
    version.source &&
      typeof version.source === "string" &&
      version.source !== version.artifact &&
      h("div", {}, version.source),
    by ? `by ${by.by}, ${ageS(by.at) < 86400 ? `${lasting(ageS(by.at))} ago` : day(by.at)}` : UNKNOWN,
  ];
}

/** The section. `shown` rows; older ones are in the API. */
export function versions(shown = 10) {
  const all = store.versions && store.versions.versions.filter((one) => one.service === store.service);
  if (!all)
    return part(
      "versions",
      "Versions",
      null,
      empty(
        store.failed.has("versions")
          ? `The versions could not be loaded: ${store.failed.get("versions")}.`
          : "The versions are being loaded.",
      ),
    );
  const rows = all
    .slice(0, shown)
    .map((version) =>
      row(
        { key: version.version },
        rowHead("full", version.version, quarantine(version)),
        cell(
          "State",
          "",
          badge(version.state, KINDS[version.state] || ""),
          version.accepted && h("div", { class: "soft small" }, "accepted"),
          version.rolled_back && !version.quarantine && h("div", { class: "soft small" }, "rolled back once"),
        ),
        cell("Live", "", live(version)),
        cell("From", "soft small", origin(version)),
      ),
    );
  return part(
    "versions",
    "Versions",
    `${plural(all.length, "version")} known`,
    stack("", [["Version"], ["State"], ["Live"], ["From"]], rows),
  );
}
