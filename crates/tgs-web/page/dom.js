// Builds and replaces elements. Text is always a text node: nothing here parses HTML.

/** An element: `el("a.big", { href: "#", onclick: f }, "text", child)`. */
export function el(name, props = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key in node && !key.startsWith("aria") && key !== "list") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return node;
}

/** Replaces the children of `node`. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return node;
}

/** Sets the text of `node` if it differs, so that a selection survives. */
export function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

/** Says `words` to a screen reader. */
export function announce(words) {
  text(document.getElementById("announce"), words);
}

let toastTimer;

/** Shows `words` for a few seconds. */
export function toast(words, kind = "good") {
  document.querySelector(".toast")?.remove();
  const node = el("div.toast.notice." + kind, { role: kind === "good" ? "status" : "alert" }, words);
  document.body.append(node);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => node.remove(), kind === "good" ? 3000 : 9000);
}

/** Asks a question, with `fields` to fill in; true if it is answered with `yes`. */
export function confirmed(question, yes, no, ...fields) {
  return new Promise((resolve) => {
    const title = el("h2", { id: "question" }, question);
    const dialog = el("dialog", { "aria-labelledby": "question" }, el("form", { method: "dialog" }, title, fields,
      el("p.row", {},
        el("button.primary", { type: "submit", value: "yes" }, yes),
        el("button", { type: "button", onclick: () => dialog.close("no") }, no))));
    dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue === "yes"); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Loads a script or a style sheet of the desk once. */
const loaded = new Map();
export function load(path) {
  if (!loaded.has(path)) {
    loaded.set(path, new Promise((resolve, reject) => {
      const node = path.endsWith(".css")
        ? el("link", { rel: "stylesheet", href: path })
        : el("script", { src: path });
      node.addEventListener("load", resolve);
      node.addEventListener("error", () => { loaded.delete(path); node.remove(); reject(new Error(path)); });
      document.head.append(node);
    }));
  }
  return loaded.get(path);
}
