// The live input: who publishes, its picture on request, and the commands that put it on air or
// drop it.

import { confirmed, el, fill, text } from "./dom.js";
import { PREVIEW, Player } from "./player.js";
import { known, t } from "./text.js";

export class LiveInput {
  /** `send` sends a command; without it there are no buttons. */
  constructor(channel, send) {
    this.pill = el("span.pill");
    this.publisher = el("p.dim");
    const act = (id, method, kind) => el("button" + kind, {
      id: "live-" + id,
      onclick: async () => {
        if (await confirmed(t(`live.${id}_question`, { name: channel }), t(`live.${id}`), t("app.no"))) await send(method, {}, t(`live.${id}_done`));
      },
    }, t(`live.${id}`));
    this.take = send && act("take", "live.take", "");
    this.drop = send && act("drop", "live.drop", ".danger");
    this.channel = channel;
    this.screen = send && el("div.preview", { hidden: true });
    this.show = send && el("button", { id: "live-preview", onclick: () => this.setShown(!this.player) });
    this.node = el("section", { "aria-labelledby": "live-title", hidden: true },
      el("div.row.controls", {}, el("h2", { id: "live-title" }, t("live.title")), this.pill, this.show, this.take, this.drop), this.publisher, this.screen);
    this.setShown(false);
  }

  /** Shows or hides what the publisher sends. */
  setShown(shown) {
    if (!this.screen) return;
    this.player?.close();
    this.player = shown ? new Player(this.channel, PREVIEW) : null;
    this.player?.setWanted(true);
    fill(this.screen, this.player?.node, shown && this.player.sound);
    this.screen.hidden = !shown;
    text(this.show, t(shown ? "live.preview_hide" : "live.preview"));
    this.show.setAttribute("aria-expanded", String(shown));
  }

  close() {
    this.setShown(false);
  }

  update(channel) {
    const live = channel.running ? channel.status?.live : null;
    const shown = JSON.stringify(live ?? null);
    if (shown === this.shown) return;
    this.shown = shown;
    this.node.hidden = !live;
    if (!live) return;
    const publisher = live.publisher;
    text(this.pill, live.on_air ? t("live.on_air") : live.waits_for_take ? t("live.waits") : known("live_state", live.state));
    this.pill.className = "pill " + (live.on_air ? "good" : live.waits_for_take || live.state === "stalled" ? "warn" : "");
    fill(this.publisher, publisher ? [publisher.key, publisher.address, publisher.format].filter(Boolean).join(" · ") : live.url);
    if (!this.take) return;
    this.show.disabled = !publisher;
    if (!publisher && this.player) this.setShown(false);
    this.take.disabled = !publisher || live.on_air;
    this.drop.disabled = live.state === "absent";
  }
}
