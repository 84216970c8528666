// A conversation is a tree of messages: an edited message is a sibling of the one it was. leaf is the last message of the branch
// that is shown. No message changes once another follows it, so every answer can be asked for again.
//
//   conversation {id, created, settings, leaf, messages}
//   question     {id, parent, role: "user", content, created}
//   answer       {id, parent, role: "assistant", content, created, asked, state, ...}
//
// asked is all that the answer depends on beside the messages before it: the settings then, seed and system prompt among them,
// first, the first message that was sent, and plain, whether the model goes on with a text instead of answering messages. An
// empty question lets it go on with its own. state is running, done, stopped or failed; origins are those of the tokens, a
// letter each.

import { isOrigins } from "./origins.js";
import { fields } from "./settings.js";

// newID returns a name that no other has. (randomUUID is not there on pages without TLS.)
export function newID() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// newSeed draws a seed that a number of JavaScript holds exactly.
export function newSeed() {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return (high & 0x1fffff) * 2 ** 32 + low;
}

export function create(settings) {
  return { id: newID(), created: Date.now(), settings: { ...settings }, leaf: null, messages: [] };
}

function add(conversation, message) {
  const whole = { id: newID(), created: Date.now(), ...message };
  conversation.messages.push(whole);
  conversation.leaf = whole.id;
  return whole;
}

export function addQuestion(conversation, parent, content) {
  return add(conversation, { parent, role: "user", content });
}

// plainTokens is how many tokens a plain text goes on for unless the settings say: it may have no end.
const plainTokens = 200;

// addAnswer adds the answer to a question, which nobody has begun to ask for. first is the first message to send, null for all.
export function addAnswer(conversation, question, plain, first = null) {
  const { seed, ...settings } = conversation.settings;
  const asked = { ...settings, seed: seed ?? newSeed(), first };
  if (plain) Object.assign(asked, { plain, max_tokens: settings.max_tokens ?? plainTokens });
  return add(conversation, { parent: question.id, role: "assistant", content: "", asked, state: "running" });
}

// path returns the messages from the first one to that with the id.
export function path(conversation, id = conversation.leaf) {
  const byID = new Map(conversation.messages.map((message) => [message.id, message]));
  const list = [];
  for (let message = byID.get(id); message; message = byID.get(message.parent)) list.push(message);
  return list.reverse();
}

// siblings returns the versions of a message, itself among them.
export function siblings(conversation, message) {
  return conversation.messages.filter((other) => other.parent === message.parent);
}

// choose shows the branch of a message, as far as it was gone last.
export function choose(conversation, message) {
  for (let next = message; next; next = newestChild(conversation, next)) conversation.leaf = next.id;
}

function newestChild(conversation, message) {
  return conversation.messages.findLast((other) => other.parent === message.id);
}

export function title(conversation) {
  const first = conversation.messages.find((message) => message.role === "user");
  return first ? first.content.trim().slice(0, 80) : "New conversation";
}

// request returns what an answer is asked for with.
export function request(conversation, answer) {
  const { system, first, plain, ...settings } = answer.asked;
  let before = path(conversation, answer.parent);
  if (first) before = before.slice(before.findIndex((message) => message.id === first));
  if (plain) return { ...settings, prompt: plainText(system, before) };
  const messages = before.map(({ role, content }) => ({ role, content }));
  if (system) messages.unshift({ role: "system", content: system });
  return { ...settings, messages };
}

// plainText returns messages as a text to go on with: an answer follows its question at once, a question begins a line.
function plainText(system, messages) {
  let text = system ? `${system}\n` : "";
  for (const [i, { role, content }] of messages.entries()) {
    if (i > 0 && role === "user" && content !== "") text += "\n";
    text += content;
  }
  return text;
}

// find returns the first message, of all or of those that came after one, that has a text, in any case of letters; the text as it
// stands there, and what is around it. It returns null if there is none.
export function find(conversation, text, after = null) {
  const wanted = text.toLowerCase();
  for (const message of conversation.messages.slice(conversation.messages.indexOf(after) + 1)) {
    const at = message.content.toLowerCase().indexOf(wanted);
    if (at >= 0) return { message, text: message.content.slice(at, at + wanted.length), excerpt: excerpt(message.content, at, at + wanted.length) };
  }
  return null;
}

function excerpt(text, start, end) {
  const from = Math.max(0, start - 10);
  return `${from > 0 ? "…" : ""}${text.slice(from, end + 40)}`;
}

const format = "tti conversations";

// written returns conversations as the text of a file.
export function written(conversations) {
  return JSON.stringify({ format, version: 1, exported: new Date().toISOString(), conversations }, null, 1);
}

// read returns the conversations of such a file, built anew from what it may hold, or fails and names what is wrong. They get new
// ids where taken says that theirs are.
export function read(text, taken) {
  const file = JSON.parse(text);
  check(file?.format === format && Array.isArray(file.conversations), "this is no file of conversations");
  check(file.version === 1, `the file's version is ${file.version}, this page reads 1`);
  return file.conversations.map((conversation, i) => readConversation(conversation, `conversation ${i + 1}`, taken));
}

function check(holds, message) {
  if (!holds) throw new Error(message);
}

const isText = (value) => typeof value === "string";
const isNumber = Number.isFinite;
const isTextOrNull = (value) => value === null || isText(value);

const answerFields = {
  fingerprint: isText, finish: isTextOrNull, problem: isText, problemCode: isText, origins: isOrigins,
  tokens: isNumber, promptTokens: isNumber, cachedTokens: isNumber, firstToken: isNumber, duration: isNumber,
};
const settingsFields = {
  model: isText, system: isText, ...Object.fromEntries(fields.map((field) => [field.name, field.valid])),
};
const states = ["running", "done", "stopped", "failed"];

// pick returns those fields of an object that the table knows; each must be valid.
function pick(object, table, where) {
  check(object !== null && typeof object === "object", `${where} is no object`);
  const picked = {};
  for (const [name, valid] of Object.entries(table)) {
    if (object[name] === undefined) continue;
    check(valid(object[name]), `${where}: ${name} is not valid`);
    picked[name] = object[name];
  }
  return picked;
}

function readConversation(from, where, taken) {
  check(from && isText(from.id) && isNumber(from.created) && Array.isArray(from.messages), `${where} is not whole`);
  const conversation = { id: taken(from.id) ? newID() : from.id, created: from.created, leaf: null, messages: [] };
  conversation.settings = pick(from.settings, settingsFields, `${where}: settings`);
  const roles = new Map([[null, "assistant"]]); // a conversation begins with a question
  for (const [i, message] of from.messages.entries()) {
    const read = readMessage(message, `${where}: message ${i + 1}`, roles);
    roles.set(read.id, read.role);
    conversation.messages.push(read);
  }
  check(from.leaf === null || roles.has(from.leaf), `${where}: leaf names no message`);
  conversation.leaf = from.leaf;
  return conversation;
}

function readMessage(from, where, roles) {
  check(from && isText(from.id) && isText(from.content) && isNumber(from.created), `${where} is not whole`);
  check(!roles.has(from.id), `${where} has the id of another`);
  check(roles.has(from.parent), `${where} follows none before it`);
  check(from.role === (roles.get(from.parent) === "user" ? "assistant" : "user"), `${where} is out of turn`);
  const { id, parent, role, content, created } = from;
  if (role === "user") return { id, parent, role, content, created };
  check(states.includes(from.state), `${where}: state is not valid`);
  const asked = pick(from.asked, { ...settingsFields, first: isTextOrNull, plain: (value) => value === true }, `${where}: asked`);
  check(isNumber(asked.seed), `${where} has no seed`);
  check(asked.first == null || roles.has(asked.first), `${where}: first names no message`);
  const state = from.state === "running" ? "stopped" : from.state; // importing asks for nothing
  return { id, parent, role, content, created, state, asked, ...pick(from, answerFields, where) };
}
