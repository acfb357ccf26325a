// What a user of Anthropic's official SDK for Node sees through a6, where the provider speaks the same protocol.
//
// The truth is the mock provider's ledger, or the script that the provider plays.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";

import { CLIENT_KEY, PROVIDER_KEY, startGateway, typed } from "./gateway.mjs";

const MODEL = "claude-of-the-mock";
const TOOL = {
  name: "get_weather",
  description: "The weather in a city",
  input_schema: { type: "object", properties: { city: { type: "string" } } },
};

const asking = (content, extra = {}) => ({
  model: MODEL,
  max_tokens: 2000,
  messages: [{ role: "user", content }],
  ...extra,
});

// What the mock does not say by itself: thinking with its signature, arguments in pieces, faults within a stream.
const BLOCKS = [
  { type: "thinking", thinking: "Two and two.", signature: "EqQBCgIYAhIM1gbcDa9GJwZA2b3h" },
  { type: "redacted_thinking", data: "EmwKAhgBEgy3va3pzix" },
  { type: "text", text: "Four. \u{1f600}" },
  { type: "tool_use", id: "toolu_1", name: "get_weather", input: { city: "S\u00e3o Paulo", days: 2 } },
];
const USAGE = { input_tokens: 25, cache_creation_input_tokens: 3, cache_read_input_tokens: 4, output_tokens: 1 };
const BEGUN = {
  id: "msg_1",
  type: "message",
  role: "assistant",
  model: MODEL,
  content: [],
  stop_reason: null,
  stop_sequence: null,
  usage: USAGE,
};
const MESSAGE = { ...BEGUN, content: BLOCKS, stop_reason: "tool_use", usage: { ...USAGE, output_tokens: 60 } };
const START = { type: "message_start", message: BEGUN };

function block(index, start, ...deltas) {
  return [
    { type: "content_block_start", index, content_block: start },
    ...deltas.map((delta) => ({ type: "content_block_delta", index, delta })),
    { type: "content_block_stop", index },
  ];
}

const EVENTS = [
  START,
  { type: "ping" },
  ...block(
    0,
    { type: "thinking", thinking: "", signature: "" },
    { type: "thinking_delta", thinking: "Two " },
    { type: "thinking_delta", thinking: "and two." },
    { type: "signature_delta", signature: BLOCKS[0].signature },
  ),
  ...block(1, BLOCKS[1]),
  ...block(2, { type: "text", text: "" }, { type: "text_delta", text: BLOCKS[2].text }),
  ...block(
    3,
    { ...BLOCKS[3], input: {} },
    { type: "input_json_delta", partial_json: "" },
    { type: "input_json_delta", partial_json: '{"city": "S\u00e3o Pa' },
    { type: "input_json_delta", partial_json: 'ulo", "days": 2}' },
  ),
  { type: "message_delta", delta: { stop_reason: "tool_use", stop_sequence: null }, usage: { output_tokens: 60 } },
  { type: "message_stop" },
];
const HALF = [START, ...block(0, { type: "text", text: "" }, { type: "text_delta", text: "Half" })];
const OVERLOADED = { type: "error", error: { type: "overloaded_error", message: "Overloaded" } };
const THINKING = { thinking: { type: "enabled", budget_tokens: 1024 }, tools: [TOOL] };
const SCRIPTS = [
  ["/v1/messages", asking("thinking", THINKING), MESSAGE],
  ["/v1/messages", asking("thinking", { ...THINKING, stream: true }), typed(...EVENTS)],
  ["/v1/messages", asking("overloaded", { stream: true }), typed(...HALF, OVERLOADED)],
  ["/v1/messages", asking("quiet", { stream: true }), typed(...HALF)],
];

let gateway;
let client;
let scripted;

before(async () => {
  gateway = await startGateway();
  const at = (path) =>
    new Anthropic({ baseURL: `${gateway.root}/${path}`, apiKey: CLIENT_KEY, maxRetries: 0, timeout: 20_000 });
  const auth = { header: { "x-api-key": PROVIDER_KEY } };
  await gateway.route("claude", "/claude/*", "anthropic", gateway.provider, { auth });
  client = at("claude");
  await gateway.route("scripts", "/scripts/*", "anthropic", await gateway.scripted("scripts", SCRIPTS), { auth });
  scripted = at("scripts");
});
after(async () => gateway?.close());

/** A request that the ledger finds again by its marker. */
function request(extra = {}) {
  const marker = `marker-${randomUUID()}`;
  return { marker, body: asking(`Say something about ${marker}, please.`, extra) };
}

function assertUsage(usage, exchange) {
  const { prompt_tokens, completion_tokens } = exchange;
  assert.ok(prompt_tokens > 0 && completion_tokens > 0, JSON.stringify(exchange));
  assert.deepEqual([usage.input_tokens, usage.output_tokens], [prompt_tokens, completion_tokens]);
}

async function all(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

const said = (events) =>
  events.filter((event) => event.type === "content_block_delta").map((event) => event.delta.text).join("");

test("message", async () => {
  const { marker, body } = request({ system: "Be brief." });
  const answer = await client.messages.create(body);
  const exchange = await gateway.ledger(marker);
  assert.ok(exchange.content.includes(marker), "the mock echoes what was said");
  assert.deepEqual(answer.content, [{ type: "text", text: exchange.content }]);
  assert.equal(answer.stop_reason, "end_turn");
  assertUsage(answer.usage, exchange);
  assert.ok(answer._request_id.startsWith("req_mock_"));
  assert.equal(exchange.target, "/v1/messages");
  assert.deepEqual(JSON.parse(exchange.body), body);
  const sent = Object.fromEntries(exchange.headers);
  assert.equal(sent["x-api-key"], PROVIDER_KEY);
  assert.ok(sent["anthropic-version"]);
  assert.ok(!JSON.stringify(exchange).includes(CLIENT_KEY), "the client's key stays in the gateway");
});

test("stream", async () => {
  const { marker, body } = request({ stream: true });
  const events = await all(await client.messages.create(body, { headers: { "x-mock-chunks": "20" } }));
  const exchange = await gateway.ledger(marker);
  assert.equal(said(events), exchange.content);
  assert.deepEqual(
    events.map((event) => event.type),
    [
      "message_start",
      "content_block_start",
      ...Array(20).fill("content_block_delta"),
      "content_block_stop",
      "message_delta",
      "message_stop",
    ],
  );
  assert.equal(exchange.outcome, "complete");
});

test("the SDK puts a stream together", async () => {
  const { marker, body } = request();
  const answer = await client.messages.stream(body).finalMessage();
  const exchange = await gateway.ledger(marker);
  assert.deepEqual(answer.content.map((one) => one.text), [exchange.content]);
  assertUsage(answer.usage, exchange);
});

for (const stream of [false, true]) {
  const how = stream ? ", streamed" : "";

  test(`tool call${how}`, async () => {
    const { marker, body } = request({ tools: [TOOL], tool_choice: { type: "any" } });
    const answer = stream ? await client.messages.stream(body).finalMessage() : await client.messages.create(body);
    assert.deepEqual(answer.content.map((one) => [one.type, one.name, one.input]), [["tool_use", "get_weather", {}]]);
    assert.equal(answer.stop_reason, "tool_use");
    assert.deepEqual(JSON.parse((await gateway.ledger(marker)).body).tools, [TOOL]);
  });

  test(`thinking and calls arrive with all that is in them${how}`, async () => {
    const body = asking("thinking", THINKING);
    const answer = stream ? await scripted.messages.stream(body).finalMessage() : await scripted.messages.create(body);
    assert.deepEqual(answer.content, BLOCKS);
    assert.equal(answer.stop_reason, "tool_use");
    assert.deepEqual(answer.usage, MESSAGE.usage);
  });

  for (const [status, kind, type] of [
    [400, Anthropic.BadRequestError, "invalid_request_error"],
    [401, Anthropic.AuthenticationError, "authentication_error"],
    [403, Anthropic.PermissionDeniedError, "permission_error"],
    [404, Anthropic.NotFoundError, "not_found_error"],
    [429, Anthropic.RateLimitError, "rate_limit_error"],
    [500, Anthropic.InternalServerError, "api_error"],
    [529, Anthropic.APIError, "overloaded_error"],
  ]) {
    test(`the provider's ${status} is the SDK's ${kind.name}${how}`, async () => {
      const { marker, body } = request({ stream });
      const headers = { "x-mock-status": `${status}`, "x-mock-retry-after": "7" };
      await assert.rejects(client.messages.create(body, { headers }), (error) => {
        assert.ok(error instanceof kind, `${error}`);
        assert.equal(error.status, status);
        assert.equal(error.error.error.type, type);
        assert.ok(error.error.error.message, "the provider's own words arrive");
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

test("a cut reply raises", async () => {
  const { marker, body } = request();
  const headers = { "x-mock-body-bytes": "4000", "x-mock-cut-after": "1000" };
  await assert.rejects(client.messages.create(body, { headers }));
  assert.equal((await gateway.ledger(marker)).outcome, "cut");
});

for (const [content, words] of [
  ["overloaded", /overloaded_error/],
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
