// The queue: order by drag or with the arrow keys, and what can be added.

import { command, get, path } from "./api.js";
import { announce, confirmed, el, fill, toast } from "./dom.js";
import { ItemPreview } from "./preview.js";
import { isSource, sourceField } from "./source.js";
import { t } from "./text.js";

export class Queue {
  constructor(channel, { me, showError }) {
    this.channel = channel;
    this.showError = showError;
    this.operator = me.role === "operator";
    this.entries = [];
    this.loads = 0;
    this.last = Promise.resolve();
    this.list = el("ol.queue", { id: "queue", "aria-label": t("queue.title") });
    this.empty = el("p.dim", {}, t("queue.empty"));
    this.clear = this.operator && el("button.quiet.danger", { hidden: true, onclick: () => this.removeAll() }, t("queue.clear"));
    this.node = el("section.panel", { "aria-labelledby": "queue-title" },
      el("div.row.between", {}, el("h2", { id: "queue-title" }, t("queue.title")), this.clear),
      this.empty, this.list, this.operator && this.addForm(me.library));
    this.load();
  }

  async load() {
    if (this.dragging || this.closed) return;
    this.loads += 1;
    const nth = this.loads;
    try {
      const { entries } = await get(path(this.channel, "/queue"));
      // An answer that a later one has overtaken is old.
      if (this.dragging || nth !== this.loads || JSON.stringify(entries) === this.shown) return;
      this.shown = JSON.stringify(entries);
      this.entries = entries;
      this.show();
    } catch { /* the page says that the channel does not run */ }
  }

  show() {
    const focused = document.activeElement?.dataset?.handle;
    this.empty.hidden = this.entries.length > 0;
    if (this.clear) this.clear.hidden = this.entries.length === 0;
    fill(this.list, this.entries.map((entry, index) => this.row(entry, index)));
    if (focused) this.list.querySelector(`[data-handle="${focused}"]`)?.focus();
  }

  row(entry, index) {
    const title = entry.title || entry.source;
    const row = el("li", {});
    row.dataset.id = entry.id;
    const movable = this.operator && !entry.on_air;
    if (movable) {
      const handle = el("button.icon.quiet.handle", {
        "aria-label": t("queue.move", { title, position: index + 1 }),
        onpointerdown: (event) => this.drag(event, row, entry),
        onkeydown: (event) => {
          const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
          if (!by) return;
          event.preventDefault();
          this.moveTo(entry, index + by);
        },
      }, "⠿");
      handle.dataset.handle = entry.id;
      row.append(handle);
    }
    row.append(el("span.grow", { title: entry.source }, title),
      entry.on_air && el("span.pill.good", {}, t("queue.on_air")) || "");
    if (this.operator) {
      row.append(el("button.icon.quiet", { "aria-label": t("queue.remove", { title }), onclick: () => this.remove(entry) }, "✕"));
    }
    return row;
  }

  /** Follows the pointer, and moves the entry to where it is dropped. */
  drag(event, row, entry) {
    if (event.button !== 0) return;
    event.preventDefault();
    const handle = event.currentTarget;
    handle.setPointerCapture(event.pointerId);
    handle.focus();
    this.dragging = true;
    const rows = [...this.list.children];
    const from = rows.indexOf(row);
    const height = row.getBoundingClientRect().height;
    const middles = rows.map((one) => { const box = one.getBoundingClientRect(); return box.top + box.height / 2; });
    const start = event.clientY;
    let to = from;
    row.classList.add("dragged");
    const move = (now) => {
      const by = now.clientY - start;
      row.style.transform = `translateY(${by}px)`;
      const middle = middles[from] + by;
      to = from;
      while (to > 0 && middle < middles[to - 1]) to -= 1;
      while (to < rows.length - 1 && middle > middles[to + 1]) to += 1;
      rows.forEach((one, at) => {
        if (one === row) return;
        const shift = at > from && at <= to ? -height : at < from && at >= to ? height : 0;
        one.style.transform = shift ? `translateY(${shift}px)` : "";
      });
    };
    const end = (now) => {
      handle.removeEventListener("pointermove", move);
      handle.removeEventListener("pointerup", end);
      handle.removeEventListener("pointercancel", end);
      row.classList.remove("dragged");
      for (const one of rows) one.style.transform = "";
      this.dragging = false;
      if (now.type === "pointerup" && to !== from) this.moveTo(entry, to);
      else this.load();
    };
    handle.addEventListener("pointermove", move);
    handle.addEventListener("pointerup", end);
    handle.addEventListener("pointercancel", end);
  }

  async moveTo(entry, position) {
    const from = this.entries.indexOf(entry);
    if (position < 0 || position >= this.entries.length || from < 0 || this.entries[position].on_air) return;
    this.entries.splice(position, 0, ...this.entries.splice(from, 1));
    this.show();
    announce(t("queue.moved", { title: entry.title || entry.source, position: position + 1 }));
    await this.act("queue.move", { id: entry.id, position });
  }

  async remove(entry) {
    if (await this.act("queue.remove", { id: entry.id })) toast(t("queue.removed", { title: entry.title || entry.source }));
  }

  async removeAll() {
    if (await confirmed(t("queue.clear_question"), t("queue.clear"), t("app.no"))) await this.act("queue.clear");
  }

  /** Sends a command after those before it, so that they take effect in their order. */
  async act(method, params = {}) {
    const send = async () => {
      try {
        await command(this.channel, method, params);
        return true;
      } catch (error) {
        this.showError(error);
        return false;
      }
    };
    const sent = this.last.then(send);
    this.last = sent;
    const done = await sent;
    // The order after this one alone is not to be seen.
    if (this.last === sent) {
      this.shown = null;
      await this.load();
    }
    return done;
  }

  async add(source) {
    return await this.act("queue.add", { source }) && (toast(t("queue.added")), true);
  }

  addForm(library) {
    const add = async (source) => { if (await this.add(source)) input.set(""); };
    const input = sourceField("add-source", library, { onPick: add, showError: this.showError });
    const shown = new ItemPreview(this.channel, input.field, this.showError);
    return el("form.add", {
      onsubmit: (event) => {
        event.preventDefault();
        const source = input.field.value.trim();
        if (source) return isSource(source) ? add(source) : input.search();
      },
    }, el("label", { htmlFor: "add-source" }, library ? t("queue.add_label") : t("queue.add_label_url")),
      el("div.row", {}, input.field, shown.button, el("button", { type: "submit" }, t("queue.add"))), input.found, shown.node);
  }

  close() { this.closed = true; }
}
