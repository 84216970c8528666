// What a model wrote as DOM nodes: fences, lists, headings, quotes, tables, emphasis. Text ends up in text nodes alone; links and
// pictures stay the text they are, so that nothing a model writes can be followed or loaded.
//
// A line belongs to a block by itself and the lines of the same block before it. So while a text grows, its blocks are final but
// the last two: the last line, which is not whole yet, may begin a block now and belong to the one before later.

import * as elements from "./elements.js";

const fence = /^(\s*)(`{3,}(?=[^`]*$)|~{3,})/;
const heading = /^(#{1,6})\s+(.*)$/;
const item = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const rule = /^ {0,3}([-*_])( *\1){2,} *$/;
const quote = /^ {0,3}> ?(.*)$/;
const row = /^\s*\|.*\|\s*$/;

// Text is a growing text in an element.
export class Text {
  #element;
  #text = "";
  #last = []; // the two last blocks: {start, node}

  constructor(element) { this.#element = element; }

  // show shows a text, at little cost if it begins with the one before.
  show(text) {
    const start = text.startsWith(this.#text) ? this.#last[0]?.start ?? 0 : 0;
    if (start === 0) this.#element.replaceChildren();
    for (const { node } of this.#last) node.remove();
    this.#text = text;
    this.#last = [];
    for (const block of blocks(text, start)) {
      const node = build(block);
      this.#element.append(node);
      this.#last = [...this.#last.slice(-1), { start: block.start, node }];
    }
  }
}

// kindOf tells what a line begins.
function kindOf(line) {
  if (fence.test(line)) return "fence";
  if (heading.test(line)) return "heading";
  if (rule.test(line)) return "rule";
  if (item.test(line)) return "list";
  if (quote.test(line)) return "quote";
  if (row.test(line)) return "table";
  return "paragraph";
}

// goesOn tells whether a line belongs to the block before it.
function goesOn(block, line) {
  switch (block.kind) {
    case "fence": return !block.closed;
    case "list": return line.trim() !== "" && kindOf(line) !== "fence" && (kindOf(line) === "list" || /^\s{2,}/.test(line));
    case "quote": return quote.test(line);
    case "table": return row.test(line);
    case "paragraph": return line.trim() !== "" && kindOf(line) === "paragraph";
  }
  return false;
}

// blocks yields the blocks of a text from where one starts: {kind, start, lines}.
function* blocks(text, start) {
  let block = null;
  for (let at = start; at < text.length;) {
    let end = text.indexOf("\n", at);
    if (end < 0) end = text.length;
    const line = text.slice(at, end);
    if (block && goesOn(block, line)) {
      block.closed = block.kind === "fence" && closes(block.lines[0], line);
      block.lines.push(line);
    } else {
      if (block) yield block;
      block = line.trim() === "" ? null : { kind: kindOf(line), start: at, lines: [line], closed: false };
    }
    at = end + 1;
  }
  if (block) yield block;
}

function closes(opening, line) {
  const mark = opening.match(fence)[2];
  const trimmed = line.trim();
  return trimmed.length >= mark.length && trimmed === mark[0].repeat(trimmed.length);
}

const builders = {
  fence(block) {
    const [, indent] = block.lines[0].match(fence);
    const lines = block.lines.slice(1, block.closed ? -1 : undefined);
    const code = element("code", visible(lines.map((line) => line.startsWith(indent) ? line.slice(indent.length) : line).join("\n")));
    const pre = element("pre", code);
    pre.tabIndex = 0; // it may have to be scrolled
    return pre;
  },
  heading: (block) => element("h4", ...inline(block.lines[0].match(heading)[2])),
  rule: () => element("hr"),
  list: (block) => list(block.lines),
  quote: (block) => element("blockquote", ...inline(block.lines.map((line) => line.match(quote)[1]).join("\n"))),
  table(block) {
    const rows = block.lines.filter((line) => !/^[\s|:-]+$/.test(line));
    const headed = rows.length < block.lines.length;
    return element("table", ...rows.map((line, i) => {
      const cells = line.trim().slice(1, -1).split("|");
      return element("tr", ...cells.map((cell) => element(headed && i === 0 ? "th" : "td", ...inline(cell.trim()))));
    }));
  },
  paragraph: (block) => element("p", ...inline(block.lines.join("\n"))),
};

const build = (block) => builders[block.kind](block);

const element = (name, ...children) => elements.element(name, "", ...children);

// maxDepth bounds how deep lists lie in lists.
const maxDepth = 8;

// list builds a list; items that are further in than those before them are lists of their own.
function list(lines) {
  const open = []; // from the outermost one
  for (const line of lines) {
    const found = line.match(item);
    if (!found) { // goes on with the item before
      open.at(-1).node.lastChild.append("\n", ...inline(line.trim()));
      continue;
    }
    const [, indent, mark, text] = found;
    while (open.length > 1 && open.at(-1).indent > indent.length) open.pop();
    if (open.length === 0 || indent.length > open.at(-1).indent + 1 && open.length < maxDepth) {
      const ordered = /\d/.test(mark);
      const node = element(ordered ? "ol" : "ul");
      if (ordered) node.start = parseInt(mark, 10);
      open.at(-1)?.node.lastChild.append(node);
      open.push({ node, indent: indent.length });
    }
    open.at(-1).node.append(element("li", ...inline(text)));
  }
  return open[0].node;
}

const marks = [["```", "code"], ["``", "code"], ["`", "code"], ["**", "strong"], ["*", "em"]];

// inline returns the nodes of a text with emphasis. A mark is closed by the next one like it, so that the time is in proportion
// to the text whatever it is.
function inline(text) {
  const nodes = [];
  let plain = 0; // where the text that has no nodes yet begins
  for (let at = 0; at < text.length;) {
    const found = marks.find(([mark]) => text.startsWith(mark, at));
    const end = found ? closing(text, at, found[0]) : -1;
    if (end < 0) {
      at += found ? found[0].length : 1;
      continue;
    }
    const [mark, name] = found;
    const inner = text.slice(at + mark.length, end);
    if (at > plain) nodes.push(visible(text.slice(plain, at)));
    nodes.push(name === "strong" ? element(name, ...inline(inner)) : element(name, visible(inner)));
    plain = at = end + mark.length;
  }
  if (plain < text.length) nodes.push(visible(text.slice(plain)));
  return nodes;
}

// closing returns where the mark that begins at a place is closed, negative if it is not.
function closing(text, at, mark) {
  const start = at + mark.length;
  const end = text.indexOf(mark, start);
  if (end <= start || /\s/.test(text[start]) || /\s/.test(text[end - 1])) return -1;
  return end;
}

// visible shows what has no shape, or would turn the text around it: control characters and overrides of direction.
export function visible(text) {
  return text.replace(/[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, (character) => {
    const code = character.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}
