/* Sign-in by a token, and the way out. */

import { Problem, session, signIn, signOut } from "./api.js";
import { h, patch } from "./dom.js";

let refusal = null;
let busy = false;

/** Draw the form into `main`; `done()` is called once the page is signed in. */
export function showSignIn(main, done) {
  const again = () => showSignIn(main, done);
  const submit = async (event) => {
    event.preventDefault();
    const field = main.querySelector("#token");
    if (busy || !field.value.trim()) return;
    busy = true;
    try {
      await signIn(field.value.trim());
      refusal = null;
      field.value = "";
      busy = false;
      done();
      return;
    } catch (error) {
      refusal = error instanceof Problem ? error.message : "the router could not be reached";
    }
    busy = false;
    again();
    main.querySelector("#token")?.focus();
  };
  patch(
    main,
    h(
      "div",
      { class: "wrap", key: "sign-in" },
      h(
        "section",
        { class: "sign-in", "aria-labelledby": "sign-in-h" },
        h("h1", { id: "sign-in-h" }, "Sign in"),
        h(
          "p",
          { class: "soft" },
          "This router asks for a token of ",
          h("code", {}, "admin.tokens"),
          ". It is exchanged for a cookie that no script can read.",
        ),
        h(
          "form",
          { method: "dialog", novalidate: true, onsubmit: submit },
          h("label", { for: "token" }, "Token"),
          h("input", {
            id: "token",
            type: "password",
            autocomplete: "current-password",
            maxlength: 500,
            spellcheck: "false",
            "aria-describedby": refusal ? "refused" : null,
          }),
          h("p", { id: "refused", class: "bad", role: "alert" }, refusal && `Not signed in: ${refusal}.`),
          h("button", { type: "submit", class: "solid" }, "Sign in"),
        ),
      ),
    ),
  );
}

/** Who is signed in, with the way out; nothing where the router asks for no token. */
export function whoIsIn(out) {
  if (!session.known || session.how === "open" || session.how === null) return null;
  const leave = async () => {
    await signOut().catch(() => {});
    out();
  };
  return h(
    "span",
    { key: "who" },
    `${session.name} (${session.role}) `,
    session.how === "session" && h("button", { type: "button", class: "little", onclick: leave }, "Sign out"),
  );
}
