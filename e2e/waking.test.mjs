// Calls that wake a model, with OpenAI's and Anthropic's SDKs: nothing that the
// gateway sends to a stream that waits may disturb them.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { api } from "./upstream.mjs";
import { sleeping } from "./sleeping.mjs";

const { INVENTIV_URL, OPENAI_API_KEY: apiKey } = process.env;
const messages = [{ role: "user", content: "Say hello." }];
const none = { maxRetries: 0 }; // waiting is the gateway's to do
let model;
let name;

before(async () => { ({ model, name } = await sleeping()); });
after(() => api("DELETE", `/deployments/${name}`));

// overheard returns a fetch, and the text of what came through it.
function overheard() {
  let text;
  return {
    heard: () => text,
    fetch: async (url, init) => {
      const res = await fetch(url, init);
      const [theirs, ours] = res.body.tee();
      text = new Response(ours).text();
      return new Response(theirs, res);
    },
  };
}

test("a model that sleeps is woken by any SDK", { concurrency: true }, async (t) => {
  const wire = { openai: overheard(), anthropic: overheard() };
  await Promise.all([
    t.test("OpenAI", async () => {
      const answer = await new OpenAI(none).chat.completions.create({ model, messages, max_tokens: 16 });
      assert.ok(answer.choices[0].message.content.length > 0);
    }),
    t.test("OpenAI, streamed", async () => {
      const client = new OpenAI({ ...none, fetch: wire.openai.fetch });
      let text = "";
      let finish;
      for await (const chunk of await client.chat.completions.create({ model, messages, max_tokens: 16, stream: true })) {
        text += chunk.choices[0].delta.content ?? "";
        finish = chunk.choices[0].finish_reason ?? finish;
      }
      assert.ok(text.length > 0 && finish, `${text} ${finish}`);
      assert.match(await wire.openai.heard(), /^: waiting for a replica to start\n/);
    }),
    t.test("OpenAI's Responses, streamed", async () => {
      const response = await new OpenAI(none).responses.stream({ model, input: "Say hello." }).finalResponse();
      assert.ok(response.output_text.length > 0);
    }),
    t.test("Anthropic", async () => {
      const m = await new Anthropic({ baseURL: INVENTIV_URL, apiKey, authToken: null, ...none }).messages.create({ model, max_tokens: 16, messages });
      assert.ok(m.content[0].text.length > 0);
    }),
    t.test("Anthropic, streamed", async () => {
      const client = new Anthropic({ baseURL: INVENTIV_URL, apiKey, authToken: null, ...none, fetch: wire.anthropic.fetch });
      const m = await client.messages.stream({ model, max_tokens: 16, messages }).finalMessage();
      assert.ok(m.content[0].text.length > 0);
      assert.match(await wire.anthropic.heard(), /^event: ping\n[^]*event: message_start\n/);
    }),
  ]);
});
