// The playground: the same request an SDK would send, with its figures shown.
(() => {
  "use strict";

  const chat = document.getElementById("chat");
  if (!chat) return;
  const turns = document.getElementById("turns");
  const settings = document.getElementById("settings");
  const box = chat.querySelector("textarea");
  const messages = [];
  const sum = { turns: 0, input: 0, output: 0, cost: 0n };
  let running = null;

  // --- Figures ---------------------------------------------------------------

  // euros writes nano-euros by the rules of EURFine on the server.
  function euros(nano) {
    let places = 2;
    if (nano > 0n && nano < 1_000_000_000n) places = 4;
    for (let unit = 1_000_000n; nano > 0n && nano < unit && unit > 1n; unit /= 10n) places++;
    places = Math.min(places, 9);
    const unit = 10n ** BigInt(9 - places);
    const s = ((nano + unit / 2n) / unit).toString().padStart(places + 1, "0");
    const whole = s.slice(0, -places).replace(/\B(?=(\d{3})+$)/g, ",");
    return whole + "." + s.slice(-places).replace(/(?<=^\d\d.*?)0+$/, "") + " €";
  }

  function price(input, output) {
    const option = settings.elements.model.selectedOptions[0];
    const part = (n, per) => (BigInt(n) * BigInt(per || "0") + 500_000n) / 1_000_000n;
    return part(input, option?.dataset.in) + part(output, option?.dataset.out);
  }

  const seconds = (ms) => (ms / 1000).toFixed(ms < 10000 ? 2 : 1) + " s";

  function facts() {
    for (const [id, value] of [["turns", sum.turns], ["input", sum.input.toLocaleString("en")],
      ["output", sum.output.toLocaleString("en")], ["cost", euros(sum.cost)]]) {
      document.getElementById("sum-" + id).textContent = value;
    }
  }

  // --- One turn ----------------------------------------------------------------

  function element(tag, className, text) {
    const n = document.createElement(tag);
    n.className = className;
    if (text !== undefined) n.textContent = text;
    return n;
  }

  function add(role, who) {
    document.getElementById("greeting")?.remove();
    const turn = element("article", "turn " + role);
    turn.append(element("div", "who", who));
    turns.append(turn);
    return turn;
  }

  function follow() {
    const gap = document.documentElement.scrollHeight - innerHeight - scrollY;
    if (gap < 160) scrollTo({ top: document.documentElement.scrollHeight });
  }

  // answer draws one reply as it comes and keeps its figures.
  function answer(model) {
    const turn = add("assistant live", model);
    const thought = element("div", "thought"), said = element("div", "said"), line = element("div", "runline");
    turn.append(said, line);
    const start = performance.now();
    const a = { text: "", thinking: "", tokens: 0, usage: null, first: 0, last: 0, phase: "waiting for the first token" };
    let drawn = 0;

    function draw() {
      drawn = 0;
      if (a.thinking && !thought.isConnected) said.before(thought);
      if (a.thinking) thought.textContent = a.thinking;
      markdown.draw(said, a.text);
      figures();
      follow();
    }

    function figures(done) {
      const now = done || a.last || performance.now();
      const out = a.usage?.completion_tokens ?? a.tokens;
      const about = a.usage ? "" : "~";
      const parts = [];
      if (!done) parts.push(["phase", a.phase]);
      if (a.first) parts.push(["", "first token ", seconds(a.first - start)]);
      if (out) parts.push(["", "", about + out.toLocaleString("en") + (out === 1 ? " token" : " tokens")]);
      if (out > 1 && a.last > a.first) parts.push(["", "", ((out - 1) / (a.last - a.first) * 1000).toFixed(1) + " tok/s"]);
      parts.push(["", "", seconds((done || performance.now()) - start)]);
      if (a.usage) parts.push(["", "", euros(price(a.usage.prompt_tokens, a.usage.completion_tokens))]);
      if (done && a.phase === "stopped") parts.push(["", "", "stopped by you"]);
      line.replaceChildren(...parts.map(([kind, label, value]) => {
        const s = element("span", kind, kind ? label : undefined);
        if (!kind) s.append(label, element("b", "", value));
        return s;
      }));
      return now;
    }

    const clock = setInterval(figures, 200);
    a.take = (delta) => {
      const think = delta.reasoning_content ?? delta.reasoning ?? "";
      const text = delta.content ?? "";
      if (!think && !text) return;
      a.last = performance.now();
      a.first ||= a.last;
      a.tokens++;
      a.phase = text ? "answering" : "thinking";
      a.thinking += think;
      a.text += text;
      drawn ||= requestAnimationFrame(draw);
    };
    a.end = (failure) => {
      clearInterval(clock);
      cancelAnimationFrame(drawn);
      draw();
      figures(performance.now());
      turn.classList.remove("live");
      if (failure) turn.append(problem(failure));
      follow();
    };
    return a;
  }

  function problem({ message, code, request }) {
    const note = element("div", "note bad");
    const text = element("p", "", message);
    note.setAttribute("role", "alert");
    const detail = [code, request && "request " + request].filter(Boolean).join(" · ");
    if (detail) text.append(element("span", "sub", " " + detail));
    note.append(text);
    return note;
  }

  // --- The stream ----------------------------------------------------------------

  async function* events(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += value;
      const frames = rest.split(/\r?\n\r?\n/);
      rest = frames.pop();
      for (const frame of frames) {
        const data = frame.split(/\r?\n/).filter((l) => l.startsWith("data:")).map((l) => l.slice(5).trimStart()).join("\n");
        if (data) yield data;
      }
    }
  }

  function request() {
    const f = settings.elements;
    const body = { model: f.model.value, messages: [], stream: true, stream_options: { include_usage: true } };
    if (f.system.value.trim()) body.messages.push({ role: "system", content: f.system.value.trim() });
    body.messages.push(...messages);
    if (f.temperature.value !== "") body.temperature = Number(f.temperature.value);
    if (f.max_tokens.value !== "") body.max_tokens = Number(f.max_tokens.value);
    return body;
  }

  async function run() {
    const a = answer(settings.elements.model.value);
    running = new AbortController();
    chat.classList.add("running");
    let failure = null, finished = false;
    try {
      const res = await fetch(chat.dataset.action, {
        method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify(request()), signal: running.signal,
      });
      const id = res.headers.get("x-request-id");
      if (res.redirected) { location.reload(); return; }
      if (!res.ok) {
        const { error } = await res.json().catch(() => ({}));
        throw { message: error?.message || "The gateway answered " + res.status + ".", code: error?.code, request: id };
      }
      for await (const data of events(res.body)) {
        if (data === "[DONE]") { finished = true; continue; }
        const chunk = JSON.parse(data);
        if (chunk.error) throw { message: chunk.error.message, code: chunk.error.code, request: id };
        if (chunk.usage) a.usage = chunk.usage;
        if (chunk.choices?.[0]?.delta) a.take(chunk.choices[0].delta);
      }
      if (!finished) throw { message: "The answer broke off before its end. What arrived is kept above.", request: id };
    } catch (e) {
      if (running.signal.aborted) a.phase = "stopped";
      else failure = e instanceof Error ? { message: "The connection to the gateway was lost. Send the message again." } : e;
    }
    a.end(failure);
    running = null;
    chat.classList.remove("running");
    if (a.text) messages.push({ role: "assistant", content: a.text });
    sum.turns++;
    if (a.usage) {
      sum.input += a.usage.prompt_tokens;
      sum.output += a.usage.completion_tokens;
      sum.cost += price(a.usage.prompt_tokens, a.usage.completion_tokens);
    }
    facts();
    box.focus({ preventScroll: true });
  }

  function send(text) {
    if (running || !text.trim()) return;
    add("user", "You").append(element("div", "said", text));
    messages.push({ role: "user", content: text });
    box.value = "";
    follow();
    run();
  }

  chat.addEventListener("submit", (e) => { e.preventDefault(); send(box.value); });
  box.addEventListener("keydown", (e) => {
    if (e.key === "Enter" && !e.shiftKey && !e.isComposing) { e.preventDefault(); send(box.value); }
  });
  chat.addEventListener("click", (e) => {
    if (e.target.closest("[data-stop]")) running?.abort();
    if (e.target.closest("[data-try]")) send(e.target.closest("[data-try]").textContent);
  });
  document.addEventListener("keydown", (e) => { if (e.key === "Escape") running?.abort(); });

  // --- Snippets follow the settings -----------------------------------------------

  function snippets() {
    const f = settings.elements;
    for (const n of document.querySelectorAll("[data-var]")) {
      const value = f[n.dataset.var]?.value;
      if (value) n.textContent = value;
    }
  }
  settings.addEventListener("input", snippets);
  settings.addEventListener("submit", (e) => e.preventDefault());
  snippets();
})();
