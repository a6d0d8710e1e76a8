// The languages of the page, and how times and lengths are written.

export const LANGUAGES = { en: "English", ru: "Русский" };

let texts = {};
let current = "en";

/** Loads the language that was chosen here before, or the browser's. */
export async function chooseLanguage(choice) {
  const stored = choice ?? localStorage.getItem("language");
  const wanted = [stored, ...navigator.languages].map((name) => (name ?? "").slice(0, 2));
  current = wanted.find((name) => name in LANGUAGES) ?? "en";
  if (choice) localStorage.setItem("language", choice);
  texts = await (await fetch(`/lang/${current}.json`)).json();
  document.documentElement.lang = current;
}

export const language = () => current;

/** The text `key`, with `{name}` replaced by the values. */
export function t(key, values = {}) {
  const text = texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** The text of a code, or the words that came with it. */
export const known = (prefix, code, words) => texts[`${prefix}.${code}`] ?? words ?? code;

/** `1:02:03`, or `2:03`. */
export function length(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A time of day here, with the date unless it is today. */
export function moment(time) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "–";
  const today = date.toDateString() === new Date().toDateString();
  const style = today ? { timeStyle: "medium" } : { dateStyle: "short", timeStyle: "medium" };
  return new Intl.DateTimeFormat(current, style).format(date);
}

export const number = (value, digits = 1) =>
  Number.isFinite(value) ? new Intl.NumberFormat(current, { maximumFractionDigits: digits }).format(value) : "–";
