/* The theme: as the system, light or dark; remembered. */

const NEXT = { "as the system": "light", light: "dark", dark: "as the system" };

export const theme = () => document.documentElement.dataset.theme || "as the system";

export function turnTheme() {
  show(NEXT[theme()]);
  remember("theme", theme() === "as the system" ? "" : theme());
}

function show(name) {
  if (name === "light" || name === "dark") document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
}

/** Keep a choice of this browser; a private window keeps none. */
export function remember(key, value) {
  try {
    localStorage.setItem(`rollback-router.${key}`, value);
  } catch {
    /* no storage: the choice ends with the page */
  }
}

export function remembered(key) {
  try {
    return localStorage.getItem(`rollback-router.${key}`) || "";
  } catch {
    return "";
  }
}

show(remembered("theme"));
