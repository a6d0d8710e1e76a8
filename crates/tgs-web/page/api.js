// Requests to the desk. A request after the end of the session shows the sign-in.

export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

let onSignedOut = () => {};
export const whenSignedOut = (act) => { onSignedOut = act; };

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new Refused(0, "unreachable", "unreachable");
  }
  if (response.status === 204) return null;
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  if (response.status === 401 && body.code === "not_signed_in") onSignedOut();
  throw new Refused(response.status, body.code ?? "internal", body.message ?? response.statusText);
}

export const get = (path) => request(path);

export const post = (path, body = {}) =>
  request(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

export const path = (channel, rest = "") => `/api/channels/${encodeURIComponent(channel)}${rest}`;

/** Sends a command to a channel. */
export const command = (channel, method, params = {}) => post(path(channel, "/call"), { method, params });

/**
 * Follows all channels while the page is visible: a hidden page holds no connection.
 * `handlers` has `status`, `event`, and `link`, which gets whether the desk is reachable.
 */
export function follow(handlers) {
  let source;
  let timer;
  let stopped = false;
  const open = () => {
    clearTimeout(timer);
    if (stopped || document.hidden || source) return;
    source = new EventSource("/api/live");
    source.addEventListener("open", () => handlers.link(true));
    source.addEventListener("status", (message) => handlers.status(JSON.parse(message.data)));
    source.addEventListener("event", (message) => handlers.event(JSON.parse(message.data)));
    source.addEventListener("signed_out", () => { close(); onSignedOut(); });
    source.addEventListener("error", async () => {
      close();
      if (!stopped) handlers.link(false);
      // EventSource hides the status: a plain request shows whether the session has ended.
      try { await get("/api/me"); } catch { /* onSignedOut was called, or the desk is unreachable */ }
      timer = setTimeout(open, 2000);
    });
  };
  const close = () => { source?.close(); source = undefined; };
  const change = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", change);
  open();
  return () => {
    stopped = true;
    clearTimeout(timer);
    close();
    document.removeEventListener("visibilitychange", change);
  };
}
