// OpenAI's official SDK for Node beyond chat completions: responses, embeddings, models; and faults of providers in streams.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import OpenAI from "openai";

import { CLIENT_KEY, data, startGateway, typed } from "./gateway.mjs";

const MODEL = "gpt-4o-mini";
const TOOL = {
  type: "function",
  name: "get_weather",
  description: "The weather in a city",
  parameters: { type: "object", properties: { city: { type: "string" } } },
};

// What the mock does not say by itself: faults within a stream.
const chat = (content) => ({ model: MODEL, messages: [{ role: "user", content }], stream: true });
const half = { index: 0, delta: { content: "Half" }, finish_reason: null };
const chunk = { id: "c", object: "chat.completion.chunk", created: 1, model: MODEL, choices: [half] };
const overloaded = { message: "The server is overloaded.", type: "server_error", param: null, code: "overloaded" };
const usage = { stream_options: { include_usage: true } };
const place = { item_id: "msg_1", output_index: 0, content_index: 0 };
const delta = { type: "response.output_text.delta", sequence_number: 0, ...place, delta: "Half" };
const failed = {
  type: "response.failed",
  sequence_number: 1,
  response: { id: "resp_1", object: "response", status: "failed", output: [], error: overloaded },
};
const SCRIPTS = [
  ["/v1/chat/completions", { ...chat("error"), ...usage }, data(chunk, { error: overloaded })],
  ["/v1/chat/completions", { ...chat("quiet"), ...usage }, data(chunk)],
  ["/v1/responses", { model: MODEL, input: "failed", stream: true }, typed(delta, failed)],
];

let gateway;
let client;
let scripted;

before(async () => {
  gateway = await startGateway();
  const options = { apiKey: CLIENT_KEY, maxRetries: 0, timeout: 20_000 };
  client = new OpenAI({ baseURL: gateway.url, ...options });
  await gateway.route("scripts", "/scripted/*", "openai", await gateway.scripted("scripts", SCRIPTS));
  scripted = new OpenAI({ baseURL: `${gateway.root}/scripted/v1`, ...options });
});
after(async () => gateway?.close());

/** A request to Responses that the ledger finds again by its marker. */
function request(extra = {}) {
  const marker = `marker-${randomUUID()}`;
  return { marker, body: { model: MODEL, input: `Say something about ${marker}, please.`, ...extra } };
}

function assertUsage(usage, exchange) {
  const { prompt_tokens, completion_tokens } = exchange;
  assert.ok(prompt_tokens > 0 && completion_tokens > 0, JSON.stringify(exchange));
  assert.deepEqual(
    [usage.input_tokens, usage.output_tokens, usage.total_tokens],
    [prompt_tokens, completion_tokens, prompt_tokens + completion_tokens],
  );
}

async function all(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

const said = (events) =>
  events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta).join("");

test("response", async () => {
  const { marker, body } = request({ instructions: "Be brief." });
  const answer = await client.responses.create(body);
  const exchange = await gateway.ledger(marker);
  assert.equal(answer.output_text, exchange.content);
  assert.equal(answer.status, "completed");
  assertUsage(answer.usage, exchange);
  assert.equal(exchange.target, "/v1/responses");
  assert.deepEqual(JSON.parse(exchange.body), body);
});

test("streamed response", async () => {
  const { marker, body } = request({ stream: true });
  const events = await all(await client.responses.create(body, { headers: { "x-mock-chunks": "20" } }));
  const exchange = await gateway.ledger(marker);
  assert.equal(said(events), exchange.content);
  assert.equal(events.filter((event) => event.type === "response.output_text.delta").length, 20);
  assert.equal(events.at(-1).type, "response.completed");
  assertUsage(events.at(-1).response.usage, exchange);
  assert.equal(exchange.outcome, "complete");
});

test("the SDK puts a streamed response together", async () => {
  const { marker, body } = request();
  const answer = await client.responses.stream(body).finalResponse();
  const exchange = await gateway.ledger(marker);
  assert.equal(answer.output_text, exchange.content);
  assertUsage(answer.usage, exchange);
});

for (const stream of [false, true]) {
  test(`tool call of a response${stream ? ", streamed" : ""}`, async () => {
    const { marker, body } = request({ tools: [TOOL], tool_choice: "required", stream });
    let answer = await client.responses.create(body);
    if (stream) answer = (await all(answer)).at(-1).response;
    assert.deepEqual(answer.output.map((item) => [item.type, item.name]), [["function_call", "get_weather"]]);
    assert.equal(typeof JSON.parse(answer.output[0].arguments), "object");
    assert.deepEqual(JSON.parse((await gateway.ledger(marker)).body).tools, [TOOL]);
  });
}

for (const [status, kind] of [
  [400, OpenAI.BadRequestError],
  [401, OpenAI.AuthenticationError],
  [429, OpenAI.RateLimitError],
  [500, OpenAI.InternalServerError],
]) {
  for (const what of ["responses", "embeddings"]) {
    test(`the provider's ${status} at ${what} is the SDK's ${kind.name}`, async () => {
      const { marker, body } = request();
      const headers = { "x-mock-status": `${status}`, "x-mock-retry-after": "7" };
      await assert.rejects(client[what].create(body, { headers }), (error) => {
        assert.ok(error instanceof kind, `${error}`);
        assert.equal(error.status, status);
        assert.ok(error.error.message, "the provider's own words arrive");
        assert.equal(error.headers.get("retry-after"), "7");
        return true;
      });
      assert.equal((await gateway.ledger(marker)).status, status);
    });
  }
}

for (const end of ["fin", "rst"]) {
  test(`a response cut with ${end} raises and does not look finished`, async () => {
    const { marker, body } = request({ stream: true });
    const headers = {
      "x-mock-chunks": "40",
      "x-mock-chunk-bytes": "32",
      "x-mock-chunk-delay-ms": "5",
      "x-mock-cut-after": "4000",
      "x-mock-cut-with": end,
    };
    const seen = [];
    await assert.rejects(async () => {
      for await (const event of await client.responses.create(body, { headers })) seen.push(event);
    });
    const exchange = await gateway.ledger(marker);
    assert.equal(exchange.outcome, "cut");
    const text = said(seen);
    assert.ok(text.length > 0 && text !== exchange.content && exchange.content.startsWith(text), text);
    assert.ok(seen.every((event) => event.type !== "response.completed"));
  });
}

test("embeddings", async () => {
  const marker = `marker-${randomUUID()}`;
  const input = [`Something about ${marker}`, "another text"];
  const answer = await client.embeddings.create({ model: "text-embedding-3-small", input, dimensions: 4 });
  const exchange = await gateway.ledger(marker);
  assert.deepEqual(answer.data.map((one) => [one.index, one.embedding.length]), [[0, 4], [1, 4]]);
  assert.notDeepEqual(answer.data[0].embedding, answer.data[1].embedding);
  assert.ok(exchange.prompt_tokens > 0);
  assert.equal(answer.usage.total_tokens, exchange.prompt_tokens);
  assert.equal(exchange.target, "/v1/embeddings");
});

test("models", async () => {
  assert.ok((await all(await client.models.list())).some((model) => model.id === "mock-model"));
});

for (const [content, words] of [
  ["error", /The server is overloaded/],
  // The provider's answer ends properly, as HTTP; but nobody said why it ended.
  ["quiet", /ended before its end/],
]) {
  test(`a stream with a fault of the provider's raises: ${content}`, async () => {
    let text = "";
    await assert.rejects(async () => {
      for await (const part of await scripted.chat.completions.create(chat(content))) {
        text += part.choices[0].delta.content ?? "";
      }
    }, (error) => error instanceof OpenAI.APIError && words.test(JSON.stringify(error.error)));
    assert.equal(text, "Half");
  });
}

test("a failed response is told", async () => {
  const events = await all(await scripted.responses.create({ model: MODEL, input: "failed", stream: true }));
  assert.deepEqual(events.map((event) => event.type), ["response.output_text.delta", "response.failed"]);
  assert.equal(events[1].response.error.message, overloaded.message);
});
