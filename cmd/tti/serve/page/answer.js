// Asking for answers, and what is told of them.

import * as api from "./api.js";
import { path, request } from "./conversation.js";
import { count, letters } from "./origins.js";

// run asks for an answer and keeps in it what comes, until it ends or the signal stops it; changed is called each time. A text
// that is there from before a reload stays until the new one, which is the same, has grown longer.
export async function run(conversation, answer, signal, changed) {
  const began = performance.now();
  let text = "", first = null;
  answer.origins = "";
  try {
    for await (const piece of api.answer(request(conversation, answer), signal)) {
      if (piece.text !== "") first ??= performance.now();
      text += piece.text;
      if (text.length > answer.content.length || !answer.content.startsWith(text)) answer.content = text;
      answer.fingerprint = piece.fingerprint;
      answer.finish = piece.finish ?? answer.finish ?? null;
      answer.origins += letters(piece.origins);
      answer.tokens = piece.usage?.completion_tokens ?? answer.origins.length;
      if (piece.usage) {
        answer.promptTokens = piece.usage.prompt_tokens;
        answer.cachedTokens = piece.usage.prompt_tokens_details?.cached_tokens ?? 0;
      }
      setTimes(answer, began, first);
      changed();
    }
    answer.content = text;
    answer.state = "done";
  } catch (error) {
    answer.state = signal.aborted ? "stopped" : "failed";
    if (!signal.aborted) {
      answer.problem = error.message;
      answer.problemCode = error.code ?? "";
    }
  }
  changed();
}

// setTimes keeps the milliseconds to the first token, and from there to the latest one.
function setTimes(answer, began, first) {
  if (first === null) return;
  answer.firstToken = first - began;
  answer.duration = performance.now() - first;
}

// facts tells in words how an answer came about.
export function facts(answer) {
  const told = [];
  if (answer.tokens) told.push(`${answer.tokens} tokens${guessed(answer)}`);
  if (answer.tokens > 1 && answer.duration > 0) told.push(`${((answer.tokens - 1) / answer.duration * 1000).toFixed(1)} tok/s`);
  if (answer.firstToken !== undefined) told.push(`first after ${(answer.firstToken / 1000).toFixed(2)} s`);
  if (answer.promptTokens) told.push(`prompt ${answer.promptTokens} tokens, ${answer.cachedTokens} of them cached`);
  told.push(`seed ${answer.asked.seed}`);
  if (answer.asked.plain) told.push("went on with the plain text");
  if (answer.state === "stopped") told.push("stopped");
  return told.join(" · ");
}

// guessed tells how many of the tokens were guessed, and by whom.
function guessed(answer) {
  const told = count(answer.origins ?? "").filter(({ name }) => name !== "target").map(({ label, tokens }) => `${tokens} by ${label}`);
  return told.length > 0 ? ` (${told.join(", ")})` : "";
}

// again asks for an answer's text once more, and returns the text, its tokens with as many alternatives as wanted, and whether the
// text is the same. An answer that did not come to its end is compared as far as it goes, and its tokens go no further.
export async function again(conversation, answer, alternatives = 0) {
  let asked = request(conversation, answer);
  if (alternatives > 0) {
    asked = api.withAlternatives(asked, alternatives);
    if (answer.state !== "done") asked.max_tokens = answer.tokens;
  }
  const result = { text: "", tokens: [], fingerprint: "" };
  for await (const piece of api.answer(asked)) {
    result.text += piece.text;
    result.tokens.push(...piece.tokens);
    result.fingerprint = piece.fingerprint;
  }
  result.same = answer.state === "done" ? result.text === answer.content : result.text.startsWith(answer.content);
  return result;
}

// curl returns the command that asks for an answer.
export function curl(conversation, answer) {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const asked = request(conversation, answer);
  const lines = [`curl ${quoted(new URL(api.pathOf(asked), document.baseURI).href)}`, `-H 'Content-Type: application/json'`];
  if (api.hasKey()) lines.push(`-H "Authorization: Bearer $TTI_KEY"`);
  lines.push(`-d ${quoted(JSON.stringify(asked))}`);
  return lines.join(" \\\n  ");
}

// fitting returns the id of the first message to send so that an answer has room for a quarter of the model's context, and all
// before it is left out; null if all fit, undefined if not even the last message does.
export async function fitting(conversation, answer) {
  const before = path(conversation, answer.parent);
  const fits = async (pairs) => {
    const { count, context } = await api.measure(request(conversation, { ...answer, asked: { ...answer.asked, first: before[2 * pairs].id } }));
    return count <= context * 3 / 4;
  };
  let least = 0, most = (before.length - 1) / 2; // pairs of question and answer that are left out
  if (!await fits(most)) return undefined;
  while (least < most) {
    const middle = Math.floor((least + most) / 2);
    if (await fits(middle)) most = middle; else least = middle + 1;
  }
  return most > 0 ? before[2 * most].id : null;
}
