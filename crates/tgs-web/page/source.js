// The field for a source: a path, an address, or words that are looked for in the library.

import { get } from "./api.js";
import { announce, el, fill } from "./dom.js";
import { t } from "./text.js";

/** Whether `text` is an address or a path, not words. */
export const isSource = (text) => text.includes("://") || text.startsWith("/");

/** A field and the files that it finds. `onPick` gets the chosen path. */
export function sourceField(id, library, { onPick, showError }) {
  const field = el("input", { id, autocomplete: "off", placeholder: library ? t("queue.add_hint") : t("queue.add_hint_url") });
  const found = el("div.found", { hidden: true });
  let asked = 0;
  const search = async () => {
    const words = field.value.trim();
    const number = ++asked;
    if (!library || words.length < 2 || isSource(words)) { found.hidden = true; return; }
    try {
      const { paths, more } = await get("/api/library?words=" + encodeURIComponent(words));
      if (number !== asked) return;
      found.hidden = false;
      fill(found, paths.length ? paths.map((file) => el("button", { type: "button", onclick: () => onPick(file) }, file))
        : el("p.dim", {}, t("queue.none_found")), more && el("p.dim", {}, t("queue.more_found")));
      announce(t("queue.found", { count: paths.length }));
    } catch (error) { showError(error); }
  };
  let timer;
  field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 300); });
  const set = (text) => { asked += 1; clearTimeout(timer); field.value = text; found.hidden = true; };
  return { field, found, search, set };
}
