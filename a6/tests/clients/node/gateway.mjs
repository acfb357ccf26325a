// A mock provider and a gateway in front of it, both the real binary, on free ports of this machine.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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

/** `a6 mock`, and `a6 serve` with one route that sends everything to it. */
export async function startGateway() {
  const folder = mkdtempSync(join(tmpdir(), "a6-node-"));
  const processes = [];
  const close = async () => {
    for (const child of processes.toReversed()) await stop(child);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    return { ...(await startBoth(folder, processes)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startBoth(folder, processes) {
  const [data, admin, control, provider] = await freePorts(4);
  const providerUrl = `http://127.0.0.1:${provider}`;
  const mock = ["mock", "--host", "127.0.0.1", "--port", `${provider}`, "--require-key", PROVIDER_KEY];
  await start(folder, "mock", mock, provider, processes);

  const config = join(folder, "config.yaml"); // JSON is YAML too
  const listen = (port) => ({ ip: "127.0.0.1", port });
  const settings = {
    apisix: { node_listen: [listen(data)], control: listen(control), ssl: { enable: false } },
    deployment: { admin: { admin_listen: listen(admin) } },
  };
  writeFileSync(config, JSON.stringify(settings));
  const dataDir = join(folder, "data");
  const serve = ["serve", "--config", config, "--data-dir", dataDir, "--workers", "2"];
  await start(folder, "serve", serve, admin, processes);

  const proxy = {
    provider: "openai-compatible",
    auth: { header: { Authorization: `Bearer ${PROVIDER_KEY}` } },
    override: { endpoint: `${providerUrl}/v1/chat/completions` },
  };
  const answer = await fetch(`http://127.0.0.1:${admin}/apisix/admin/routes/sdk`, {
    method: "PUT",
    headers: { "content-type": "application/json", "x-api-key": readFileSync(join(dataDir, "admin.key"), "utf8").trim() },
    body: JSON.stringify({ uri: "/v1/*", plugins: { "ai-proxy": proxy } }),
  });
  if (!answer.ok) throw new Error(`the route was answered ${answer.status}: ${await answer.text()}`);

  /** The one exchange whose request body contains the marker, as the mock wrote it down. */
  const ledger = async (marker) => {
    const exchanges = await (await fetch(`${providerUrl}/__ledger`)).json();
    const found = exchanges.filter((exchange) => exchange.body.includes(marker));
    if (found.length !== 1) throw new Error(`${found.length} requests with ${marker} reached the provider`);
    return found[0];
  };
  return { url: `http://127.0.0.1:${data}/v1`, ledger };
}
