// One picture of a source as it would be aired, before it is queued.

import { command } from "./api.js";
import { announce, el, fill } from "./dom.js";
import { isSource } from "./source.js";
import { t } from "./text.js";

/** The seconds that `m:ss`, `h:mm:ss` or a number means; NaN for anything else. */
const seconds = (text) => text.trim().split(":").reduce((sum, part) => sum * 60 + (part === "" ? NaN : Number(part)), 0);

export class ItemPreview {
  /** Shows what `field` names. */
  constructor(channel, field, showError) {
    this.button = el("button", { type: "button", id: "preview-item", onclick: () => this.show() }, t("preview.show"));
    this.at = el("input", { id: "preview-at", value: "0:10", size: 7, autocomplete: "off", onkeydown: (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      this.show();
    } });
    this.figure = el("figure", { id: "preview-picture" });
    this.node = el("div.preview", { hidden: true },
      el("div.row", {}, el("label", { htmlFor: "preview-at" }, t("preview.at")), this.at), this.figure);
    Object.assign(this, { channel, field, showError });
  }

  async show() {
    const source = this.field.value.trim();
    if (!isSource(source)) { this.field.focus(); return; }
    this.button.disabled = true;
    try {
      const { title, png } = await command(this.channel, "preview", { source, at: seconds(this.at.value) || 0 });
      fill(this.figure, el("img", { src: "data:image/png;base64," + png, alt: t("preview.of", { title }) }), el("figcaption", {}, title));
      announce(t("preview.of", { title }));
    } catch (error) {
      fill(this.figure);
      this.showError(error);
    } finally {
      this.node.hidden = false;
      this.button.disabled = false;
    }
  }
}
