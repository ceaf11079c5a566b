// Anthropic's JavaScript SDK against a running demo: the same models, in the
// words of another API. The settings come from demo.env.
import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { abandoned, chunks, completion, mixed, upstream } from "./upstream.mjs";

const { INVENTIV_URL: baseURL, OPENAI_API_KEY: apiKey, OPENAI_MODEL: model } = process.env;
const connect = (more) => new Anthropic({ baseURL, apiKey, authToken: null, maxRetries: 0, ...more });
const client = connect();
const messages = [{ role: "user", content: "Say hello." }];
const tools = [{ name: "weather", description: "Tells the weather.", input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } }];

const good = {
  "a text": { ask: {}, check: (m) => {
    assert.equal(m.content[0].type, "text");
    assert.equal(m.stop_reason, "end_turn");
  } },
  "a system prompt and blocks": { ask: { system: [{ type: "text", text: "Be brief." }], messages: [{ role: "user", content: [{ type: "text", text: "Hello." }] }] }, check: (m) =>
    assert.match(m.content[0].text, /Hello/) },
  "cut off": { ask: { max_tokens: 4 }, check: (m) => {
    assert.equal(m.stop_reason, "max_tokens");
    assert.equal(m.usage.output_tokens, 4);
  } },
  "a stop sequence": { ask: { stop_sequences: ["no model"] }, check: (m) => {
    assert.equal(m.stop_reason, "stop_sequence");
    assert.equal(m.stop_sequence, "no model");
  } },
  "a tool": { ask: { tools, tool_choice: { type: "any" } }, check: (m) => {
    assert.equal(m.stop_reason, "tool_use");
    assert.equal(m.content[0].type, "tool_use");
    assert.ok("city" in m.content[0].input);
  } },
  "thinking": { ask: { max_tokens: 2048, thinking: { type: "enabled", budget_tokens: 1024 }, output_config: { effort: "low" } }, check: (m) =>
    assert.deepEqual(m.content.map((b) => b.type), ["thinking", "text"]) },
  "thinking that is not asked for": { ask: { output_config: { effort: "low" } }, check: (m) => assert.deepEqual(m.content.map((b) => b.type), ["text"]) },
};

for (const [name, { ask, check }] of Object.entries(good)) {
  const body = { model, max_tokens: 200, messages, ...ask };
  test(`messages: ${name}`, async () => {
    const m = await client.messages.create(body);
    assert.equal(m.type, "message");
    assert.equal(m.model, model);
    assert.ok(m._request_id, "request-id is missing");
    assert.ok(m.usage.input_tokens > 0);
    check(m);
  });
  test(`messages, streamed: ${name}`, async () => {
    const stream = client.messages.stream(body);
    const seen = [];
    stream.on("streamEvent", (event) => seen.push(event.type));
    const m = await stream.finalMessage();
    assert.equal(seen[0], "message_start");
    assert.deepEqual(seen.slice(-2), ["message_delta", "message_stop"]);
    assert.ok(m.usage.output_tokens > 0 && m.usage.input_tokens > 0);
    check(m);
  });
}

test("messages: a tool's result is answered", async () => {
  const conversation = [{ role: "user", content: "What is the weather in Paris?" }];
  const first = await client.messages.create({ model, max_tokens: 200, messages: conversation, tools });
  const use = first.content.find((b) => b.type === "tool_use");
  conversation.push({ role: "assistant", content: first.content }, { role: "user", content: [{ type: "tool_result", tool_use_id: use.id, content: "sunny" }] });
  const second = await client.messages.create({ model, max_tokens: 200, messages: conversation, tools });
  assert.match(second.content[0].text, /sunny/);
});

test("messages: tool calls that the engine mixes come one after the other", async (t) => {
  const { model } = await upstream(t, (req, res, body) => chunks(res, body.model, mixed));
  const m = await client.messages.stream({ model, max_tokens: 9, messages, tools }).finalMessage();
  assert.deepEqual(m.content.map((b) => [b.type, b.id, b.input.city]), [["tool_use", "call_a", "Paris"], ["tool_use", "call_b", "Rome"]]);
  assert.equal(m.stop_reason, "tool_use");
});

test("models: listed by pages, and one by one", async () => {
  const ids = [];
  for await (const m of client.models.list({ limit: 1 })) {
    assert.equal(m.type, "model");
    assert.ok(Date.parse(m.created_at) >= 0 && m.display_name, JSON.stringify(m));
    ids.push(m.id);
  }
  assert.ok(ids.includes(model), `${model} in ${ids}`);
  assert.equal((await client.models.retrieve(model)).id, model);
  await assert.rejects(client.models.retrieve("no-such/model"), (err) => err instanceof Anthropic.NotFoundError && err.error.error.type === "not_found_error");
});

test("a key that is set twice is one", async () => {
  const m = await connect({ defaultHeaders: { authorization: `Bearer ${apiKey}` } }).messages.create({ model, max_tokens: 9, messages });
  assert.equal(m.type, "message");
});

test("countTokens asks the engine", async () => {
  const few = await client.messages.countTokens({ model, messages });
  const more = await client.messages.countTokens({ model, system: "Be brief. ".repeat(20), messages });
  assert.ok(few.input_tokens > 0 && more.input_tokens > few.input_tokens + 20);
});

test("errors are typed", async (t) => {
  const refused = (call, type, want) => assert.rejects(call, (err) => {
    assert.ok(err instanceof type, `${err.constructor.name} is not ${type.name}: ${err.message}`);
    assert.equal(err.status, want.status);
    assert.equal(err.error.type, "error");
    assert.equal(err.error.error.type, want.type);
    assert.ok(err.requestID, "request-id is missing");
    return true;
  });
  const ask = (c, body) => c.messages.create({ model, max_tokens: 9, messages, ...body });
  await t.test("malformed key", () => refused(ask(connect({ apiKey: "nonsense" })), Anthropic.AuthenticationError, { status: 401, type: "authentication_error" }));
  await t.test("unknown model", () => refused(ask(client, { model: "no-such/model" }), Anthropic.NotFoundError, { status: 404, type: "not_found_error" }));
  await t.test("no max_tokens", () => refused(ask(client, { max_tokens: undefined }), Anthropic.BadRequestError, { status: 400, type: "invalid_request_error" }));
  await t.test("a picture at an address", () => refused(
    ask(client, { messages: [{ role: "user", content: [{ type: "image", source: { type: "url", url: "http://169.254.169.254/" } }] }] }),
    Anthropic.BadRequestError, { status: 400, type: "invalid_request_error" }));
  await t.test("another version", () => refused(
    ask(connect({ defaultHeaders: { "anthropic-version": "2020-01-01" } })), Anthropic.BadRequestError, { status: 400, type: "invalid_request_error" }));
  await t.test("overloaded", async (t) => {
    const { model } = await upstream(t, (req, res) => res.writeHead(503, { "content-type": "application/json" }).end('{"error":{"message":"busy"}}'));
    await refused(ask(client, { model }), Anthropic.InternalServerError, { status: 529, type: "overloaded_error" });
  });
});

test("an engine that dies is an error and not an end", async (t) => {
  const { model } = await upstream(t, (req, res, body) => {
    chunks(res, body.model, [{ content: "hel" }], null);
    setTimeout(() => res.destroy(), 20);
  });
  const stream = client.messages.stream({ model, max_tokens: 9, messages });
  const seen = [];
  stream.on("streamEvent", (event) => seen.push(event.type));
  await assert.rejects(stream.finalMessage(), (err) => err instanceof Anthropic.APIError && err.error.error.type === "api_error" && /\(upstream_lost\)$/.test(err.error.error.message));
  assert.ok(!seen.includes("message_stop"));
});

test("an abandoned stream stops the engine", async (t) => {
  const { handler, cut } = abandoned();
  const { model } = await upstream(t, handler);
  let left;
  for await (const event of await client.messages.create({ model, max_tokens: 9, messages, stream: true })) {
    if (event.type !== "content_block_delta") continue;
    left = Date.now();
    break;
  }
  assert.ok((await cut) - left < 500);
});

for (const status of [429, 503]) test(`retries: Retry-After of a ${status} is waited for, and the answer comes`, async (t) => {
  const { model, asked } = await upstream(t, (req, res, body, n) => {
    if (n === 1) return res.writeHead(status, { "retry-after": "1", "content-type": "application/json" }).end('{"error":{"message":"busy"}}');
    res.writeHead(200, { "content-type": "application/json" }).end(completion(body.model, "hi"));
  });
  const began = Date.now();
  const m = await connect({ maxRetries: 2 }).messages.create({ model, max_tokens: 9, messages });
  assert.equal(m.content[0].text, "hi");
  assert.equal(asked(), 2);
  assert.ok(Date.now() - began >= 1000);
});

test("retries: x-should-retry is obeyed before the status", async (t) => {
  const { model, asked } = await upstream(t, (req, res) => res.writeHead(401).end());
  await assert.rejects(connect({ maxRetries: 2 }).messages.create({ model, max_tokens: 9, messages }), (err) => err.status === 502);
  assert.equal(asked(), 1);
});

test("older clients: x-api-key and the version before", async () => {
  const res = await fetch(`${baseURL}/v1/messages`, {
    method: "POST", headers: { "x-api-key": apiKey, "anthropic-version": "2023-06-01", "content-type": "application/json" },
    body: JSON.stringify({ model, max_tokens: 9, temperature: 0.5, messages }),
  });
  assert.equal(res.status, 200);
  assert.equal((await res.json()).type, "message");
  assert.equal(res.headers.get("request-id"), res.headers.get("x-request-id"));
});
