// Mock providers and a gateway in front of them, all the real binary, on free ports of this machine.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

export const PROVIDER_KEY = "the-providers-key";
export const CLIENT_KEY = "the-clients-key";
const PATIENCE_MS = 20_000;

/** Ports that nobody listens on; all are held until all are known, so that they differ. */
async function freePorts(count) {
  const held = [];
  for (let one = 0; one < count; one += 1) {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    held.push(server);
  }
  const ports = held.map((server) => server.address().port);
  for (const server of held) {
    server.close();
    await once(server, "close");
  }
  return ports;
}

async function listens(port) {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** Starts `a6` with the arguments and resolves once it listens on the port. */
async function start(folder, name, args, port, processes) {
  const { A6_BIN: binary, ...environment } = process.env;
  if (!binary) throw new Error("A6_BIN must name the a6 binary; `./test node` sets it");
  const logFile = join(folder, `${name}.log`);
  const log = openSync(logFile, "w");
  const env = { ...environment, HOME: folder, XDG_CONFIG_HOME: folder, A6_CONFIG_DIR: folder };
  const child = spawn(binary, args, { env, stdio: ["ignore", log, log] });
  closeSync(log);
  processes.push(child);
  let trouble = null;
  child.on("error", (error) => (trouble = error.message));
  child.on("exit", (code, signal) => (trouble ??= `it ended with ${code ?? signal}`));
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await listens(port))) {
    if (trouble || Date.now() > deadline) {
      const state = trouble ?? "it still runs";
      throw new Error(`a6 ${name} does not listen on port ${port}, ${state}:\n${readFileSync(logFile, "utf8")}`);
    }
    await pause(20);
  }
}

async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  const force = setTimeout(() => child.kill("SIGKILL"), 10_000);
  await ended;
  clearTimeout(force);
}

/** A running `a6 mock`. */
class Provider {
  constructor(url) {
    this.url = url;
  }

  /** The one exchange whose request body contains the marker, as the mock wrote it down, once it is over. */
  async asked(marker) {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const exchanges = await (await fetch(`${this.url}/__ledger`)).json();
      const found = exchanges.filter((exchange) => exchange.body.includes(marker));
      if (found.length !== 1) throw new Error(`${found.length} requests with ${marker} reached the provider`);
      // A client can have an answer's last byte a moment before the ledger says how it ended.
      if (found[0].outcome !== "open" || Date.now() > deadline) return found[0];
      await pause(10);
    }
  }
}

/** `a6 mock`, and `a6 serve` with one route that sends everything below `/v1/` to it; more of both on demand. */
class Gateway {
  processes = [];
  folder = mkdtempSync(join(tmpdir(), "a6-node-"));

  async start() {
    const [data, admin, control] = await freePorts(3);
    this.root = `http://127.0.0.1:${data}`;
    this.url = `${this.root}/v1`;
    this.admin = `http://127.0.0.1:${admin}`;
    this.provider = await this.mock("mock", ["--require-key", PROVIDER_KEY]);

    const config = join(this.folder, "config.yaml"); // JSON is YAML too
    const listen = (port) => ({ ip: "127.0.0.1", port });
    const settings = {
      apisix: { node_listen: [listen(data)], control: listen(control), ssl: { enable: false } },
      deployment: { admin: { admin_listen: listen(admin) } },
      // Several gateways run at a time.
      plugin_attr: { prometheus: { enable_export_server: false } },
    };
    writeFileSync(config, JSON.stringify(settings));
    const dataDir = join(this.folder, "data");
    const serve = ["serve", "--config", config, "--data-dir", dataDir, "--workers", "2"];
    await start(this.folder, "serve", serve, admin, this.processes);
    this.adminKey = readFileSync(join(dataDir, "admin.key"), "utf8").trim();
    await this.route("sdk", "/v1/*", "openai-compatible", this.provider);
  }

  /** One more provider, started with these arguments. */
  async mock(name, args) {
    const [port] = await freePorts(1);
    await start(this.folder, name, ["mock", "--host", "127.0.0.1", "--port", `${port}`, ...args], port, this.processes);
    return new Provider(`http://127.0.0.1:${port}`);
  }

  /**
   * One more provider, which answers what it is told to.
   *
   * `scripts` are [path, request body, answer]; an answer that is a string is a stream of events. A request that is not just
   * one of them is 404: what reaches the provider is checked by that.
   */
  async scripted(name, scripts) {
    const folder = join(this.folder, name);
    mkdirSync(folder);
    for (const [number, [path, asked, answer]] of scripts.entries()) {
      const streamed = typeof answer === "string";
      const contentType = streamed ? "text/event-stream; charset=utf-8" : "application/json";
      const response = {
        code: 200,
        headers: { "Content-Type": [contentType] },
        body: streamed ? answer : JSON.stringify(answer),
      };
      const request = { method: "POST", url: `https://provider.test${path}`, body: JSON.stringify(asked) };
      const recording = { version: 2, interactions: [{ request, response }] };
      writeFileSync(join(folder, `${number}.yaml`), JSON.stringify(recording));
    }
    return this.mock(name, ["--replay", folder]);
  }

  /** Sends what comes for `uri` to the mock `to`, by a route of that name. */
  async route(name, uri, provider, to, conf = {}) {
    const auth = { header: { Authorization: `Bearer ${PROVIDER_KEY}` } };
    const proxy = { provider, auth, override: { endpoint: to.url }, ...conf };
    const answer = await fetch(`${this.admin}/apisix/admin/routes/${name}`, {
      method: "PUT",
      headers: { "content-type": "application/json", "x-api-key": this.adminKey },
      body: JSON.stringify({ uri, plugins: { "ai-proxy": proxy } }),
    });
    if (!answer.ok) throw new Error(`the route ${name} was answered ${answer.status}: ${await answer.text()}`);
  }

  /** The one exchange of the first provider whose request body contains the marker. */
  ledger = (marker) => this.provider.asked(marker);

  /** Stops all processes, the gateway before the first provider. */
  async close() {
    for (const child of this.processes.toReversed()) await stop(child);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function startGateway() {
  const gateway = new Gateway();
  try {
    await gateway.start();
    return gateway;
  } catch (error) {
    await gateway.close();
    throw error;
  }
}

/** A stream of OpenAI's chat: each chunk as `data`; what is no object, such as `[DONE]`, as it is. */
export function data(...chunks) {
  return chunks.map((one) => `data: ${typeof one === "string" ? one : JSON.stringify(one)}\n\n`).join("");
}

/** A stream whose events are named by their `type`: of Anthropic's Messages, of OpenAI's Responses. */
export function typed(...events) {
  return events.map((one) => `event: ${one.type}\ndata: ${JSON.stringify(one)}\n\n`).join("");
}
