// The reference: HuggingFace's tokenizers, which are asked over pipes.
//
//   node oracle.mjs directory-of-a-tokenizer
//
// is run in a folder where package.json's packages are installed. All numbers are little-endian. A request on standard
// input is the number of texts (uint32) and the texts, each its length in bytes (uint32) and its UTF-8. The answer on
// standard output is how long encoding took in seconds (float64), then for each text three fields, each its length in
// bytes (uint32) and its contents:
//
//   encode(text, add_special_tokens=false)            ids (uint32)
//   encode(text, add_special_tokens=true)             ids (uint32)
//   decode(the first ids, skip_special_tokens=false)  UTF-8
//
// It ends when standard input does.

import fs from 'node:fs'
import path from 'node:path'
import { createRequire } from 'node:module'

const { Tokenizer } = createRequire(path.join(process.cwd(), 'here'))('tokenizers')

// GPT-2 was published without a tokenizer.json; this is what transformers makes of its two files.
function gpt2(directory) {
  const read = name => fs.readFileSync(path.join(directory, name), 'utf8')
  const vocab = JSON.parse(read('vocab.json'))
  const merges = read('merges.txt').split('\n').filter(line => line !== '' && !line.startsWith('#version'))
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  return JSON.stringify({
    version: '1.0',
    added_tokens: [{
      id: vocab['<|endoftext|>'], content: '<|endoftext|>',
      single_word: false, lstrip: false, rstrip: false, normalized: true, special: true,
    }],
    normalizer: null, pre_tokenizer: byteLevel, post_processor: byteLevel, decoder: byteLevel,
    model: { type: 'BPE', vocab, merges },
  })
}

function open(directory) {
  const file = path.join(directory, 'tokenizer.json')
  return fs.existsSync(file) ? Tokenizer.fromFile(file) : Tokenizer.fromString(gpt2(directory))
}

// read returns length bytes of standard input, or null at its end.
function read(length) {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length;) {
    const n = fs.readSync(0, bytes, at, length - at)
    if (n === 0) return null
    at += n
  }
  return bytes
}

function write(bytes) {
  for (let at = 0; at < bytes.length;) at += fs.writeSync(1, bytes, at)
}

function number(value) {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

function ids(list) {
  const bytes = Buffer.alloc(4 * list.length)
  list.forEach((id, i) => bytes.writeUInt32LE(id, 4 * i))
  return bytes
}

const tokenizer = open(process.argv[2])
for (;;) {
  const count = read(4)?.readUInt32LE()
  if (count === undefined) break
  const texts = []
  for (let i = 0; i < count; i++) texts.push(read(read(4).readUInt32LE()).toString('utf8'))

  const start = process.hrtime.bigint()
  const plain = await tokenizer.encodeBatch(texts, { addSpecialTokens: false })
  const seconds = Buffer.alloc(8)
  seconds.writeDoubleLE(Number(process.hrtime.bigint() - start) / 1e9)

  const special = await tokenizer.encodeBatch(texts, { addSpecialTokens: true })
  const plainIDs = plain.map(e => e.getIds())
  const decoded = await tokenizer.decodeBatch(plainIDs, false)
  const answer = [seconds]
  for (let i = 0; i < count; i++) {
    for (const field of [ids(plainIDs[i]), ids(special[i].getIds()), Buffer.from(decoded[i], 'utf8')]) {
      answer.push(number(field.length), field)
    }
  }
  write(Buffer.concat(answer))
}
