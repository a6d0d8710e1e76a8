// A day of the timetable: its slots and the list between them, a line for now, and changes.

import { get, path, post } from "./api.js";
import { announce, confirmed, el, fill, text, toast } from "./dom.js";
import { isSource, sourceField } from "./source.js";
import { known, language, length, t } from "./text.js";

/** How often the line for now moves, and how often the plan is read again. */
const LINE_EVERY = 10_000;
const PLAN_EVERY = 5 * 60_000;

/** Height of a row: an hour of it, and the highest. */
const HOUR = 36;
const HIGHEST = 220;

const DAYS = ["mon-fri", "sat,sun", "daily", "first mon", "last sat"];

/** `20:00`, or `20:00:30`. */
const clock = (time) => time.replace(/^(\d\d:\d\d):00$/, "$1");

/** The date `by` days after `date`, both as in 2026-12-31. */
function later(date, by) {
  const day = new Date(`${date}T12:00:00Z`);
  day.setUTCDate(day.getUTCDate() + by);
  return day.toISOString().slice(0, 10);
}

export class DayView {
  constructor(channel, { me, showError }) {
    this.channel = channel;
    this.showError = showError;
    this.operator = me.role === "operator";
    this.date = null;
    this.title = el("h3", { id: "day-title" });
    this.zone = el("span.dim");
    this.problem = el("p.notice.bad", { hidden: true });
    this.list = el("ol.day", { "aria-labelledby": "day-title" });
    const turn = (id, words, act) => el("button", { id, onclick: act }, words);
    this.body = el("div", { hidden: true },
      el("div.row.between", {}, el("span", {}, this.title, " ", this.zone),
        el("span.row", {},
          turn("day-before", t("day.before"), () => this.go(later(this.date, -1))),
          turn("day-today", t("day.today"), () => this.go(null)),
          turn("day-after", t("day.after"), () => this.go(later(this.date, 1))))),
      this.problem, this.list, this.operator && this.addForm(me.library));
    this.none = el("p.dim");
    this.node = el("div", {}, this.none, this.body);
    this.line = el("div.now", { id: "day-now", "aria-hidden": "true" });
    this.timers = [setInterval(() => this.mark(), LINE_EVERY), setInterval(() => this.node.isConnected && !document.hidden && this.load(), PLAN_EVERY)];
  }

  go(date) {
    this.date = date;
    return this.load().then(() => announce(this.title.textContent));
  }

  async load() {
    const wanted = this.date && this.date !== this.today ? `?from=${this.date}` : "";
    const number = this.asked = (this.asked ?? 0) + 1;
    try {
      const shown = await get(path(this.channel, "/timetable" + wanted));
      if (number !== this.asked || !this.timers) return;
      this.show(shown, !wanted);
    } catch (error) {
      if (number !== this.asked) return;
      this.body.hidden = true;
      text(this.none, known("error", error.code, error.message));
      this.none.hidden = false;
    }
  }

  show({ etag, problem, slots, plan }, isToday) {
    this.etag = etag;
    this.slots = slots;
    this.none.hidden = true;
    this.body.hidden = false;
    this.problem.hidden = !problem;
    text(this.problem, problem ? t("day.problem", { problem }) : "");
    this.rows = plan.rows;
    const date = plan.rows[0]?.local.slice(0, 10);
    if (date) this.date = date;
    if (date && isToday) this.today = date;
    const day = date && new Intl.DateTimeFormat(language(), { dateStyle: "full", timeZone: "UTC" }).format(new Date(date + "T00:00:00Z"));
    text(this.title, day ?? "");
    text(this.zone, plan.timezone ?? "");
    const focused = document.activeElement?.dataset?.act;
    this.items = this.rows.map((row) => this.item(row));
    fill(this.list, this.items);
    if (focused) this.list.querySelector(`[data-act="${focused}"]`)?.focus();
    this.mark();
  }

  item(row) {
    const slot = this.slots[row.slot];
    const words = { list: t("day.list"), fill: t("day.fill", { name: row.name }) }[row.kind] ?? (row.resumed ? t("day.resumed", { name: row.name }) : row.name);
    const never = row.kind === "never";
    const note = [!never && (row.open ? "≤ " : "") + length(row.length_seconds), row.starts && known("day_start", row.starts), row.kind === "slot" && slot?.days,
      row.kind === "slot" && slot?.play].filter(Boolean).join(" · ");
    const item = el("li." + row.kind, {},
      el("time", { dateTime: row.local }, clock(row.local.slice(11, 19))),
      el("div.grow", {}, el("span.name", {}, words), " ", el("span.pill.good.aired", { hidden: true }, t("day.on_air")), " ",
        el("span.pill.bad.moment", { hidden: true }),
        el("div.dim", {}, note),
        (row.warnings ?? []).map((warning) => el("div.warning", {}, warning.text))));
    item.style.minHeight = Math.min(HIGHEST, Math.max(HOUR, row.length_seconds / 3600 * HOUR)) + "px";
    if (this.operator && slot && row.starts && slot.name === row.name) {
      const act = (name, run) => {
        const button = el("button.quiet", { "aria-label": t(`day.${name}_slot`, { name: row.name, at: clock(slot.at) }), onclick: () => run(row, slot) }, t(`day.${name}`));
        button.dataset.act = `${name}-${row.slot}`;
        return button;
      };
      item.append(el("span.row", {}, act("move", (...of) => this.move(...of)), act("remove", (...of) => this.remove(...of))));
    }
    return item;
  }

  /** Marks what is on air, and reads the plan again when that changes. */
  update(channel) {
    const onAir = channel.running && channel.status?.on_air;
    const lane = onAir?.state === "item" ? onAir.lane ?? "" : null;
    const state = JSON.stringify([channel.running, lane]);
    if (state === this.state) return;
    this.state = state;
    this.lane = lane;
    if (this.node.isConnected) this.load();
    else this.mark();
  }

  /** Moves the line to now. */
  mark() {
    const now = Date.now();
    this.line.remove();
    for (const [at, row] of (this.rows ?? []).entries()) {
      const item = this.items[at];
      const start = Date.parse(row.start);
      const part = (now - start) / (row.length_seconds * 1000);
      const isNow = row.kind !== "never" && part >= 0 && part < 1;
      item.classList.toggle("current", isNow);
      if (isNow) item.setAttribute("aria-current", "time");
      else item.removeAttribute("aria-current");
      // A soft start waits for its item: what is planned may not be on air yet.
      const lane = row.kind === "list" ? "" : row.name;
      item.querySelector(".aired").hidden = !(isNow && this.lane === lane);
      const moment = item.querySelector(".moment");
      moment.hidden = !isNow;
      if (isNow) {
        // By the timetable's clock, as the row shows it.
        const local = new Date(Date.parse(row.local.slice(0, 19) + "Z") + now - start);
        text(moment, t("day.now", { time: local.toISOString().slice(11, 16) }));
        this.line.style.top = part * 100 + "%";
        item.append(this.line);
      }
    }
  }

  // Changes

  async change(body, done) {
    try {
      await post(path(this.channel, "/timetable"), { etag: this.etag, ...body });
      toast(done);
      await this.load();
      return true;
    } catch (error) {
      this.showError(error);
      if (error.code === "changed") await this.load();
      return false;
    }
  }

  async move(row, slot) {
    const field = el("input", { id: "move-to", type: "time", step: 1, required: true, value: clock(slot.at) });
    const label = el("label", {}, t("day.move_to", { days: slot.days }), field);
    if (await confirmed(t("day.move_question", { name: row.name }), t("day.move"), t("app.no"), label)) {
      await this.change({ action: "move", slot: row.slot, name: row.name, at: field.value }, t("day.moved", { name: row.name, at: field.value }));
    }
  }

  async remove(row, slot) {
    if (await confirmed(t("day.remove_question", { name: row.name, days: slot.days, at: clock(slot.at) }), t("day.remove"), t("app.no"))) {
      await this.change({ action: "remove", slot: row.slot, name: row.name }, t("day.removed", { name: row.name }));
    }
  }

  addForm(library) {
    const play = sourceField("slot-play", library, { onPick: (file) => play.set(file), showError: this.showError });
    play.field.required = true;
    const field = (id, props) => el("input", { id, autocomplete: "off", ...props });
    const name = field("slot-name", { required: true, maxLength: 200 });
    const days = field("slot-days", { list: "slot-days-list", placeholder: "daily" });
    const at = field("slot-at", { type: "time", step: 1, required: true });
    const lasts = field("slot-for", { placeholder: "30m", size: 8 });
    const start = el("select", { id: "slot-start" }, ["hard", "soft"].map((value) => el("option", { value }, known("day_start", value))));
    const labelled = (key, node, ...more) => el("label", {}, t(key), node, more);
    const form = el("form.add", {
      onsubmit: async (event) => {
        event.preventDefault();
        if (!isSource(play.field.value.trim())) return play.search();
        const slot = { name: name.value.trim(), at: at.value, play: play.field.value.trim(), start: start.value };
        if (days.value.trim()) slot.days = days.value.trim();
        if (lasts.value.trim()) slot.for = lasts.value.trim();
        if (await this.change({ action: "add", slot }, t("day.added", { name: slot.name }))) { form.reset(); play.set(""); }
      },
    }, labelled("day.name", name), labelled("day.at", at), labelled("day.days", days, el("datalist", { id: "slot-days-list" }, DAYS.map((value) => el("option", { value })))),
    labelled("day.for", lasts), labelled("day.start", start),
    el("div", {}, el("label", { htmlFor: "slot-play" }, library ? t("day.play") : t("day.play_url")), play.field, play.found),
    el("button.primary", { type: "submit" }, t("day.add")));
    return el("details", { id: "slot-new" }, el("summary", {}, t("day.new")), form);
  }

  close() {
    this.timers?.forEach(clearInterval);
    this.timers = null;
  }
}
