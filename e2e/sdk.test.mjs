// The official OpenAI JavaScript SDK against a running demo, as an application
// developer uses it. The settings come from demo.env (see run.sh).
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";

const { OPENAI_BASE_URL: baseURL, OPENAI_API_KEY: apiKey, OPENAI_MODEL: model } = process.env;
const client = new OpenAI({ maxRetries: 0 });
const messages = [{ role: "user", content: "Say hello." }];

test("chat", async () => {
  const answer = await client.chat.completions.create({ model, messages, max_tokens: 16 });
  assert.equal(answer.object, "chat.completion");
  assert.equal(answer.model, model);
  assert.ok(answer.choices[0].message.content.length > 0);
  assert.ok(answer.usage.completion_tokens > 0 && answer.usage.completion_tokens <= 16);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
});

test("streamed chat without usage: the client sees none", async () => {
  const stream = await client.chat.completions.create({ model, messages, max_tokens: 16, stream: true });
  let text = "";
  let finish;
  for await (const chunk of stream) {
    assert.ok(!chunk.usage, "usage was not asked for");
    assert.equal(chunk.choices.length, 1);
    text += chunk.choices[0].delta.content ?? "";
    finish = chunk.choices[0].finish_reason ?? finish;
  }
  assert.ok(text.length > 0);
  assert.ok(["stop", "length"].includes(finish), `finish_reason ${finish}`);
});

test("streamed chat with usage: it comes last and is the only one", async () => {
  const stream = await client.chat.completions.create({
    model, messages, max_tokens: 16, stream: true, stream_options: { include_usage: true },
  });
  const usages = [];
  for await (const chunk of stream) if (chunk.usage) usages.push(chunk);
  assert.equal(usages.length, 1);
  assert.deepEqual(usages[0].choices, []);
  assert.ok(usages[0].usage.completion_tokens > 0);
});

test("many streams at once, again and again: each is whole", async () => {
  const whole = async () => {
    for (let i = 0; i < 3; i++) {
      const stream = await client.chat.completions.create({ model, messages, stream: true });
      let finish;
      for await (const chunk of stream) finish = chunk.choices[0]?.finish_reason ?? finish;
      assert.ok(["stop", "length"].includes(finish), `finish_reason ${finish}`);
    }
  };
  await Promise.all(Array.from({ length: 32 }, whole));
});

test("a stream that is left early ends cleanly", async () => {
  const stream = await client.chat.completions.create({ model, messages, max_tokens: 200, stream: true });
  let chunks = 0;
  for await (const _ of stream) if (++chunks === 3) break;
  assert.equal(chunks, 3);
  assert.equal(stream.controller.signal.aborted, true);
});

test("completions", async () => {
  const answer = await client.completions.create({ model, prompt: "Once upon a time", max_tokens: 8 });
  assert.equal(answer.object, "text_completion");
  assert.ok(answer.choices[0].text.length > 0);
  assert.ok(answer.usage.completion_tokens <= 8);
});

test("embeddings: the same text twice is the same vector", async () => {
  const answer = await client.embeddings.create({ model, input: ["one", "two", "one"] });
  assert.equal(answer.data.length, 3);
  assert.ok(answer.data[0].embedding.length > 0);
  assert.deepEqual(answer.data[0].embedding, answer.data[2].embedding);
  assert.notDeepEqual(answer.data[0].embedding, answer.data[1].embedding);
});

test("models: the served one is listed", async () => {
  const ids = [];
  for await (const m of client.models.list()) ids.push(m.id);
  assert.ok(ids.includes(model), `${model} in ${ids}`);
});

test("errors are typed", async (t) => {
  const refused = (call, type, want) => assert.rejects(call, (err) => {
    assert.ok(err instanceof type, `${err.constructor.name} is not ${type.name}: ${err.message}`);
    for (const [field, value] of Object.entries(want)) assert.equal(err[field], value, field);
    assert.ok(err.requestID, "x-request-id is missing");
    assert.ok(err.headers.get("x-should-retry"), "x-should-retry is missing");
    return true;
  });
  const chat = (c, body) => c.chat.completions.create({ model, messages, ...body });
  const keyed = (key) => new OpenAI({ apiKey: key, maxRetries: 0 });

  await t.test("malformed key", () =>
    refused(chat(keyed("sk-nonsense")), OpenAI.AuthenticationError, { status: 401, code: "malformed_api_key" }));
  await t.test("well-formed key that is not ours", () =>
    refused(chat(keyed(process.env.E2E_UNKNOWN_KEY)), OpenAI.AuthenticationError, { status: 401, code: "invalid_api_key" }));
  await t.test("unknown model", () =>
    refused(chat(client, { model: "no-such/model" }), OpenAI.NotFoundError, { status: 404, code: "model_not_found" }));
  await t.test("max_tokens out of range", () =>
    refused(chat(client, { max_tokens: -1 }), OpenAI.BadRequestError, { status: 400, param: "max_tokens" }));
  await t.test("no messages", () =>
    refused(chat(client, { messages: [] }), OpenAI.BadRequestError, { status: 400, param: "messages" }));
  await t.test("unknown path", async () => {
    const res = await fetch(`${baseURL}/no/such/path`, { headers: { authorization: `Bearer ${apiKey}` } });
    assert.equal(res.status, 404);
    assert.equal((await res.json()).error.type, "invalid_request_error");
  });
});
