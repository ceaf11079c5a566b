// A server behind the gateway that does what a test tells it to: an endpoint of
// the demo's organisation, added and removed through the JSON API.
import { once } from "node:events";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

const { INVENTIV_URL, INVENTIV_API_KEY, OPENAI_API_KEY } = process.env;
let made = 0;

// api calls the JSON API and returns the answer's JSON, if it has one.
export async function api(method, path, body) {
  const res = await fetch(`${INVENTIV_URL}/api/v1${path}`, {
    method, headers: { authorization: `Bearer ${INVENTIV_API_KEY}`, "content-type": "application/json" }, body: body && JSON.stringify(body),
  });
  const text = await res.text();
  if (!res.ok) throw new Error(`${method} ${path}: ${res.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

// routed waits until the gateway knows a model, by one of its names.
export async function routed(name) {
  for (let i = 0; i < 100; i++) {
    const res = await fetch(`${INVENTIV_URL}/v1/models`, { headers: { authorization: `Bearer ${OPENAI_API_KEY}` } });
    if ((await res.json()).data?.some((m) => m.id === name && m.state === "ready")) return;
    await sleep(50);
  }
  throw new Error(`the gateway does not know ${name} after 5 s`);
}

// upstream serves handler(req, res, body, n), n counting requests from 1, as a
// model of its own. t is the test's context.
export async function upstream(t, handler) {
  let n = 0;
  const server = createServer(async (req, res) => {
    let body = "";
    for await (const piece of req) body += piece;
    if (req.method === "GET") return res.end('{"object":"list","data":[]}'); // the check of the endpoint
    await handler(req, res, body && JSON.parse(body), ++n);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const name = `e2e-${process.pid}-${++made}`;
  const model = `e2e/${name}`;
  t.after(async () => {
    await api("DELETE", `/endpoints/${name}`);
    server.closeAllConnections();
    server.close();
  });
  await api("POST", "/endpoints", { name, model, url: `http://127.0.0.1:${server.address().port}/v1` });
  await routed(model);
  return { model, asked: () => n };
}

// chunks writes a stream of chat completion chunks, then what ends it.
export function chunks(res, model, deltas, end = "data: [DONE]\n\n") {
  res.writeHead(200, { "content-type": "text/event-stream" });
  for (const delta of deltas) {
    res.write(`data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model, choices: [{ index: 0, delta, finish_reason: null }] })}\n\n`);
  }
  if (end) res.end(end);
}

// mixed are the deltas of two tool calls whose pieces come in turns, as some
// engines stream them.
const piece = (index, args, head) => ({ index, ...head, function: { ...head?.function, arguments: args } });
const begun = (id, name) => ({ id, type: "function", function: { name } });
export const mixed = [
  [piece(0, "", begun("call_a", "weather")), piece(1, "", begun("call_b", "weather"))],
  [piece(0, '{"city":'), piece(1, '{"ci')],
  [piece(1, 'ty":"Rome"}')],
  [piece(0, '"Paris"}')],
].map((tool_calls) => ({ tool_calls }));

export const completion = (model, content) => JSON.stringify({
  id: "c", object: "chat.completion", created: 1, model,
  choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }], usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
});

// abandoned answers with an endless stream and tells when it was cut off.
export function abandoned() {
  let tell;
  const cut = new Promise((resolve) => { tell = resolve; });
  const handler = (req, res, body) => {
    res.writeHead(200, { "content-type": "text/event-stream" });
    const timer = setInterval(() => res.write(`data: ${JSON.stringify({ id: "c", model: body.model, choices: [{ index: 0, delta: { content: "x" }, finish_reason: null }] })}\n\n`), 5);
    res.on("close", () => { clearInterval(timer); tell(Date.now()); });
  };
  return { handler, cut };
}
