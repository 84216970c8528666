// The tokens of an answer, and on hover or focus what might have stood there.

import { element } from "./elements.js";
import { visible } from "./markdown.js";
import { count, originOf } from "./origins.js";

// doubts are the probabilities below which a token is marked, ever more strongly.
const doubts = [0.5, 0.2, 0.05];

const popup = document.getElementById("alternatives");
let shownAt = null; // the token that it is about
addEventListener("resize", place);
document.addEventListener("scroll", place, true);

const percent = (logprob) => `${(Math.exp(logprob) * 100).toFixed(1)} %`;

// show returns an element with the tokens, each as its origin says, and what the marks mean. The arrow keys go from one token to
// the next. Where nobody knows the origins they are empty.
export function show(tokens, origins) {
  const box = element("div", "tokens");
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", "Tokens; arrow keys go from one to the next");
  box.append(...whole(tokens, origins).map((token) => {
    const span = element("span", "", visible(token.text));
    span.tabIndex = -1;
    span.dataset.doubt = doubts.filter((doubt) => Math.exp(token.logprob) < doubt).length;
    if (token.origin) span.dataset.origin = token.origin.name;
    span.addEventListener("mouseenter", () => open(span, token));
    span.addEventListener("focus", () => open(span, token));
    span.addEventListener("mouseleave", close);
    span.addEventListener("blur", close);
    return span;
  }));
  if (box.firstChild) box.firstChild.tabIndex = 0;
  box.addEventListener("keydown", move);
  return element("div", "", legend(origins), box);
}

// legend tells what the marks mean, in the same marks.
function legend(origins) {
  const line = element("p", "legend");
  for (const { name, label, tokens } of count(origins)) {
    const sample = element("span", "", label);
    sample.dataset.origin = name;
    line.append(sample, ` ${tokens} · `);
  }
  line.append("less likely than ");
  for (const [i, doubt] of doubts.entries()) {
    const sample = element("span", "", `${doubt * 100} %`);
    sample.dataset.doubt = i + 1;
    line.append(i > 0 ? " " : "", sample);
  }
  return line;
}

// whole puts the bytes of a character that are tokens of their own together: the first of them stands for all, with the origin of
// the one that completed it.
function whole(tokens, origins) {
  const list = [];
  let open = null; // a token whose last character is not whole
  for (const [i, token] of tokens.entries()) {
    if (open) open.bytes.push(...token.bytes); else open = { ...token, bytes: [...token.bytes] };
    open.text = new TextDecoder().decode(new Uint8Array(open.bytes));
    open.origin = originOf(origins[i]);
    if (!open.text.endsWith("\ufffd")) {
      list.push(open);
      open = null;
    }
  }
  if (open) list.push(open);
  return list;
}

function move(event) {
  const step = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" }[event.key];
  const next = step && event.target[step];
  if (!next) return;
  event.preventDefault();
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

function open(span, token) {
  const table = document.createElement("table");
  const listed = token.top_logprobs.some((other) => other.token === token.token) ? token.top_logprobs : [...token.top_logprobs, token];
  for (const { token: text, logprob } of listed) {
    const line = table.insertRow();
    line.className = text === token.token ? "drawn" : "";
    line.insertCell().textContent = JSON.stringify(visible(text));
    line.insertCell().textContent = percent(logprob);
  }
  popup.replaceChildren(table);
  if (token.origin) popup.append(element("p", "", `From: ${token.origin.label}`));
  popup.hidden = false;
  span.setAttribute("aria-describedby", popup.id);
  shownAt = span;
  place();
}

// place puts what is shown about a token below it, or above it where there is no room.
function place() {
  if (popup.hidden) return;
  const at = shownAt.getBoundingClientRect();
  const below = at.bottom + popup.offsetHeight + 8 < innerHeight;
  popup.style.top = `${below ? at.bottom + 4 : at.top - popup.offsetHeight - 4}px`;
  popup.style.left = `${Math.max(4, Math.min(at.left, innerWidth - popup.offsetWidth - 4))}px`;
}

function close(event) {
  popup.hidden = true;
  event.target.removeAttribute("aria-describedby");
}

// hide takes away what is shown about a token, and reports whether there was anything.
export function hide() {
  const shown = !popup.hidden;
  popup.hidden = true;
  return shown;
}
