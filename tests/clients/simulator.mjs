// The simulator that run.py started: its control interface, and an address for its webhooks.
import { createServer } from "node:http";

export const { API, NUMBER, ACCOUNT, TOKEN, SECRET, VERIFY, HOOKS } = process.env;
export const NINO = "995555123456";
export const PNG = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP4//8/AAX+Av6nmh07AAAAAElFTkSuQmCC", "base64");
const WAIT_MS = 10_000; // for webhooks, which come within a tenth of a second

export async function control(path, body) {
  const options = body && { method: "POST", body: JSON.stringify(body) };
  const answer = await fetch(`${API}/_simulator/${path}`, options);
  const read = await answer.json();
  if (!answer.ok) throw new Error(`${path}: ${JSON.stringify(read)}`);
  return read;
}

export const newest = async () => (await control("messages")).at(-1);
export const says = async what => (await control("reply", { from: "+" + NINO, phone_number_id: NUMBER, ...what })).id;

// An address for webhooks. `take` gets the query of the handshake, whose answer it returns, or the bytes and the signature.
export class Inbox {
  #failed;

  constructor(take) {
    this.server = createServer(async (request, response) => {
      const parts = [];
      for await (const part of request) parts.push(part);
      try {
        const query = new URL(request.url, API).searchParams;
        if (request.method === "GET") return response.end(await take(query, undefined, undefined, request));
        await take(undefined, Buffer.concat(parts).toString(), request.headers["x-hub-signature-256"], request);
        response.end();
      } catch (error) {
        this.#failed ??= error;
        response.writeHead(500).end();
      }
    });
  }

  open() {
    return new Promise(done => this.server.listen(Number(HOOKS), "127.0.0.1", done));
  }

  async until(held) {
    for (const end = Date.now() + WAIT_MS; Date.now() < end; await new Promise(done => setTimeout(done, 20))) {
      if (this.#failed) throw this.#failed;
      if (held()) return;
    }
    throw new Error(`did not come within ${WAIT_MS} ms`);
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }
}
