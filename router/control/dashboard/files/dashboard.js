/* The page: which service is shown, the stream that it follows, and the order of the sections. */

import { get, url, whoAmI } from "./api.js";
import { cases } from "./cases.js";
import { charts, period } from "./charts.js";
import { compare } from "./compare.js";
import { Confirmation, allVerbs, refreshDialog } from "./dialogs.js";
import { h, icon, patch } from "./dom.js";
import { drills } from "./drills.js";
import { clock, plural } from "./format.js";
import { goTo, help, listen } from "./keyboard.js";
import { alarms, proposals } from "./proposals.js";
import * as records from "./records.js";
import { replicas } from "./replicas.js";
import { keepTrails, listWords, services } from "./services.js";
import { showSignIn, whoIsIn } from "./signin.js";
import { LEVELS, stateBox, stateSection } from "./stateline.js";
import { SILENT_S, forget, heard, nowMs, silentS, stale, store } from "./store.js";
import { Stream } from "./stream.js";
import { theme, turnTheme } from "./theme.js";
import { timeline } from "./timeline.js";
import { versions } from "./versions.js";
import { why } from "./why.js";
import { whenPressed } from "./verbs.js";
import { words } from "./words.js";
import { workers } from "./workers.js";

const $ = (id) => document.getElementById(id);
let stream = null;
let notice = null;
let spoken = "";
let begun = false;
let shownPeriod = null;

/* ---- what is shown */
function chosen() {
  const found = /^#\/(.+)$/.exec(location.hash);
  if (found) return decodeURIComponent(found[1]);
  return store.names.length === 1 ? store.names[0] : null;
}

function follow() {
  const service = chosen();
  if (stream) stream.close();
  forget();
  store.service = service;
  begun = false;
  shownPeriod = null;
  notice = null;
  stream = new Stream(service, { document: take, fact: takeFact, link: takeLink });
  stream.open();
  if (service !== null) records.loadAll();
  draw();
}

function take(document, at) {
  heard(at);
  const list = store.service === null;
  Object.assign(store, {
    router: document.router || null,
    rows: list ? document.services || {} : store.rows,
    status: list ? null : document.service || null,
    explain: list ? null : document.explain || null,
  });
  if (list) {
    store.names = Object.keys(store.rows).sort();
    keepTrails();
  }
  if (!list) followPeriod(document.points || []);
  draw();
  refreshDialog();
}

/* Some minutes after a switch the charts go back to the longer period. */
function followPeriod(points) {
  records.addPoints(points);
  if (shownPeriod !== period()) {
    shownPeriod = period();
    records.loadHistory();
  }
}

function takeFact(fact) {
  if (store.service === null) return;
  records.take(fact);
  draw();
}

function takeLink(link) {
  store.link = link;
  if (link === "out") signOutOfHere();
  else if (link === "unknown") start();
  else draw();
}

/* ---- the parts of the page */
function bar() {
  const current = store.service === null ? listWords() : words(),
    silent = silentS();
  const old = silent !== null && silent >= SILENT_S,
    heardOf = ["live", "reading"].includes(store.link);
  const text = { opening: "Connecting", lost: "No connection", reading: "Reading every 5 s", live: "Live" }[store.link] || "";
  return h(
    "div",
    { class: "wrap" },
    h(
      "a",
      { class: "brand", href: "#", "aria-label": "rollback-router, all services" },
      icon("back", 18),
      h("span", {}, "rollback-router"),
    ),
    choice(),
    h(
      "div",
      { class: "grow" },
      h(
        "div",
        { class: `mini ${current.level}`, "aria-hidden": "true" },
        icon(current.level, 15, "glyph"),
        h("span", {}, current.line),
      ),
    ),
    h(
      "span",
      { class: `live ${old || store.link === "lost" ? "stale" : heardOf ? "" : "opening"}`, id: "live" },
      h("i", {}),
      old ? `No news for ${Math.floor(silent)} s` : text,
    ),
    h(
      "button",
      {
        type: "button",
        class: "icon plain",
        "aria-label": `Theme: ${theme()}. Change`,
        title: `Theme: ${theme()}`,
        onclick: () => {
          turnTheme();
          draw();
        },
      },
      icon("half", 16),
    ),
    h(
      "button",
      {
        type: "button",
        class: "icon plain",
        "aria-label": "Keyboard",
        title: "Keyboard (?)",
        onclick: (event) => help(event.currentTarget),
      },
      h("span", { "aria-hidden": "true" }, "?"),
    ),
  );
}

function choice() {
  if (store.names.length < 2) return store.service && h("span", { class: "strong" }, store.service);
  return h(
    "select",
    {
      "aria-label": "Service",
      value: store.service ?? "",
      onchange: (event) => {
        location.hash = event.target.value ? `#/${encodeURIComponent(event.target.value)}` : "#";
      },
    },
    h("option", { value: "", key: "" }, "All services"),
    store.names.map((name) => h("option", { value: name, key: name }, name)),
  );
}

function oldBox() {
  if (!stale()) return null;
  const from = clock(new Date(nowMs() - silentS() * 1000).toISOString());
  return h(
    "div",
    { class: "box", key: "old", role: "status" },
    h(
      "div",
      {},
      h("h2", {}, `Nothing was heard from the router for ${Math.floor(silentS())} s`),
      h(
        "p",
        {},
        `What you see is from ${from} UTC. Requests are served on the last route, also without control. `,
        "The page tries again every 2 s; buttons are off until then.",
      ),
    ),
  );
}

const noticeBox = () => notice && h("p", { class: "done", key: "done" }, icon("ok", 15, "good"), " ", notice);

const failedBox = () =>
  store.failed.size > 0 &&
  !stale() &&
  h(
    "p",
    { class: "empty", key: "failed" },
    `Not loaded: ${[...store.failed.keys()].join(", ")}. `,
    h("button", { type: "button", class: "little", onclick: records.retry }, "Try again"),
  );

function listPage() {
  const found = listWords();
  return [
    stateBox(found),
    alarms(),
    services(draw),
  ];
}

function servicePage() {
  const first = [oldBox(), stateSection((button) => allVerbs(button)), noticeBox()];
  if (!begun || !store.status) return first;
  return [
    ...first,
    proposals(),
    alarms(),
    failedBox(),
    h("div", { class: "two", key: "why-charts" }, why(), charts(choosePeriod)),
    h("div", { class: "two", key: "rest" }, [
      h("div", { key: "left" }, replicas(), timeline(records.older)),
      h("div", { key: "right" }, compare(), versions(), cases(), drills()),
    ]),
    workers(),
  ];
}

function choosePeriod(name) {
  store.period = name;
  draw();
  records.loadHistory();
}

function footer() {
  const { router } = store;
  const differences = router && router.settings ? (router.settings.differences || []).length : 0;
  return [
    router && h("span", {}, `rollback-router ${router.version}, ${router.build}`),
    router &&
      router.settings &&
      h(
        "span",
        { class: differences ? "bad" : "" },
        `settings ${router.settings.version}, ${differences ? plural(differences, "difference") : "no differences"}`,
      ),
    whoIsIn(signOutOfHere),
    ["v1/status", "v1/openapi.json", "metrics", "readyz", "livez"].map((path) =>
      h("a", { href: url(path), key: path }, `/${path}`),
    ),
  ];
}

/* ---- drawing */
let planned = false;

/** Draw before the next frame; several calls make one drawing. A hidden tab draws when it is seen. */
function draw() {
  if (planned) return;
  planned = true;
  requestAnimationFrame(() => {
    planned = false;
    if (store.link !== "out") drawNow();
  });
}

function drawNow() {
  patch($("bar"), bar());
  patch($("main"), h("div", { class: "wrap", key: "page" }, store.service === null ? [oldBox(), listPage()] : servicePage()));
  patch($("foot"), footer());
  $("skip-why").hidden = store.service === null;
  tell();
  if (!begun && store.status) {
    begun = true; // the state is painted first, the rest after it
    setTimeout(draw);
  }
}

/* The title, and what a screen reader says: when the state changes, never when its seconds do. */
function tell() {
  const found = store.service === null ? listWords() : words();
  const title = `${found.level === "ok" ? "" : `${LEVELS[found.level]}: `}${found.line} · rollback-router`;
  if (document.title !== title) document.title = title;
  const state = `${store.service} ${found.level} ${found.state || ""} ${store.status ? store.status.active : found.line}`;
  if (state === spoken || (store.service !== null && !store.status)) return;
  spoken = state;
  const now = found.level === "act";
  $(now ? "said-now" : "said").textContent = `${found.line}. ${found.lead}`;
  $(now ? "said" : "said-now").textContent = "";
}

/* ---- the beginning */
function signOutOfHere() {
  store.link = "out";
  if (stream) stream.close();
  patch(
    $("bar"),
    h("div", { class: "wrap" }, h("span", { class: "brand" }, icon("back", 18), h("span", {}, "rollback-router"))),
  );
  patch($("foot"));
  document.title = "Sign in · rollback-router";
  showSignIn($("main"), start);
  $("token").focus();
}

async function start() {
  store.link = "opening";
  try {
    const [status] = await Promise.all([get("v1/status"), whoAmI()]);
    store.names = Object.keys(status.services).sort();
    if (chosen() !== null && !store.names.includes(chosen())) location.replace("#");
    follow();
  } catch (error) {
    if (error.status === 401) return signOutOfHere();
    store.link = "lost";
    draw();
    setTimeout(start, 2000);
  }
}

whenPressed((key, about, button) =>
  new Confirmation(key, about, (text) => {
    notice = `${clock(new Date(nowMs()).toISOString())} UTC: ${text}`;
    draw();
  }).open(button),
);
listen({
  "?": () => help(null),
  s: () => {
    location.hash = "#";
    setTimeout(() => $("find")?.focus(), 100);
  },
  w: () => goTo("why"),
  c: () => {
    goTo("charts");
    document.querySelector(".plot")?.focus({ preventScroll: true });
  },
  t: () => goTo("timeline"),
  v: () => goTo("versions"),
  a: () => document.querySelector("[data-all]")?.click(),
  r: () => document.querySelector(".does [data-verb]")?.click(),
});
for (const link of document.querySelectorAll(".skip")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    goTo(link.hash.slice(1));
  });
}
addEventListener("hashchange", () => {
  if (/^(#|#\/.*|)$/.test(location.hash)) follow();
});
addEventListener("scroll", () => document.documentElement.classList.toggle("scrolled", scrollY > 150), { passive: true });
/* Between messages the page counts on by itself: ages, and how long nothing was heard. */
setInterval(() => {
  if (!document.hidden && (silentS() ?? 2) > 1.3) draw();
}, 1000);
records.begin(draw);
start();
