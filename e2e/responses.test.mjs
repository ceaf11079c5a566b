// OpenAI's Responses API, tools, retries and aliases, with the official OpenAI
// JavaScript SDK against a running demo. The settings come from demo.env.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { abandoned, api, chunks, completion, mixed, routed, upstream } from "./upstream.mjs";

const { OPENAI_MODEL: model } = process.env;
const client = new OpenAI({ maxRetries: 0 });
const weather = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const tools = [{ type: "function", name: "weather", description: "Tells the weather.", parameters: weather, strict: true }];

const good = {
  "a text": { ask: { input: "Say hello." }, check: (r) => {
    assert.equal(r.status, "completed");
    assert.ok(r.output_text.length > 0);
    assert.equal(r.usage.total_tokens, r.usage.input_tokens + r.usage.output_tokens);
  } },
  "items and instructions": { ask: { instructions: "Be brief.", input: [{ role: "user", content: [{ type: "input_text", text: "Hello." }] }] }, check: (r) => {
    assert.equal(r.instructions, "Be brief.");
    assert.ok(r.output_text.length > 0);
  } },
  "cut off": { ask: { input: "Say hello.", max_output_tokens: 16 }, check: (r) => {
    assert.equal(r.status, "incomplete");
    assert.equal(r.incomplete_details.reason, "max_output_tokens");
  } },
  "a function": { ask: { input: "Hello.", tools, tool_choice: { type: "function", name: "weather" } }, check: (r) => {
    const [call] = r.output;
    assert.equal(call.type, "function_call");
    assert.equal(call.name, "weather");
    assert.ok("city" in JSON.parse(call.arguments));
  } },
  "a schema": { ask: { input: "Hello.", text: { format: { type: "json_schema", name: "w", schema: weather, strict: true } } }, check: (r) =>
    assert.ok("city" in JSON.parse(r.output_text)) },
  "reasoning": { ask: { input: "Hello.", reasoning: { effort: "low" } }, check: (r) => {
    assert.equal(r.output[0].type, "reasoning");
    assert.ok(r.output[0].content[0].text.length > 0);
    assert.equal(r.output[1].type, "message");
  } },
};

for (const [name, { ask, check }] of Object.entries(good)) {
  test(`responses: ${name}`, async () => {
    const r = await client.responses.create({ model, store: false, ...ask });
    assert.equal(r.object, "response");
    assert.equal(r.model, model);
    check(r);
  });
  test(`responses, streamed: ${name}`, async () => {
    const events = [];
    for await (const event of await client.responses.create({ model, store: false, stream: true, ...ask })) events.push(event);
    events.forEach((event, i) => assert.equal(event.sequence_number, i, event.type));
    assert.deepEqual(events.slice(0, 2).map((e) => e.type), ["response.created", "response.in_progress"]);
    const last = events.at(-1);
    assert.equal(last.type, `response.${last.response.status}`);
    const text = last.response.output.flatMap((o) => (o.type === "message" ? o.content : [])).map((c) => c.text).join("");
    assert.equal(events.filter((e) => e.type === "response.output_text.delta").map((e) => e.delta).join(""), text);
    check({ ...last.response, output_text: text });
  });
}

test("responses: the SDK's own collector agrees", async () => {
  const ask = { model, input: "Say hello.", tools, tool_choice: "required" };
  const r = await client.responses.stream(ask).finalResponse();
  assert.equal(r.output[0].type, "function_call");
  assert.equal(r.output[0].arguments, (await client.responses.create(ask)).output[0].arguments);
});

test("responses: calls that the engine mixes are items of their own", async (t) => {
  const { model } = await upstream(t, (req, res, body) => chunks(res, body.model, mixed));
  const r = await client.responses.stream({ model, input: "x", tools }).finalResponse();
  assert.deepEqual(r.output.map((o) => [o.call_id, o.status, JSON.parse(o.arguments).city]), [["call_a", "completed", "Paris"], ["call_b", "completed", "Rome"]]);
});

test("responses: input tokens are counted by the engine", async () => {
  const few = await client.responses.inputTokens.count({ model, input: "Say hello." });
  const more = await client.responses.inputTokens.count({ model, instructions: "Be brief. ".repeat(20), input: "Say hello." });
  assert.equal(few.object, "response.input_tokens");
  assert.ok(few.input_tokens > 0 && more.input_tokens > few.input_tokens + 20);
});

test("responses: an error names the client's own field", async (t) => {
  const refusal = { error: { message: "messages[1].tool_call_id is of no call.", param: "messages[1].tool_call_id" } };
  const { model } = await upstream(t, (req, res) => res.writeHead(400, { "content-type": "application/json" }).end(JSON.stringify(refusal)));
  const input = [{ role: "user", content: "x" }, { type: "function_call_output", call_id: "none", output: "x" }];
  await assert.rejects(client.responses.create({ model, input }), (err) => err.param === "input[1].call_id" && /input\[1\]\.call_id is of no call/.test(err.message));
});

test("responses: a function's result is answered", async () => {
  const input = [{ role: "user", content: "What is the weather in Paris?" }];
  const first = await client.responses.create({ model, input, tools });
  const call = first.output.find((o) => o.type === "function_call");
  input.push(...first.output, { type: "function_call_output", call_id: call.call_id, output: "sunny" });
  const second = await client.responses.create({ model, input, tools });
  assert.match(second.output_text, /sunny/);
});

test("responses: what needs a memory is refused", async () => {
  for (const [field, value] of Object.entries({ store: true, previous_response_id: "resp_1", conversation: "conv_1", background: true })) {
    await assert.rejects(client.responses.create({ model, input: "x", [field]: value }), (err) => {
      assert.ok(err instanceof OpenAI.BadRequestError);
      assert.equal(err.param, field);
      return true;
    });
  }
});

test("responses: an engine that dies fails the response", async (t) => {
  const { model } = await upstream(t, (req, res, body) => {
    chunks(res, body.model, [{ content: "hel" }], null);
    setTimeout(() => res.destroy(), 20);
  });
  const events = [];
  for await (const event of await client.responses.create({ model, input: "x", stream: true })) events.push(event);
  assert.equal(events.at(-1).type, "response.failed");
  assert.equal(events.at(-1).response.error.code, "server_error");
  assert.ok(!events.some((e) => e.type === "response.completed"));
});

const streams = {
  "chat": (model, signal) => client.chat.completions.create({ model, messages: [{ role: "user", content: "x" }], stream: true }, { signal }),
  "responses": (model, signal) => client.responses.create({ model, input: "x", stream: true }, { signal }),
};
for (const [name, ask] of Object.entries(streams)) {
  test(`${name}: an abandoned stream stops the engine`, async (t) => {
    const { handler, cut } = abandoned();
    const { model } = await upstream(t, handler);
    const leave = new AbortController();
    let left;
    const stream = await ask(model, leave.signal);
    for await (const _ of stream) { // the SDK ends the loop when it is aborted
      left ??= Date.now();
      leave.abort();
    }
    assert.ok((await cut) - left < 500);
  });
}

test("chat: tools, streamed and whole", async () => {
  const ask = { model, messages: [{ role: "user", content: "Hello." }], tools: [{ type: "function", function: { name: "weather", parameters: weather } }], tool_choice: "required" };
  const whole = await client.chat.completions.create(ask);
  assert.equal(whole.choices[0].finish_reason, "tool_calls");
  const final = await client.chat.completions.stream(ask).finalChatCompletion();
  assert.equal(final.choices[0].message.tool_calls[0].function.arguments, whole.choices[0].message.tool_calls[0].function.arguments);
});

test("chat: a picture at an address is refused", () =>
  assert.rejects(client.chat.completions.create({ model, messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "http://169.254.169.254/" } }] }] }),
    (err) => err instanceof OpenAI.BadRequestError && err.code === "media_not_allowed"));

for (const status of [429, 503]) test(`retries: Retry-After of a ${status} is waited for`, async (t) => {
  const { model, asked } = await upstream(t, (req, res, body, n) => {
    if (n === 1) return res.writeHead(status, { "retry-after": "1", "content-type": "application/json" }).end('{"error":{"message":"busy"}}');
    res.writeHead(200, { "content-type": "application/json" }).end(completion(body.model, "hi"));
  });
  const began = Date.now();
  const answer = await new OpenAI({ maxRetries: 2 }).chat.completions.create({ model, messages: [{ role: "user", content: "x" }] });
  assert.equal(answer.choices[0].message.content, "hi");
  assert.equal(asked(), 2);
  assert.ok(Date.now() - began >= 1000);
});

test("retries: x-should-retry is obeyed before the status", async (t) => {
  const { model, asked } = await upstream(t, (req, res) => res.writeHead(401).end()); // the gateway's key is wrong: for ever
  await assert.rejects(new OpenAI({ maxRetries: 2 }).chat.completions.create({ model, messages: [{ role: "user", content: "x" }] }), (err) => {
    assert.equal(err.status, 502);
    assert.equal(err.code, "upstream_refused");
    assert.equal(err.headers.get("x-should-retry"), "false");
    return true;
  });
  assert.equal(asked(), 1);
});

test("retries: what is more than a limit is not sent again, be it a 429", async (t) => {
  const { id } = (await api("GET", "/keys")).items.find((k) => k.scopes.includes("inference"));
  let sent = 0;
  const counting = new OpenAI({ maxRetries: 2, fetch: (url, init) => { sent++; return fetch(url, init); } });
  const ask = () => counting.chat.completions.create({ model, messages: [{ role: "user", content: "x" }], max_tokens: 100 });
  const limit = async (tokens_per_minute, told) => { // within three seconds it is
    await api("PUT", `/keys/${id}/limits`, { tokens_per_minute });
    for (let i = 0; i < 60 && (await ask().catch((err) => err)) instanceof Error !== told; i++) await new Promise((resolve) => setTimeout(resolve, 50));
  };
  t.after(() => limit(0, false));
  await limit(10, true);
  sent = 0;
  await assert.rejects(ask(), (err) => {
    assert.ok(err instanceof OpenAI.RateLimitError, err.message);
    assert.equal(err.headers.get("x-should-retry"), "false");
    return true;
  });
  assert.equal(sent, 1);
});

test("an alias is what the client sees", async (t) => {
  const name = `fast-${process.pid}`;
  await api("POST", "/aliases", { name, model });
  t.after(() => api("DELETE", `/aliases/${name}`));
  await routed(name);
  const messages = [{ role: "user", content: "Hello." }];
  assert.equal((await client.chat.completions.create({ model: name, messages })).model, name);
  for await (const chunk of await client.chat.completions.create({ model: name, messages, stream: true })) assert.equal(chunk.model, name);
  assert.equal((await client.responses.create({ model: name, input: "x" })).model, name);
  assert.equal((await client.models.retrieve(name)).id, name);
});

for (const base of ["", process.env.INVENTIV_URL]) test(`rerank, score and tokenize as vLLM has them${base && ", beside /v1"}`, async () => {
  const post = (path, body) => client.post(base + path, { body: { model, ...body } });
  const ranked = await post(base ? "/v2/rerank" : "/rerank", { query: "red fish", documents: ["a dog", "one red fish"], top_n: 1 });
  assert.equal(ranked.results[0].index, 1);
  const scored = await post("/score", { text_1: "red fish", text_2: ["red fish", "a dog"] });
  assert.ok(scored.data[0].score > scored.data[1].score);
  const counted = await post("/tokenize", { prompt: "Hello there" });
  assert.equal(counted.tokens.length, counted.count);
  assert.equal((await post("/detokenize", { tokens: counted.tokens })).prompt, "Hello there");
});

test("sounds and pictures are not made here", async () => {
  await assert.rejects(client.images.generate({ model, prompt: "x" }), (err) => err.status === 404 && err.code === "unknown_path");
  await assert.rejects(client.audio.speech.create({ model, input: "x", voice: "alloy" }), (err) => err.status === 404 && err.code === "unknown_path");
});
