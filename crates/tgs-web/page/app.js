// The frame of the page: who is signed in, which page is shown, and the live state of all channels.

import { Refused, follow, get, post, whenSignedOut } from "./api.js";
import { ChannelPage } from "./channel.js";
import { announce, el, fill, toast } from "./dom.js";
import { OverviewPage } from "./overview.js";
import { LANGUAGES, chooseLanguage, known, language, t } from "./text.js";

const root = document.getElementById("app");
const state = { me: null, channels: new Map(), page: null, stop: null, linked: true };

/** Shows a refusal in the reader's language. */
export function showError(error) {
  toast(error instanceof Refused ? known("error", error.code, error.message) : String(error), "bad");
}

function languageChoice() {
  const options = Object.entries(LANGUAGES).map(([code, name]) =>
    el("option", { value: code, selected: code === language() }, name));
  return el("select", {
    "aria-label": t("app.language"),
    onchange: async (event) => { await chooseLanguage(event.target.value); state.me ? showDesk() : showSignIn(); },
  }, options);
}

function top() {
  return el("header.top", {},
    el("a.brand", { href: "#/" }, el("img", { src: "/icon.svg", alt: "" }), t("app.name")),
    el("span.fill"),
    languageChoice(),
    state.me && el("span.who", {}, `${state.me.name} · ${known("role", state.me.role)}`),
    state.me && el("button.quiet", { onclick: signOut }, t("app.sign_out")));
}

async function signOut() {
  try { await post("/api/sign-out"); } catch (error) { if (error.code !== "not_signed_in") showError(error); }
  signedOut();
}

function signedOut(words) {
  if (!state.me && !words) return;
  end();
  state.me = null;
  showSignIn(words ?? t("sign_in.ended"));
}

function end() {
  state.stop?.();
  state.stop = null;
  state.page?.close();
  state.page = null;
  state.channels.clear();
}

async function signedIn(me) {
  state.me = me;
  history.replaceState(null, "", location.pathname + (location.hash.startsWith("#demo=") ? "#/" : location.hash));
  const channels = await get("/api/channels");
  for (const channel of channels) state.channels.set(channel.name, channel);
  if (channels.length === 1 && !location.hash.startsWith("#/channel/")) {
    history.replaceState(null, "", "#/channel/" + encodeURIComponent(channels[0].name));
  }
  showDesk();
  state.stop = follow({
    status(channel) {
      const isNew = !state.channels.has(channel.name);
      state.channels.set(channel.name, channel);
      state.page?.update(channel, isNew);
    },
    event({ channel, event }) { state.page?.event?.(channel, event); },
    link(linked) {
      if (linked !== state.linked && !linked) announce(t("app.unreachable"));
      state.linked = linked;
      document.getElementById("link")?.toggleAttribute("hidden", linked);
    },
  });
}

function showSignIn(words) {
  const demo = location.hash.startsWith("#demo=") ? location.hash.slice(6) : null;
  const problem = el("div", { role: "alert" }, words && el("p.notice.warn", {}, words));
  const attempt = async (button, path, body) => {
    button.disabled = true;
    try {
      const me = await post(path, body);
      await signedIn(me);
    } catch (error) {
      fill(problem, el("p.notice.bad", {}, known("error", error.code, error.message)));
    } finally {
      button.disabled = false;
    }
  };
  const name = el("input", { name: "name", autocomplete: "username", required: true, autofocus: !demo, maxLength: 32 });
  const password = el("input", { name: "password", type: "password", autocomplete: "current-password", required: true });
  const submit = el("button.primary", { type: "submit" }, t("sign_in.button"));
  const form = el("form", {
    onsubmit: (event) => {
      event.preventDefault();
      attempt(submit, "/api/sign-in", { name: name.value.trim(), password: password.value });
    },
  }, el("label", {}, t("sign_in.name"), name), el("label", {}, t("sign_in.password"), password), submit);
  const enter = demo && el("button.primary", { id: "demo" }, t("sign_in.demo"));
  enter?.addEventListener("click", () => attempt(enter, "/api/demo-sign-in", { token: demo }));
  document.title = `${t("sign_in.title")} · ${t("app.name")}`;
  fill(root, top(), el("main", {},
    el("section.panel.sign-in", {}, el("h1", {}, t("sign_in.title")), problem,
      demo ? el("p.row", {}, enter) : form)));
  (enter ?? name).focus();
}

function showDesk() {
  state.page?.close();
  const main = el("main", { id: "main", tabIndex: -1 });
  const link = el("p.notice.warn", { id: "link", role: "status", hidden: state.linked }, t("app.unreachable"));
  fill(root, top(), main);
  const at = location.hash.match(/^#\/channel\/(.+)$/);
  const context = { me: state.me, channels: state.channels, showError };
  state.page = at ? new ChannelPage(decodeURIComponent(at[1]), context) : new OverviewPage(context);
  main.append(link, state.page.node);
  document.title = `${state.page.title} · ${t("app.name")}`;
}

addEventListener("hashchange", () => {
  if (!state.me) return;
  showDesk();
  document.getElementById("main").focus();
});

whenSignedOut(() => signedOut());
await chooseLanguage();
try {
  await signedIn(await get("/api/me"));
} catch (error) {
  showSignIn(error.code === "not_signed_in" ? undefined : known("error", error.code, error.message));
}
