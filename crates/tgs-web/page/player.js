// The picture that is on air, or that of the live input's publisher. Loads the player when it is
// asked for, stays close to the broadcast, and tries again after a loss.

import { path } from "./api.js";
import { el, load, text } from "./dom.js";
import { t } from "./text.js";

const RETRY_AFTER = 2000;

/** On air: shown at once, unless this browser has hidden it before. */
const ON_AIR = { id: "picture", url: "/monitor.flv", key: "picture", label: "player.picture_of" };
/** What a publisher sends: shown on request. */
export const PREVIEW = { id: "preview", url: "/preview.flv", label: "player.preview_of" };

export class Player {
  constructor(channel, source = ON_AIR) {
    this.channel = channel;
    this.source = source;
    this.video = el("video", { id: source.id, muted: true, playsInline: true, tabIndex: -1, "aria-label": t(source.label, { name: channel }) });
    this.over = el("div.over", { role: "status" });
    this.node = el("div.screen", {}, this.video, this.over);
    this.toggle = el("button", { onclick: () => this.setWanted(!this.wanted) });
    this.sound = el("button", { onclick: () => this.setSound(this.video.muted) });
    this.full = el("button", { onclick: () => this.node.requestFullscreen?.() }, t("player.full"));
    this.wanted = Boolean(source.key) && localStorage.getItem(source.key) !== "off";
    this.visible = () => (document.hidden ? this.stop() : this.start());
    document.addEventListener("visibilitychange", this.visible);
    this.video.addEventListener("playing", () => { text(this.over, ""); this.over.hidden = true; });
    this.video.addEventListener("waiting", () => this.say(t("player.waiting")));
    this.show();
    this.start();
  }

  say(words) {
    this.over.hidden = false;
    text(this.over, words);
  }

  show() {
    text(this.toggle, this.wanted ? t("player.off") : t("player.on"));
    text(this.sound, this.video.muted ? t("player.sound_on") : t("player.sound_off"));
    this.sound.setAttribute("aria-pressed", String(!this.video.muted));
    if (!this.wanted) this.say(t("player.is_off"));
  }

  setWanted(wanted) {
    this.wanted = wanted;
    if (this.source.key) localStorage.setItem(this.source.key, wanted ? "on" : "off");
    if (wanted) this.start(); else this.stop();
    this.show();
  }

  setSound(on) {
    this.video.muted = !on;
    if (on && !this.wanted) this.setWanted(true);
    this.show();
  }

  async start() {
    if (!this.wanted || this.player || this.closed || document.hidden) return;
    this.say(t("player.loading"));
    try {
      await load("/vendor/mpegts.js");
    } catch {
      return this.again();
    }
    if (!this.wanted || this.player || this.closed || document.hidden) return;
    if (!window.mpegts.isSupported()) return this.say(t("player.unsupported"));
    window.mpegts.LoggingControl.enableAll = false;
    const url = path(this.channel, this.source.url);
    this.player = window.mpegts.createPlayer({ type: "flv", isLive: true, url }, {
      enableWorker: false,
      enableStashBuffer: false,
      lazyLoad: false,
      autoCleanupSourceBuffer: true,
      autoCleanupMaxBackwardDuration: 30,
      autoCleanupMinBackwardDuration: 15,
      // Behind by more than 2.2 s it plays faster, by much more it jumps.
      liveSync: true,
      liveSyncMaxLatency: 2.2,
      liveSyncTargetLatency: 1.2,
      liveSyncPlaybackRate: 1.15,
      liveBufferLatencyChasing: true,
      liveBufferLatencyMaxLatency: 4,
      liveBufferLatencyMinRemain: 0.8,
    });
    this.player.on(window.mpegts.Events.ERROR, () => this.again());
    this.player.on(window.mpegts.Events.LOADING_COMPLETE, () => this.again());
    this.player.attachMediaElement(this.video);
    this.player.load();
    this.player.play()?.catch?.(() => {});
  }

  /** The connection was lost, or the broadcast has ended. */
  again() {
    this.destroy();
    if (this.closed) return;
    this.say(t("player.lost"));
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.start(), RETRY_AFTER);
  }

  destroy() {
    const player = this.player;
    this.player = null;
    // Deferred: mpegts.js still works with the player while it reports an error.
    if (player) setTimeout(() => { try { player.destroy(); } catch { /* it has failed already */ } }, 0);
  }

  stop() {
    clearTimeout(this.timer);
    this.destroy();
  }

  close() {
    this.closed = true;
    document.removeEventListener("visibilitychange", this.visible);
    this.stop();
  }
}
