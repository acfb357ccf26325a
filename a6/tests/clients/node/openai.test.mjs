// What a user of OpenAI's official SDK for Node sees through a6.
//
// The truth is the mock provider's ledger: what it received and what it counted, never a constant of this file.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import OpenAI from "openai";

import { CLIENT_KEY, PROVIDER_KEY, startGateway } from "./gateway.mjs";

const MODEL = "gpt-4o-mini";
const TOOL = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather in a city",
    parameters: { type: "object", properties: { city: { type: "string" } } },
  },
};

let gateway;
let client;

before(async () => {
  gateway = await startGateway();
  // Retries would hide what the gateway answered.
  client = new OpenAI({ baseURL: gateway.url, apiKey: CLIENT_KEY, maxRetries: 0, timeout: 20_000 });
});
after(async () => gateway?.close());

/** A chat request that the ledger finds again by its marker. */
function chat(extra = {}) {
  const marker = `marker-${randomUUID()}`;
  const messages = [{ role: "user", content: `Say something about ${marker}, please.` }];
  return { marker, body: { model: MODEL, messages, ...extra } };
}

function assertUsage(usage, exchange) {
  const { prompt_tokens, completion_tokens } = exchange;
  assert.ok(prompt_tokens > 0 && completion_tokens > 0, JSON.stringify(exchange));
  assert.deepEqual(
    [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens],
    [prompt_tokens, completion_tokens, prompt_tokens + completion_tokens],
  );
}

async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const text = (chunks) => chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join("");

test("completion", async () => {
  const { marker, body } = chat();
  const answer = await client.chat.completions.create(body);
  const exchange = await gateway.ledger(marker);
  assert.ok(exchange.content.includes(marker), "the mock echoes what was said");
  assert.equal(answer.choices[0].message.content, exchange.content);
  assert.equal(answer.choices[0].finish_reason, "stop");
  assertUsage(answer.usage, exchange);
  assert.deepEqual(JSON.parse(exchange.body), body);
  assert.equal(Object.fromEntries(exchange.headers).authorization, `Bearer ${PROVIDER_KEY}`);
  assert.ok(!JSON.stringify(exchange).includes(CLIENT_KEY), "the client's key stays in the gateway");
});

test("stream", async () => {
  const { marker, body } = chat({ stream: true });
  const chunks = await all(await client.chat.completions.create(body, { headers: { "x-mock-chunks": "20" } }));
  const exchange = await gateway.ledger(marker);
  assert.ok(chunks.every((chunk) => chunk.choices.length > 0), "a usage chunk came that nobody asked for");
  assert.equal(text(chunks), exchange.content);
  assert.equal(chunks.filter((chunk) => chunk.choices[0].delta.content).length, 20);
  assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
  assert.equal(exchange.outcome, "complete");
});

test("stream with usage", async () => {
  const { marker, body } = chat({ stream: true, stream_options: { include_usage: true } });
  const chunks = await all(await client.chat.completions.create(body));
  const exchange = await gateway.ledger(marker);
  assert.equal(chunks.filter((chunk) => chunk.usage).length, 1);
  assert.deepEqual(chunks.at(-1).choices, []);
  assertUsage(chunks.at(-1).usage, exchange);
  assert.equal(text(chunks.slice(0, -1)), exchange.content);
});

test("tool call", async () => {
  const { marker, body } = chat({ tools: [TOOL], tool_choice: "required" });
  const [choice] = (await client.chat.completions.create(body)).choices;
  assert.equal(choice.finish_reason, "tool_calls");
  assert.deepEqual(choice.message.tool_calls.map((call) => call.function.name), ["get_weather"]);
  assert.equal(typeof JSON.parse(choice.message.tool_calls[0].function.arguments), "object");
  assert.deepEqual(JSON.parse((await gateway.ledger(marker)).body).tools, [TOOL]);
});

test("streamed tool call", async () => {
  const { marker, body } = chat({ tools: [TOOL], tool_choice: "required", stream: true });
  const chunks = await all(await client.chat.completions.create(body));
  const calls = chunks.flatMap((chunk) => chunk.choices[0].delta.tool_calls ?? []);
  assert.equal(calls.map((call) => call.function.name ?? "").join(""), "get_weather");
  assert.equal(typeof JSON.parse(calls.map((call) => call.function.arguments ?? "").join("")), "object");
  assert.equal(chunks.at(-1).choices[0].finish_reason, "tool_calls");
  assert.equal((await gateway.ledger(marker)).outcome, "complete");
});

for (const [status, kind] of [
  [400, OpenAI.BadRequestError],
  [401, OpenAI.AuthenticationError],
  [404, OpenAI.NotFoundError],
  [429, OpenAI.RateLimitError],
  [500, OpenAI.InternalServerError],
  [503, OpenAI.InternalServerError],
]) {
  for (const stream of [false, true]) {
    test(`the provider's ${status} is the SDK's ${kind.name}${stream ? ", streamed" : ""}`, async () => {
      const { marker, body } = chat({ stream });
      const options = { headers: { "x-mock-status": `${status}` } };
      await assert.rejects(client.chat.completions.create(body, options), (error) => {
        assert.ok(error instanceof kind, `${error}`);
        assert.equal(error.status, status);
        assert.ok(error.error.message, "the provider's own words arrive");
        return true;
      });
      assert.equal((await gateway.ledger(marker)).status, status);
    });
  }
}

for (const end of ["fin", "rst"]) {
  test(`a stream cut with ${end} raises and does not look finished`, async () => {
    const { marker, body } = chat({ stream: true });
    const headers = {
      "x-mock-chunks": "40",
      "x-mock-chunk-bytes": "32",
      "x-mock-chunk-delay-ms": "5",
      "x-mock-cut-after": "3000",
      "x-mock-cut-with": end,
    };
    const seen = [];
    await assert.rejects(async () => {
      for await (const chunk of await client.chat.completions.create(body, { headers })) seen.push(chunk);
    });
    const exchange = await gateway.ledger(marker);
    assert.equal(exchange.outcome, "cut");
    const said = text(seen);
    assert.ok(said.length > 0 && said !== exchange.content && exchange.content.startsWith(said), said);
    assert.ok(seen.every((chunk) => !chunk.choices[0].finish_reason), "a cut answer must not say why it finished");
  });
}

test("a cut reply raises", async () => {
  const { marker, body } = chat();
  const headers = { "x-mock-body-bytes": "4000", "x-mock-cut-after": "1000" };
  await assert.rejects(client.chat.completions.create(body, { headers }));
  assert.equal((await gateway.ledger(marker)).outcome, "cut");
});
