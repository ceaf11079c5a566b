// What every page uses: the live stream, local times, copying, dialogs.
// Pages read and submit without it; this only makes them quicker.
(() => {
  "use strict";

  // --- Times: the server writes UTC, people read their own zone. -----------

  const page = document.documentElement;
  const skew = Date.parse(page.dataset.now) - Date.now() || 0;
  const zone = undefined; // the browser's own
  const formats = {
    at: new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZone: zone }),
    clock: new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone: zone }),
  };

  function took(ms) {
    const s = Math.max(0, Math.floor(ms / 1000));
    if (s < 60) return s + " s";
    const m = Math.floor(s / 60), h = Math.floor(m / 60), d = Math.floor(h / 24);
    if (h < 1) return m + " min " + (s % 60) + " s";
    return d < 1 ? h + " h " + (m % 60) + " min" : d + " d " + (h % 24) + " h";
  }

  function ago(ms) {
    const s = Math.floor(ms / 1000);
    if (s < 2) return "now";
    if (s < 60) return s + " s ago";
    const m = Math.floor(s / 60);
    return m < 60 ? m + " min ago" : Math.floor(m / 60) + " h ago";
  }

  function write(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  function tick() {
    const now = Date.now() + skew;
    for (const node of document.querySelectorAll("time[data-show]")) {
      const at = Date.parse(node.dateTime), age = now - at;
      if (node.dataset.show === "took") write(node, took(age));
      else if (node.dataset.show === "ago" && age < 864e5) write(node, ago(age));
      else write(node, (formats[node.dataset.show] || formats.at).format(at));
    }
  }

  tick();
  setInterval(tick, 1000);
  document.addEventListener("htmx:after:swap", () => {
    tick();
    const main = document.querySelector("#main h1"); // the tab says what the heading says
    if (main) document.title = main.textContent.trim() + " · Inventiv";
  });

  // --- The live stream: thin events; each region fetches itself anew. ------

  const badge = document.getElementById("live");
  const topics = ["instance", "deployment", "endpoint", "key", "member", "usage", "charge", "model", "reset"];
  const silence = 50000; // the server says every 20 s that it is alive
  let stream, since = badge?.dataset.since || "", wait = 1000, timer, doubt, heard = Date.now(), tried;

  function hear() { heard = Date.now(); }

  function show(state, word) {
    clearTimeout(doubt);
    badge.dataset.state = state;
    write(badge.querySelector(".word"), word);
  }

  function tell(topic, key) {
    document.body.dispatchEvent(new CustomEvent("live-" + topic, { detail: key }));
    if (key) document.body.dispatchEvent(new CustomEvent("live-" + topic + "-" + key));
  }

  function lost() {
    clearTimeout(doubt);
    const word = "as of " + formats.clock.format(heard + skew) + ", reconnecting";
    doubt = setTimeout(show, 1500, "lost", word); // a short break is nobody's business
  }

  function connect() {
    clearTimeout(timer);
    stream?.close();
    stream = new EventSource(badge.dataset.stream + (since ? "?since=" + encodeURIComponent(since) : ""));
    tried = Date.now();
    stream.onopen = () => { hear(); wait = 1000; show("on", "live"); };
    stream.addEventListener("alive", hear);
    stream.onerror = () => {
      lost();
      if (stream.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      timer = setTimeout(connect, wait + Math.random() * 500);
      wait = Math.min(wait * 2, 15000);
    };
    for (const topic of topics) {
      stream.addEventListener(topic, (e) => { hear(); since = e.lastEventId || since; tell(topic, e.data); });
    }
  }

  if (badge) {
    connect();
    document.addEventListener("visibilitychange", () => {
      clearTimeout(timer);
      if (!document.hidden) { if (stream.readyState === EventSource.CLOSED) connect(); return; }
      timer = setTimeout(() => stream.close(), 30000); // a forgotten tab costs nothing
    });
    addEventListener("pageshow", (e) => { if (e.persisted) { connect(); tell("reset"); } });
    addEventListener("pagehide", () => stream.close());
    addEventListener("offline", lost);
    // A connection may die without a word: a network changed, a lid was shut.
    setInterval(() => {
      if (stream.readyState === EventSource.CLOSED || Date.now() - Math.max(heard, tried) < silence) return;
      lost();
      connect();
    }, 5000);
    addEventListener("online", connect);
  }

  document.addEventListener("htmx:before:request", (e) => {
    if (document.hidden && e.detail.ctx.sourceEvent?.type === "every") e.preventDefault();
  });
  document.addEventListener("htmx:before:response", (e) => {
    // The session ended: a region was answered with the sign-in page.
    const { raw } = e.detail.ctx.response;
    if (raw.redirected || raw.status === 401) { e.preventDefault(); location.reload(); }
  });

  // --- Copying -------------------------------------------------------------

  async function copy(text) {
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea"); // plain http on a local network
    area.value = text;
    area.className = "sr";
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }

  async function onCopy(button) {
    const from = button.dataset.copyFrom && document.querySelector(button.dataset.copyFrom);
    await copy(from ? from.textContent : button.dataset.copy);
    button.dataset.done = button.classList.contains("icon") ? "" : "Copied";
    write(document.getElementById("said"), "Copied.");
    setTimeout(() => { delete button.dataset.done; }, 1600);
  }

  // --- Dialogs: a link to the confirmation page opens the dialog instead. --

  document.addEventListener("click", (e) => {
    const copier = e.target.closest("[data-copy], [data-copy-from]");
    if (copier) { onCopy(copier); return; }
    if (e.ctrlKey || e.metaKey || e.shiftKey || e.button) return;

    const opener = e.target.closest("a[data-dialog]");
    const dialog = opener && document.getElementById(opener.dataset.dialog);
    if (dialog) {
      e.preventDefault();
      dialog.showModal();
      dialog.querySelector("input:not([type=hidden])")?.focus();
      return;
    }
    const open = e.target.closest("dialog[open]");
    if (open && (e.target.closest("[data-close]") || e.target === open)) {
      e.preventDefault();
      open.close();
      return;
    }
    for (const menu of document.querySelectorAll("details.org[open]")) {
      if (!menu.contains(e.target)) menu.open = false;
    }
  });

  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape") document.querySelector("details.org[open]")?.removeAttribute("open");
  });

  // A form is sent once.
  document.addEventListener("submit", (e) => {
    if (e.target.method !== "post" || e.defaultPrevented) return;
    if (e.target.dataset.sent) { e.preventDefault(); return; }
    e.target.dataset.sent = "yes";
    setTimeout(() => { delete e.target.dataset.sent; }, 8000);
  });

  // --- Charts: the figures of the day under the pointer or the focus. ------

  function readout(e) {
    const bar = e.target.closest?.("[data-readout]");
    const line = e.target.closest?.(".sheet")?.querySelector(".readout");
    if (!line) return;
    line.dataset.rest ??= line.textContent;
    write(line, bar ? bar.dataset.readout : line.dataset.rest);
  }
  document.addEventListener("pointerover", readout);
  document.addEventListener("focusin", readout);

  // A choice that only narrows the page needs no button when scripts run.
  document.addEventListener("change", (e) => {
    if (e.target.matches("[data-submit]")) e.target.form.requestSubmit();
  });
})();
