// All channels of the machine, with a picture of each.

import { path } from "./api.js";
import { el, fill, text } from "./dom.js";
import { condition, lane, onAirTitle, progress } from "./channel.js";
import { length, t } from "./text.js";

/** Seconds between pictures. */
const PICTURE_EVERY = 10;

class Card {
  constructor(channel) {
    this.picture = el("div.picture", {}, t("overview.no_picture"));
    this.name = el("h2");
    this.pill = el("span.pill");
    this.onAir = el("div");
    this.bar = el("progress", { max: 1, "aria-label": t("channel.progress") });
    this.next = el("div.dim");
    this.node = el("li", {}, el("a.panel.card", { href: "#/channel/" + encodeURIComponent(channel.name) },
      this.picture, el("div.words", {},
        el("div.row.between", {}, this.name, this.pill), this.onAir, this.bar, this.next)));
    this.update(channel);
    this.load();
    this.timer = setInterval(() => this.load(), PICTURE_EVERY * 1000);
  }

  update(channel) {
    this.channel = channel;
    const { kind, words } = condition(channel);
    text(this.name, channel.name);
    text(this.pill, words);
    this.pill.className = "pill " + kind;
    text(this.onAir, [lane(channel), onAirTitle(channel)].filter(Boolean).join(" · "));
    const at = progress(channel);
    this.bar.hidden = !at?.of;
    if (at?.of) this.bar.value = at.at / at.of;
    const next = channel.status?.upcoming?.[0];
    text(this.next, next ? t("channel.next_is", { title: next }) : at ? length(at.at) : "");
  }

  async load() {
    if (document.hidden || !this.channel.running) return;
    const response = await fetch(path(this.channel.name, "/thumbnail.jpg")).catch(() => null);
    if (!response?.ok) return;
    const url = URL.createObjectURL(await response.blob());
    const image = el("img", { alt: t("overview.picture_of", { name: this.channel.name }) });
    image.addEventListener("load", () => URL.revokeObjectURL(url));
    image.src = url;
    fill(this.picture, image);
  }

  close() { clearInterval(this.timer); }
}

export class OverviewPage {
  constructor({ channels }) {
    this.title = t("overview.title");
    this.cards = new Map();
    this.list = el("ul.cards");
    this.empty = el("p.notice.warn", {}, t("overview.empty"));
    this.node = el("div", {}, el("h1", {}, this.title), this.empty, this.list);
    for (const channel of channels.values()) this.update(channel);
    this.empty.hidden = this.cards.size > 0;
  }

  update(channel) {
    const card = this.cards.get(channel.name);
    if (card) return card.update(channel);
    const made = new Card(channel);
    this.cards.set(channel.name, made);
    this.list.append(made.node);
    this.empty.hidden = true;
  }

  close() { for (const card of this.cards.values()) card.close(); }
}
