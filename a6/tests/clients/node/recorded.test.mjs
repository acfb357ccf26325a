// What OpenAI once answered, recorded, reaches its official SDK through a6 as it was sent.
//
// The recordings are in `../shared/fixtures`, no part of this repository; `./test node` leaves this file out where they are missing.

import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import OpenAI from "openai";
import { parse } from "yaml";

import { CLIENT_KEY, startGateway } from "./gateway.mjs";

const FOLDER = fileURLToPath(new URL("../../../../../shared/fixtures/recorded-openai/", import.meta.url));
// The form with sound in it was not recorded; Azure has another path for each model.
const NAMES = readdirSync(FOLDER)
  .map((file) => file.replace(/\.yaml$/, ""))
  .filter((name) => !["audio-transcription-basic", "azure-chat-basic"].includes(name));

const recording = (name) => parse(readFileSync(join(FOLDER, `${name}.yaml`), "utf8"));

let gateway;
let client;

before(async () => {
  gateway = await startGateway();
  const folder = join(gateway.folder, "recordings");
  mkdirSync(folder);
  for (const name of NAMES) {
    const copy = recording(name);
    const [{ request }] = copy.interactions;
    const body = JSON.parse(request.body);
    // a6 asks for the usage of every stream of chat completions.
    if (request.url.includes("/chat/") && body.stream) body.stream_options = { include_usage: true };
    request.body = JSON.stringify(body);
    writeFileSync(join(folder, `${name}.yaml`), JSON.stringify(copy));
  }
  const provider = await gateway.mock("recordings", ["--replay", folder]);
  // What is passed through keeps its path, which has to be the provider's then.
  await gateway.route("sdk", "/v1/*", "openai", provider);
  client = new OpenAI({ baseURL: gateway.url, apiKey: CLIENT_KEY, maxRetries: 0, timeout: 20_000 });
});
after(async () => gateway?.close());

/** The data of the events of a stream, the last one, `[DONE]`, aside. */
function events(body) {
  const lines = body.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
  assert.equal(lines.pop(), "[DONE]");
  return lines.map((line) => JSON.parse(line));
}

test("there are recordings", () => assert.ok(NAMES.length > 15, `${FOLDER} has ${NAMES.length}`));

for (const name of NAMES) {
  test(`what was recorded arrives: ${name}`, async () => {
    const [{ request, response }] = recording(name).interactions;
    const body = JSON.parse(request.body);
    const path = new URL(request.url).pathname.replace(/^\/v1/, "");
    const asked = client.post(path, { body, stream: body.stream ?? false });
    if (response.code >= 400) {
      await assert.rejects(asked, (error) => {
        assert.ok(error instanceof OpenAI.APIError, `${error}`);
        assert.equal(error.status, response.code);
        assert.deepEqual(error.error, JSON.parse(response.body).error);
        assert.equal(error.requestID, response.headers["X-Request-Id"]?.[0]);
        return true;
      });
    } else if (body.stream) {
      const seen = [];
      for await (const event of await asked) seen.push(event);
      assert.deepEqual(seen, events(response.body));
    } else {
      const { _request_id, ...answer } = await asked;
      assert.deepEqual(answer, JSON.parse(response.body));
      assert.equal((await asked)._request_id, response.headers["X-Request-Id"][0]);
    }
  });
}
