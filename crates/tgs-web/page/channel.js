// The page of one channel.

import { command, get, path } from "./api.js";
import { confirmed, el, fill, text, toast } from "./dom.js";
import { LiveInput } from "./live.js";
import { Player } from "./player.js";
import { Queue } from "./queue.js";
import { known, length, moment, number, t } from "./text.js";
import { DayView } from "./timetable.js";

/** The channel's condition: the kind of pill and its words. */
export function condition(channel) {
  if (!channel.running) return { kind: "bad", words: t("state.not_running") };
  const status = channel.status;
  if (status.stopped) return { kind: "warn", words: t("state.stopped") };
  if (status.hosts?.role === "standby" && !status.unhealthy) return { kind: "warn", words: t("state.standby") };
  if (status.unhealthy) return { kind: "bad", words: t("state.unhealthy") };
  if (status.paused) return { kind: "warn", words: t("state.paused") };
  const states = { item: ["good", t("state.item")], filler: ["warn", t("state.filler")] };
  const [kind, words] = states[status.on_air?.state] ?? ["warn", t("state.starting")];
  return { kind, words };
}

export function onAirTitle(channel) {
  const onAir = channel.status?.on_air;
  if (!channel.running) return known("problem", channel.problem, channel.problem ?? "");
  if (channel.status.stopped) return t("channel.stopped");
  if (onAir?.state === "item") return onAir.title || onAir.id;
  return onAir?.cause ?? "";
}

/** The slot or live input on air; empty for the list. */
export const lane = (channel) => (channel.running && !channel.status.stopped && channel.status.on_air?.lane) || "";

export function progress(channel) {
  const onAir = channel.status?.on_air;
  if (!channel.running || onAir?.state !== "item") return null;
  return { at: onAir.offset_seconds, of: onAir.duration_seconds };
}

const PLAYLIST_PAGE = 100;

export class ChannelPage {
  constructor(name, context) {
    this.name = name;
    this.title = name;
    this.context = context;
    this.operator = context.me.role === "operator";
    this.events = [];
    this.player = new Player(name);
    this.queue = new Queue(name, context);
    this.day = new DayView(name, context);
    this.live = new LiveInput(name, this.operator && ((...command) => this.send(...command)));
    this.notices = el("div", { role: "status" });
    this.pill = el("span.pill");
    this.onAir = el("h2", { id: "on-air" });
    this.lane = el("span.pill", { id: "lane", hidden: true });
    this.bar = el("progress", { max: 1, "aria-label": t("channel.progress") });
    this.at = el("span.dim", { id: "position" });
    this.upcoming = el("ol.plain");
    this.facts = el("dl.facts");
    this.tab = "playlist";
    this.offset = null;
    this.node = el("div", {},
      el("div.row.head", {}, el("h1", {}, name), this.pill),
      this.notices,
      el("div.channel", {},
        el("section.panel", { "aria-labelledby": "on-air" },
          this.player.node,
          el("div.row.controls", {}, this.player.toggle, this.player.sound, this.player.full),
          el("div.row.title", {}, this.onAir, this.lane), this.bar, el("div.row.between", {}, this.at),
          this.operator ? this.controls() : el("p.dim", {}, t("channel.viewer")),
          this.live.node, this.facts),
        el("div", {},
          this.queue.node,
          el("section.panel", { "aria-labelledby": "upcoming-title" },
            el("h2", { id: "upcoming-title" }, t("channel.upcoming")), this.upcoming)),
        this.tabs()));
    const channel = context.channels.get(name);
    if (channel) this.update(channel);
    else fill(this.notices, el("p.notice.bad", {}, t("channel.unknown")));
    this.showTab();
    get(path(name, "/events")).then((events) => {
      this.events = [...events, ...this.events].slice(-200);
      if (this.tab === "events") this.showTab();
    }, () => {});
  }

  // Commands

  async send(method, params, done) {
    try {
      await command(this.name, method, params);
      toast(done ?? t("channel.done"));
      return true;
    } catch (error) {
      this.context.showError(error);
      return false;
    }
  }

  controls() {
    const button = (id, words, act, kind = "") => {
      const node = el("button" + kind, { id, onclick: async () => { node.disabled = true; await act(); node.disabled = false; } }, words);
      return node;
    };
    this.pauseButton = button("pause", t("command.pause"), () =>
      this.channel?.status?.paused ? this.send("resume", {}, t("command.resumed")) : this.send("pause", {}, t("command.paused")));
    this.stopButton = button("stop", t("command.stop"), () => this.stopOrStart(), ".danger");
    this.commands = [
      button("previous", t("command.previous"), () => this.send("previous")),
      button("back", t("command.back"), () => this.send("seek", { by: -30 })),
      this.pauseButton,
      button("forward", t("command.forward"), () => this.send("seek", { by: 30 })),
      button("next", t("command.next"), () => this.send("next")),
    ];
    const seek = el("input", { id: "seek-to", inputMode: "numeric", placeholder: "0:00", "aria-label": t("command.seek_label"), size: 7 });
    const title = el("input", { id: "title", maxLength: 128, "aria-label": t("command.title_label"), placeholder: t("command.title_hint") });
    const form = (field, words, act) => el("form.row", {
      onsubmit: (event) => { event.preventDefault(); act(field.value.trim()); },
    }, el("span.grow", {}, field), el("button", { type: "submit" }, words));
    return el("div", {},
      el("div.row.controls", { role: "group", "aria-label": t("command.group") }, this.commands),
      el("div.row.controls", {},
        form(seek, t("command.seek"), (value) => this.seek(value)),
        form(title, t("command.title"), (value) => this.send("title.set", { text: value }))),
      el("div.row.controls", {}, this.stopButton,
        button("stop-after", t("command.stop_after"), () => this.stopAfter(), ".danger")));
  }

  seek(value) {
    const parts = value.split(":").map(Number);
    if (!value || parts.length > 3 || parts.some((part) => !Number.isFinite(part) || part < 0)) return toast(t("command.seek_wrong"), "bad");
    return this.send("seek", { to: parts.reduce((all, part) => all * 60 + part, 0) });
  }

  async stopOrStart() {
    if (this.channel?.status?.stopped) return this.send("start", {}, t("command.started"));
    if (await confirmed(t("command.stop_question", { name: this.name }), t("command.stop"), t("app.no"))) {
      await this.send("stop", {}, t("command.stopped"));
    }
  }

  async stopAfter() {
    if (await confirmed(t("command.stop_after_question", { name: this.name }), t("command.stop_after"), t("app.no"))) {
      await this.send("stop", { after_current: true }, t("command.stops_after"));
    }
  }

  // Live state

  update(channel) {
    if (channel.name !== this.name) return;
    const before = this.channel;
    this.channel = channel;
    const { kind, words } = condition(channel);
    text(this.pill, words);
    this.pill.className = "pill " + kind;
    text(this.onAir, onAirTitle(channel) || "–");
    text(this.lane, lane(channel));
    this.lane.hidden = !lane(channel);
    this.live.update(channel);
    this.day.update(channel);
    const at = progress(channel);
    this.bar.hidden = !at?.of;
    if (at?.of) this.bar.value = Math.min(1, at.at / at.of);
    text(this.at, at ? `${length(at.at)} / ${length(at.of)}` : "");
    this.showNotices(channel);
    this.showFacts(channel);
    const status = channel.status;
    const upcoming = JSON.stringify(status?.upcoming ?? []);
    if (this.upcoming.dataset.shown !== upcoming) {
      this.upcoming.dataset.shown = upcoming;
      const titles = status?.upcoming ?? [];
      fill(this.upcoming, titles.length ? titles.map((title) => el("li", {}, title)) : el("li.dim", {}, t("channel.nothing_next")));
    }
    if (this.operator) {
      const off = !channel.running;
      text(this.pauseButton, status?.paused ? t("command.resume") : t("command.pause"));
      text(this.stopButton, status?.stopped ? t("command.start") : t("command.stop"));
      for (const button of [...this.commands, this.stopButton]) if (before?.running !== channel.running) button.disabled = off;
    }
    const item = (one) => one?.status?.on_air?.id ?? one?.status?.on_air?.state;
    if (before?.running !== channel.running || before?.status?.queue_length !== status?.queue_length || item(before) !== item(channel)) {
      this.queue.load();
      if (this.tab === "playlist" && before) this.showTab();
    }
  }

  showNotices(channel) {
    const status = channel.status;
    const notices = [];
    if (!channel.running) notices.push(["bad", known("problem", channel.problem, channel.problem ?? "")]);
    if (status?.unhealthy) notices.push(["bad", status.unhealthy]);
    if (status?.stopped) notices.push(["warn", t("channel.stopped_help")]);
    if (status?.paused) notices.push(["warn", status.pause_ends ? t("channel.paused_until", { time: moment(status.pause_ends) }) : t("channel.paused_help")]);
    if (status?.stops_after_current) notices.push(["warn", t("channel.stops_after")]);
    if (status?.telegram?.why) notices.push(["warn", `${status.telegram.state}: ${status.telegram.why}`]);
    for (const warning of status?.warnings ?? []) notices.push(["warn", warning]);
    const shown = JSON.stringify(notices);
    if (this.notices.dataset.shown === shown) return;
    this.notices.dataset.shown = shown;
    fill(this.notices, notices.map(([kind, words]) => el("p.notice." + kind, {}, words)));
  }

  showFacts(channel) {
    const status = channel.status ?? {};
    const facts = [
      [t("fact.publisher"), status.publisher && known("publisher", status.publisher.state)],
      [t("fact.session"), status.telegram && status.telegram.state],
      [t("fact.readahead"), status.readahead_seconds !== undefined && t("fact.seconds", { n: number(status.readahead_seconds) })],
      [t("fact.speed"), status.encoder_speed_ratio && `${number(status.encoder_speed_ratio, 2)}×`],
      [t("fact.title"), status.title],
      [t("fact.viewers"), typeof status.telegram?.viewers === "number" && number(status.telegram.viewers, 0)],
      [t("fact.chat"), status.telegram?.chat],
      [t("fact.output"), status.output],
      [t("fact.last_failure"), status.last_failure],
      [t("fact.started"), status.started_at && moment(status.started_at)],
    ].filter(([, value]) => value);
    const shown = JSON.stringify(facts);
    if (this.facts.dataset.shown === shown) return;
    this.facts.dataset.shown = shown;
    fill(this.facts, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  }

  event(name, event) {
    if (name !== this.name) return;
    this.events.push(event);
    if (this.events.length > 200) this.events.shift();
    if (this.tab === "events") this.showTab();
    if (this.tab === "asrun" && /item|filler|outage/.test(event.event ?? "")) this.showTab();
    this.queue.load();
  }

  // Tabs

  tabs() {
    const names = ["playlist", "timetable", "asrun", "charts", "events", "log"];
    const titles = { playlist: t("tab.playlist"), timetable: t("tab.timetable"), asrun: t("tab.asrun"), charts: t("tab.charts"), events: t("tab.events"), log: t("tab.log") };
    this.panel = el("div.scroll", { role: "tabpanel", id: "tab-panel", tabIndex: 0 });
    this.buttons = names.map((name) => {
      const button = el("button", { role: "tab", id: "tab-" + name, "aria-controls": "tab-panel", onclick: () => this.choose(name) }, titles[name]);
      button.addEventListener("keydown", (event) => {
        const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (by) this.choose(names[(names.indexOf(name) + by + names.length) % names.length], true);
      });
      return button;
    });
    return el("section.panel.wide", { "aria-label": t("tab.group") }, el("div.tabs", { role: "tablist", "aria-label": t("tab.group") }, this.buttons), this.panel);
  }

  choose(name, focus = false) {
    this.tab = name;
    this.offset = null;
    fill(this.panel);
    this.showTab();
    if (focus) document.getElementById("tab-" + name).focus();
  }

  async showTab() {
    for (const button of this.buttons) {
      const chosen = button.id === "tab-" + this.tab;
      button.setAttribute("aria-selected", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    }
    this.panel.setAttribute("aria-labelledby", "tab-" + this.tab);
    const tab = this.tab;
    const show = { playlist: () => this.playlist(), timetable: () => this.timetable(), asrun: () => this.asRun(), charts: () => this.charts(), events: () => this.eventList(), log: () => this.log() };
    try {
      const nodes = await show[tab]();
      if (nodes && tab === this.tab) fill(this.panel, nodes);
    } catch (error) {
      if (tab === this.tab) fill(this.panel, el("p.dim", {}, known("error", error.code, error.message)));
    }
  }

  async playlist() {
    let page;
    if (this.offset === null) {
      // The page with the current entry.
      const all = await get(path(this.name, "/playlist?limit=1000"));
      const current = all.entries.findIndex((entry) => entry.state === "current");
      this.offset = Math.max(0, Math.floor(current / PLAYLIST_PAGE) * PLAYLIST_PAGE);
      page = { total: all.total, entries: all.entries.slice(this.offset, this.offset + PLAYLIST_PAGE) };
    } else {
      page = await get(path(this.name, `/playlist?offset=${this.offset}&limit=${PLAYLIST_PAGE}`));
    }
    const turn = (by) => { this.offset += by; this.showTab(); };
    const rows = page.entries.map((entry) => el(entry.state === "current" ? "tr.current" : entry.state === "passed" ? "tr.passed" : "tr",
      { "aria-current": entry.state === "current" ? "true" : null },
      el("td.number", {}, String(entry.index + 1)),
      el("td", {}, entry.title || entry.source, entry.state === "current" && el("span.hidden-text", {}, " " + t("playlist.current"))),
      this.operator && el("td", {}, el("button.quiet", {
        "aria-label": t("playlist.play_now", { title: entry.title || entry.source }),
        onclick: () => this.goto(entry),
      }, t("playlist.play")))));
    return [
      el("div.row.between", {},
        el("span.dim", {}, t("playlist.count", { from: page.entries.length ? this.offset + 1 : 0, to: this.offset + page.entries.length, total: page.total })),
        el("span.row", {},
          el("button", { disabled: this.offset === 0, onclick: () => turn(-PLAYLIST_PAGE) }, t("playlist.earlier")),
          el("button", { disabled: this.offset + PLAYLIST_PAGE >= page.total, onclick: () => turn(PLAYLIST_PAGE) }, t("playlist.later")),
          this.operator && el("button", { onclick: () => this.send("playlist.reload").then(() => this.showTab()) }, t("playlist.reload")))),
      el("table", {}, el("thead", {}, el("tr", {}, el("th.number", {}, "№"), el("th", {}, t("playlist.title")), this.operator && el("th", {}, el("span.hidden-text", {}, t("playlist.play"))))),
        el("tbody", {}, rows)),
    ];
  }

  async goto(entry) {
    const params = entry.id ? { id: entry.id } : { index: entry.index };
    if (await confirmed(t("playlist.play_question", { title: entry.title || entry.source }), t("playlist.play"), t("app.no"))) {
      if (await this.send("goto", params)) this.showTab();
    }
  }

  async timetable() {
    await this.day.load();
    return this.day.node;
  }

  async asRun() {
    const { entries } = await get(path(this.name, "/as-run?limit=500"));
    const words = (entry) => [entry.title, entry.source, entry.id, entry.reason, entry.by, entry.kind, entry.lane].join(" ").toLowerCase();
    const hasLanes = entries.some((entry) => entry.lane);
    const columns = ["asrun.start", "asrun.length", "asrun.what", hasLanes && "asrun.lane", "asrun.how"].filter(Boolean);
    const body = el("tbody");
    const field = el("input", { type: "search", "aria-label": t("asrun.search"), placeholder: t("asrun.search"), value: this.asRunWords ?? "" });
    const show = () => {
      this.asRunWords = field.value;
      const wanted = field.value.toLowerCase().split(/\s+/);
      const found = entries.filter((entry) => wanted.every((word) => words(entry).includes(word))).reverse();
      fill(body, found.map((entry) => el("tr", {},
        el("td", {}, el("time", { dateTime: entry.start }, moment(entry.start))),
        el("td", {}, entry.end ? length((Date.parse(entry.end) - Date.parse(entry.start)) / 1000) + (entry.estimated ? " ≈" : "") : t("asrun.on_air")),
        el("td", {}, entry.title || known("asrun_kind", entry.kind)),
        hasLanes && el("td", {}, entry.lane ?? ""),
        el("td", {}, [known("asrun_end", entry.ended ?? "", ""), entry.by, entry.reason].filter(Boolean).join(" · ")))));
    };
    field.addEventListener("input", show);
    const typing = document.activeElement?.type === "search" && this.panel.contains(document.activeElement);
    show();
    if (typing) queueMicrotask(() => field.focus());
    return [
      el("div.row", {}, el("span.grow", {}, field), el("a.button", { href: path(this.name, "/as-run.csv"), download: "" }, t("asrun.csv"))),
      el("table", {}, el("thead", {}, el("tr", {}, columns.map((key) => el("th", {}, t(key))))), body),
    ];
  }

  async charts() {
    const node = el("div");
    const { draw } = await import("./charts.js");
    const hours = this.hours ?? 24;
    const choice = el("select", { "aria-label": t("charts.period"), onchange: (event) => { this.hours = Number(event.target.value); this.showTab(); } },
      [1, 6, 24].map((n) => el("option", { value: n, selected: n === hours }, t("charts.hours", { n }))));
    fill(this.panel, el("p", {}, choice), node);
    await draw(node, this.name, hours);
    return null;
  }

  eventList() {
    if (!this.events.length) return el("p.dim", {}, t("events.none"));
    return el("table", {}, el("tbody", {}, this.events.toReversed().map((event) => el("tr", {},
      el("td", {}, event.at && el("time", { dateTime: event.at }, moment(event.at))),
      el("td", {}, known("event", event.event)),
      el("td", {}, [event.item?.title, event.item?.lane, event.publisher?.key, event.key, event.title, event.cause, event.detail, event.reason, event.command, event.state,
        typeof event.how === "object" && known("asrun_end", event.how?.how), event.how?.by?.client, event.by].filter((part) => typeof part === "string" && part).join(" · "))))));
  }

  async log() {
    const { lines } = await get(path(this.name, "/log?lines=200"));
    return [el("p", {}, el("button", { onclick: () => this.showTab() }, t("log.again"))), el("pre.log", {}, lines.join("\n") || t("log.none"))];
  }

  close() {
    this.player.close();
    this.live.close();
    this.queue.close();
    this.day.close();
  }
}
