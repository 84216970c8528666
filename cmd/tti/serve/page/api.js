// The server's HTTP interface. Addresses are relative to the page, so that it works behind a proxy's path too.

// Refusal is an error that the server names.
export class Refusal extends Error {
  constructor(error, status) {
    super(error?.message ?? `the server answered with status ${status}`);
    this.status = status;
    this.code = error?.code ?? "";
  }
}

let key = sessionStorage.getItem("key") ?? "";
let askForKey = async () => null;

// wantKey sets what asks the reader for a key: it returns one, or null.
export function wantKey(ask) { askForKey = ask; }
export function hasKey() { return key !== ""; }

// call sends a request, a GET without a body, and asks for a key for as long as the server does not know the one it has.
async function call(path, body, signal) {
  for (;;) {
    const headers = {};
    if (body) headers["Content-Type"] = "application/json";
    if (key) headers.Authorization = `Bearer ${key}`;
    const sent = key;
    const response = await fetch(path, { method: body ? "POST" : "GET", headers, signal, body: body && JSON.stringify(body) });
    if (response.ok) return response;
    const refusal = new Refusal((await response.json().catch(() => null))?.error, response.status);
    if (response.status !== 401) throw refusal;
    if (key === sent) { // else it was given for another request in the meantime
      const given = await askForKey(sent !== "");
      if (given === null) throw refusal;
      key = given;
      sessionStorage.setItem("key", key);
    }
  }
}

// models returns the names of the models.
export async function models() {
  return (await (await call("v1/models")).json()).data.map((model) => model.id);
}

// measure returns how many tokens the messages are for a model, and how many it can take.
export async function measure(model, messages) {
  const answer = await (await call("tokenize", { model, messages })).json();
  return { count: answer.count, context: answer.max_model_len };
}

// answer yields the pieces of the answer to a request of chatPath: {text, tokens, finish, usage, fingerprint}.
export const chatPath = "v1/chat/completions";
export async function* answer(request, signal) {
  const response = await call(chatPath, { ...request, stream: true, stream_options: { include_usage: true } }, signal);
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Refusal(chunk.error, response.status);
    const choice = chunk.choices[0];
    yield {
      text: choice?.delta?.content ?? "",
      tokens: choice?.logprobs?.content ?? [],
      finish: choice?.finish_reason ?? null,
      usage: chunk.usage ?? null,
      fingerprint: chunk.system_fingerprint,
    };
  }
  throw new Refusal({ message: "the connection ended before the answer did" }, 0);
}

// events yields the data of server-sent events.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      if (block.startsWith("data: ")) yield block.slice("data: ".length);
    }
  }
}
