// What a user of Anthropic's official SDK for Node sees through a6, where the provider speaks OpenAI's chat completions.
//
// The truth is the ledger of the mock, or the script that the provider plays: it answers only what a6 should make of the
// request. The whole of the conversion is tried by the tests in Python.

import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";

import { CLIENT_KEY, PROVIDER_KEY, data, startGateway } from "./gateway.mjs";

const MODEL = "gpt-of-the-mock";
const TOOL = {
  name: "get.weather",
  description: "The weather in a city",
  input_schema: { type: "object", properties: { city: { type: "string" } } },
};
// A name that OpenAI refuses has another there, by which it is known in the answer.
const FUNCTION_NAME = `get_weather_${createHash("sha256").update(TOOL.name).digest("hex").slice(0, 8)}`;
const FUNCTION = {
  type: "function",
  function: { name: FUNCTION_NAME, description: TOOL.description, parameters: TOOL.input_schema },
};

const asking = (content, extra = {}) => ({
  model: MODEL,
  max_tokens: 100,
  messages: [{ role: "user", content }],
  ...extra,
});

/** The same request to OpenAI. */
const inOpenaisWords = (content, extra = {}) => ({
  model: MODEL,
  max_completion_tokens: 100,
  messages: [{ role: "user", content }],
  ...extra,
});

// What the mock does not say by itself: reasoning, arguments, cached tokens, faults within a stream.
const details = { prompt_tokens_details: { cached_tokens: 10 } };
const usage = { prompt_tokens: 30, completion_tokens: 9, total_tokens: 39, ...details };
const call = (index, id, args) => ({ index, id, type: "function", function: { name: FUNCTION_NAME, arguments: args } });
const more = (index, args) => ({ index, function: { arguments: args } });
const head = { id: "c1", created: 1, model: MODEL };
const chunk = (delta, finish_reason = null) => ({
  ...head,
  object: "chat.completion.chunk",
  choices: [{ index: 0, delta, finish_reason }],
});
const COMPLETION = {
  ...head,
  object: "chat.completion",
  choices: [
    {
      index: 0,
      message: {
        role: "assistant",
        reasoning_content: "Two and two.",
        content: "Four. \u{1f600}",
        tool_calls: [call(0, "call_1", '{"city": "S\u00e3o Paulo"}'), call(1, "call_2", '{"city": "Rome"}')],
      },
      finish_reason: "tool_calls",
    },
  ],
  usage,
};
const CHUNKS = [
  chunk({ role: "assistant", content: "" }),
  chunk({ reasoning_content: "Two " }),
  chunk({ reasoning_content: "and two." }),
  chunk({ content: "Four. " }),
  chunk({ content: "\u{1f600}" }),
  chunk({ tool_calls: [call(0, "call_1", "")] }),
  chunk({ tool_calls: [more(0, '{"city": "S\u00e3o')] }),
  chunk({ tool_calls: [more(0, ' Paulo"}')] }),
  chunk({ tool_calls: [call(1, "call_2", '{"city": "Rome"}')] }),
  chunk({}, "tool_calls"),
  { ...chunk({}), choices: [], usage },
];
const OVERLOADED = { error: { message: "The server is overloaded.", type: "server_error", param: null, code: null } };
const STREAMED = { stream: true, stream_options: { include_usage: true } };
const TOOLS = { tools: [FUNCTION] };
const CHAT = "/v1/chat/completions";
const SCRIPTS = [
  [CHAT, inOpenaisWords("everything", TOOLS), COMPLETION],
  [CHAT, inOpenaisWords("everything", { ...TOOLS, ...STREAMED }), data(...CHUNKS, "[DONE]")],
  [CHAT, inOpenaisWords("overloaded", STREAMED), data(chunk({ content: "Half" }), OVERLOADED)],
  [CHAT, inOpenaisWords("quiet", STREAMED), data(chunk({ content: "Half" }))],
];

let gateway;
let client;
let scripted;

before(async () => {
  gateway = await startGateway();
  const at = (path) =>
    new Anthropic({ baseURL: `${gateway.root}/${path}`, apiKey: CLIENT_KEY, maxRetries: 0, timeout: 20_000 });
  await gateway.route("converted", "/converted/*", "openai-compatible", gateway.provider);
  client = at("converted");
  await gateway.route("scripts", "/scripts/*", "openai-compatible", await gateway.scripted("scripts", SCRIPTS));
  scripted = at("scripts");
});
after(async () => gateway?.close());

/** A request that the ledger finds again by its marker. */
function request(extra = {}) {
  const marker = `marker-${randomUUID()}`;
  const content = `Say something about ${marker}, please.`;
  return { marker, content, body: asking(content, extra) };
}

function assertUsage(usage, exchange) {
  const { prompt_tokens, completion_tokens } = exchange;
  assert.ok(prompt_tokens > 0 && completion_tokens > 0, JSON.stringify(exchange));
  assert.deepEqual([usage.input_tokens, usage.output_tokens], [prompt_tokens, completion_tokens]);
}

const said = (events) =>
  events.filter((event) => event.type === "content_block_delta").map((event) => event.delta.text).join("");

test("message", async () => {
  const { marker, content, body } = request();
  const answer = await client.messages.create(body);
  const exchange = await gateway.ledger(marker);
  assert.deepEqual(answer.content.map((one) => [one.type, one.text]), [["text", exchange.content]]);
  assert.deepEqual([answer.stop_reason, answer.model], ["end_turn", MODEL]);
  assertUsage(answer.usage, exchange);
  assert.equal(exchange.target, CHAT);
  assert.deepEqual(JSON.parse(exchange.body), inOpenaisWords(content));
  const sent = Object.fromEntries(exchange.headers);
  assert.equal(sent.authorization, `Bearer ${PROVIDER_KEY}`);
  assert.deepEqual(Object.keys(sent).filter((name) => /^(anthropic-|x-stainless-|x-api-key$)/.test(name)), []);
  assert.ok(!JSON.stringify(exchange).includes(CLIENT_KEY), "the client's key stays in the gateway");
});

test("stream", async () => {
  const { marker, content, body } = request();
  const answer = await client.messages.stream(body, { headers: { "x-mock-chunks": "20" } }).finalMessage();
  const exchange = await gateway.ledger(marker);
  assert.deepEqual(answer.content.map((one) => one.text), [exchange.content]);
  assert.equal(answer.stop_reason, "end_turn");
  assertUsage(answer.usage, exchange);
  assert.equal(exchange.outcome, "complete");
  assert.deepEqual(JSON.parse(exchange.body), inOpenaisWords(content, STREAMED));
});

for (const stream of [false, true]) {
  const how = stream ? ", streamed" : "";

  test(`tool call${how}`, async () => {
    const { marker, body } = request({ tools: [TOOL], tool_choice: { type: "tool", name: TOOL.name } });
    const answer = stream ? await client.messages.stream(body).finalMessage() : await client.messages.create(body);
    assert.deepEqual(answer.content.map((one) => [one.type, one.name, one.input]), [["tool_use", TOOL.name, {}]]);
    assert.equal(answer.stop_reason, "tool_use");
    const sent = JSON.parse((await gateway.ledger(marker)).body);
    assert.deepEqual([sent.tools, sent.tool_choice.function.name], [[FUNCTION], FUNCTION_NAME]);
  });

  test(`all of an answer is converted${how}`, async () => {
    const body = asking("everything", { tools: [TOOL] });
    const answer = stream ? await scripted.messages.stream(body).finalMessage() : await scripted.messages.create(body);
    assert.deepEqual(
      answer.content.map((one) => [one.type, one.thinking ?? one.text ?? [one.id, one.name, one.input]]),
      [
        ["thinking", "Two and two."],
        ["text", "Four. \u{1f600}"],
        ["tool_use", ["call_1", TOOL.name, { city: "S\u00e3o Paulo" }]],
        ["tool_use", ["call_2", TOOL.name, { city: "Rome" }]],
      ],
    );
    assert.equal(answer.stop_reason, "tool_use");
    const { input_tokens, cache_read_input_tokens, output_tokens } = answer.usage;
    assert.deepEqual([input_tokens, cache_read_input_tokens, output_tokens], [20, 10, 9]);
  });

  for (const [status, kind] of [
    [400, Anthropic.BadRequestError],
    [401, Anthropic.AuthenticationError],
    [429, Anthropic.RateLimitError],
    [500, Anthropic.InternalServerError],
  ]) {
    test(`the provider's ${status} is the SDK's ${kind.name}${how}`, async () => {
      const { marker, body } = request({ stream });
      const headers = { "x-mock-status": `${status}`, "x-mock-retry-after": "7" };
      await assert.rejects(client.messages.create(body, { headers }), (error) => {
        assert.ok(error instanceof kind, `${error}`);
        assert.equal(error.error.type, "error");
        assert.equal(error.error.error.message, `The mock was asked to answer ${status}.`);
        assert.equal(error.headers.get("retry-after"), "7");
        return true;
      });
      assert.equal((await gateway.ledger(marker)).status, status);
    });
  }
}

for (const end of ["fin", "rst"]) {
  test(`a stream cut with ${end} raises and does not look finished`, async () => {
    const { marker, body } = request({ stream: true });
    const headers = {
      "x-mock-chunks": "40",
      "x-mock-chunk-bytes": "32",
      "x-mock-chunk-delay-ms": "5",
      "x-mock-cut-after": "3000",
      "x-mock-cut-with": end,
    };
    const seen = [];
    await assert.rejects(async () => {
      for await (const event of await client.messages.create(body, { headers })) seen.push(event);
    }, /upstream_truncated/);
    const exchange = await gateway.ledger(marker);
    assert.equal(exchange.outcome, "cut");
    const text = said(seen);
    assert.ok(text.length > 0 && text !== exchange.content && exchange.content.startsWith(text), text);
    assert.ok(seen.every((event) => event.type !== "message_delta" && event.type !== "message_stop"));
  });
}

for (const [content, words] of [
  ["overloaded", /The server is overloaded/],
  // The provider's answer ends properly, as HTTP; but nobody said why it ended.
  ["quiet", /upstream_truncated/],
]) {
  test(`a stream with a fault of the provider's raises: ${content}`, async () => {
    const seen = [];
    await assert.rejects(async () => {
      for await (const event of await scripted.messages.create(asking(content, { stream: true }))) seen.push(event);
    }, words);
    assert.equal(said(seen), "Half");
    await assert.rejects(scripted.messages.stream(asking(content)).finalMessage(), words);
  });
}
