// Package chat turns a conversation into what a model reads, by the chat template that is part of the model.
//
// [Parse] compiles the templates of a model, [Template.Encode] gives the ids of a conversation and [Template.Render] its text. A
// template is rendered as transformers does it, by the rules of Jinja2 3.1; package jinja2 beneath says how. A program that only
// generates text does not need this package, and nothing that it needs imports it.
//
// # A text is a text
//
// No text of a message, of a key, or of a variable such as tools becomes a control token, whatever it spells, however the
// template cuts it and whatever it puts beside it. Before rendering, a character that occurs nowhere in the conversation is put
// before each text and behind each character that could begin a control token; the template's operations do not see it,
// and the tokenizer takes it out once it has found the control tokens ([Encoder]). So beyond that nothing changes: the ids
// spell what Render gives. Roles alone stay as they are, because templates write control tokens with them; a role is a
// word of letters, digits, _ and -, and a server should accept those only that it knows.
//
// # What differs from transformers
//
// All 22 published templates that the package was tried on (TTI_CHAT_CASES, see TestRealTemplates) give the reference's bytes in
// every case, with tools and without. What is not there ends in an error that names it, when the template is parsed or when the
// part is reached, never in another text:
//
//   - statements: recursive loops, block, extends, include, import, autoescape, do;
//   - filters: center, filesizeformat, forceescape, groupby, pprint, random, slice, striptags, truncate, urlencode, urlize, wordwrap, xmlattr;
//   - cycler, joiner, lipsum, loop.changed, varargs and kwargs of macros, * and ** before arguments;
//   - methods of texts other than the usual ones, named arguments of % formatting and widths in str.format;
//   - integers beyond 64 bits; texts that are no UTF-8;
//   - the text of a function, a generator or a namespace, which in Python tells an address.
//
// These are known to differ without an error: changes of case are those of single characters (ß stays ß in upper case);
// attributes of Python's numbers and of loop other than documented ones are undefined; 1 and "1" are one key of a mapping that a
// template writes.
//
// # Limits
//
// A template has at most [jinja2.MaxTemplate] bytes and renders at most [jinja2.MaxOutput]. What it does is counted: it may spend about a second
// of work and 128 MB, and more in proportion to the conversation; then it ends in [jinja2.ErrTooCostly].
package chat
